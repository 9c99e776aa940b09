"""The value head of PPO, and what its values say of the episodes of a step."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trivox.policy.trainers.rl.advantages import gae, whitened
from trivox.policy.trainers.rl.episodes import Episode
from trivox.policy.trainers.rl.minibatches import Minibatch
from trivox.policy.trainers.rl.settings import PPOSettings

TURNS = 64
"""Of an episode that have a level of their own; later ones share the last."""
FORGETS = 0.1
"""Share of a level that one step replaces."""


class ValueHead(nn.Module):
    """Hidden states [R, T, H] and the number of each turn int64 [R] -> the return that is expected from there on,
    [R, T]: a level for each turn of an episode, and what the states say beyond it.

    The level is the mean return that such turns had, for the states of a language model do not count turns. The
    policy's hidden states get no gradient, so a critic that is still wrong does the policy no harm.
    """

    level: Tensor
    seen: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("level", torch.zeros(TURNS))
        self.register_buffer("seen", torch.zeros(TURNS))
        last = nn.Linear(width, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.Tanh(), last)

    def forward(self, hidden: Tensor, numbers: Tensor) -> Tensor:
        values: Tensor = self.layers(hidden.detach().float())[..., 0]
        return values + self.level[numbers.clamp(max=TURNS - 1)][:, None]

    @torch.no_grad()
    def settle(self, parts: Sequence[Minibatch]) -> None:
        """Move the levels to the mean returns of a step: wholly at first, by FORGETS later."""
        returns = torch.cat([part.returns[part.learned] for part in parts])
        numbers = torch.cat(
            [
                part.batch.numbers.clamp(max=TURNS - 1)[:, None].expand_as(part.learned)[
                    part.learned
                ]
                for part in parts
            ]
        )
        for number in numbers.unique().tolist():
            self.seen[number] += 1
            rate = max(FORGETS, 1.0 / float(self.seen[number]))
            self.level[number] += rate * (returns[numbers == number].mean() - self.level[number])


def with_gae(
    parts: Sequence[Minibatch],
    episodes: Sequence[Episode],
    settings: PPOSettings,
    kl_coefficient: float,
) -> list[Minibatch]:
    """The minibatches with advantages and returns. A turn's reward stands at its last token; every action pays
    kl_coefficient times log pi / pi_reference; an episode's turns are one sequence of actions."""
    lines = _lines(parts, episodes, kl_coefficient, settings.turn_discount)
    rewards, values, mask, onward = (
        nn.utils.rnn.pad_sequence(list(part), True) for part in zip(*lines, strict=True)
    )
    after = torch.zeros(len(episodes), device=values.device)
    discount, decay, learned = settings.discount, settings.decay, settings.value_decay
    advantages, returns = gae(rewards, values, mask, discount, decay, after, onward)
    if learned is not None and learned != decay:
        _, returns = gae(rewards, values, mask, discount, learned, after, onward)
    if settings.whiten:
        advantages = whitened(advantages, mask)
    return _cut(parts, episodes, advantages, returns)


def _lines(
    parts: Sequence[Minibatch],
    episodes: Sequence[Episode],
    kl_coefficient: float,
    turn_discount: float,
) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Of each episode, its turns end to end: rewards, values, action mask, and by how much gamma is less from each
    token to the next."""
    where = {row: (part, at) for part in parts for at, row in enumerate(part.rows)}
    lines, row = [], 0
    for episode in episodes:
        pieces = []
        for turn, reward in zip(episode.turns, episode.rewards, strict=True):
            part, at = where[row]
            real = slice(0, len(turn.completion))
            paid = -kl_coefficient * (part.old - part.reference)[at, real]
            paid = torch.where(part.learned[at, real], paid, 0.0)
            paid[-1] += reward
            onward = torch.ones_like(paid)
            onward[-1] = turn_discount
            pieces.append((paid, part.values[at, real], part.learned[at, real], onward))
            row += 1
        lines.append(tuple(torch.cat(list(piece)) for piece in zip(*pieces, strict=True)))
    return lines  # type: ignore[return-value]  # tuple() of four


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
    returns = torch.cat([part.returns[part.learned] for part in parts])
    values = torch.cat([part.values[part.learned] for part in parts])
    spread = float(returns.var(unbiased=False))
    if spread == 0:
        return None
    return 1 - float((returns - values).var(unbiased=False)) / spread
