"""The value head of PPO, and what its values say of the episodes of a step."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trivox.policy.trainers.rl.advantages import gae, whitened
from trivox.policy.trainers.rl.episodes import Episode
from trivox.policy.trainers.rl.minibatches import Minibatch
from trivox.policy.trainers.rl.settings import PPOSettings


class ValueHead(nn.Module):
    """Hidden states [..., H] -> the return that is expected from there on, [...]. It reads the policy's hidden
    states and sends no gradient into them, so a critic that is still wrong does the policy no harm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.Tanh(), last)

    def forward(self, hidden: Tensor) -> Tensor:
        values: Tensor = self.layers(hidden.detach().float())[..., 0]
        return values


def with_gae(
    parts: Sequence[Minibatch],
    episodes: Sequence[Episode],
    settings: PPOSettings,
    kl_coefficient: float,
) -> list[Minibatch]:
    """The minibatches with advantages and returns. A turn's reward stands at its last token; every action pays
    kl_coefficient times log pi / pi_reference; an episode's turns are one sequence of actions."""
    lines = _lines(parts, episodes, kl_coefficient)
    rewards, values, mask = (
        nn.utils.rnn.pad_sequence(list(part), True) for part in zip(*lines, strict=True)
    )
    after = torch.zeros(len(episodes), device=values.device)
    advantages, returns = gae(rewards, values, mask, settings.discount, settings.decay, after)
    if settings.whiten:
        advantages = whitened(advantages, mask)
    return _cut(parts, episodes, advantages, returns)


def _lines(
    parts: Sequence[Minibatch], episodes: Sequence[Episode], kl_coefficient: float
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Rewards, values and action mask of each episode, its turns end to end."""
    where = {row: (part, at) for part in parts for at, row in enumerate(part.rows)}
    lines, row = [], 0
    for episode in episodes:
        pieces = []
        for turn, reward in zip(episode.turns, episode.rewards, strict=True):
            part, at = where[row]
            real = slice(0, len(turn.completion))
            paid = -kl_coefficient * (part.old - part.reference)[at, real]
            paid = torch.where(part.batch.chosen[at, real], paid, 0.0)
            paid[-1] += reward
            pieces.append((paid, part.values[at, real], part.batch.chosen[at, real]))
            row += 1
        lines.append(tuple(torch.cat(list(piece)) for piece in zip(*pieces, strict=True)))
    return lines  # type: ignore[return-value]  # tuple() of three


def _cut(
    parts: Sequence[Minibatch],
    episodes: Sequence[Episode],
    advantages: Tensor,
    returns: Tensor,
) -> list[Minibatch]:
    """The lines back in the places of their turns."""
    places, row = dict[int, tuple[int, int, int]](), 0
    for index, episode in enumerate(episodes):
        begin = 0
        for turn in episode.turns:
            places[row] = (index, begin, len(turn.completion))
            begin, row = begin + len(turn.completion), row + 1
    cut = []
    for part in parts:
        mine, back = torch.zeros_like(part.old), torch.zeros_like(part.old)
        for at, number in enumerate(part.rows):
            index, begin, length = places[number]
            mine[at, :length] = advantages[index, begin : begin + length]
            back[at, :length] = returns[index, begin : begin + length]
        cut.append(part.with_advantages(mine, back))
    return cut


def explained_variance(parts: Sequence[Minibatch]) -> float | None:
    """1 - var(returns - values) / var(returns) over the actions; None where all returns are alike."""
    returns = torch.cat([part.returns[part.batch.chosen] for part in parts])
    values = torch.cat([part.values[part.batch.chosen] for part in parts])
    spread = float(returns.var(unbiased=False))
    if spread == 0:
        return None
    return 1 - float((returns - values).var(unbiased=False)) / spread
