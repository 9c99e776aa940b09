"""What tells PPO and GRPO apart: which advantages, which loss."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from trivox.policy.trainers.rl.advantages import group_advantages
from trivox.policy.trainers.rl.critic import ValueHead, explained_variance, with_gae
from trivox.policy.trainers.rl.episodes import Episode
from trivox.policy.trainers.rl.figures import Figures
from trivox.policy.trainers.rl.kl import KLController
from trivox.policy.trainers.rl.logprobs import Said
from trivox.policy.trainers.rl.losses import (
    aggregated,
    clipped_objective,
    clipped_value_loss,
    importance_ratio,
    kl_estimate,
)
from trivox.policy.trainers.rl.minibatches import Minibatch
from trivox.policy.trainers.rl.settings import GRPOSettings, PPOSettings


class Algorithm(Protocol):
    """critic: its value head, None without one; controller: of the KL coefficient."""

    @property
    def critic(self) -> nn.Module | None: ...

    @property
    def controller(self) -> KLController: ...

    def kept(self, episodes: Sequence[Episode]) -> list[Episode]:
        """The episodes that there is something to learn from."""
        ...

    def prepared(self, parts: Sequence[Minibatch], episodes: Sequence[Episode]) -> list[Minibatch]:
        """The minibatches with their advantages."""
        ...

    def loss(self, part: Minibatch, now: Said, step: int) -> tuple[Tensor, Figures]:
        """Of a minibatch by the policy as it is now."""
        ...

    def figures(self, parts: Sequence[Minibatch]) -> Figures:
        """What there is to say of the prepared minibatches."""
        ...


@dataclass
class GRPO:
    settings: GRPOSettings
    controller: KLController
    critic: None = None

    def kept(self, episodes: Sequence[Episode]) -> list[Episode]:
        if self.settings.pass_rate is None:
            return list(episodes)
        low, high = self.settings.pass_rate
        groups = defaultdict[str, list[bool]](list)
        for one in episodes:
            groups[one.prompt].append(one.total >= self.settings.pass_at)
        rates = {prompt: sum(passed) / len(passed) for prompt, passed in groups.items()}
        return [one for one in episodes if low <= rates[one.prompt] <= high]

    def prepared(self, parts: Sequence[Minibatch], episodes: Sequence[Episode]) -> list[Minibatch]:
        numbers = {prompt: n for n, prompt in enumerate(dict.fromkeys(e.prompt for e in episodes))}
        rewards = torch.tensor([episode.total for episode in episodes])
        groups = [numbers[episode.prompt] for episode in episodes]
        worth = group_advantages(rewards, groups, self.settings.scale)
        return [
            part.with_advantages(
                worth.to(part.old.device)[part.batch.episodes][:, None].expand_as(part.old),
                part.returns,
            )
            for part in parts
        ]

    def loss(self, part: Minibatch, now: Said, step: int) -> tuple[Tensor, Figures]:
        settings, mask = self.settings, part.learned
        ratio = importance_ratio(now.logprobs, part.old, mask, settings.normalisation)
        losses = clipped_objective(ratio, part.advantages, settings.clip_low, settings.clip_high)
        losses = losses * part.agreement.weights
        if self.controller.coefficient:
            penalty = kl_estimate(now.logprobs, part.reference, "k3")
            losses = losses + self.controller.coefficient * penalty
        loss = aggregated(losses, mask, settings.normalisation, settings.max_tokens)
        loss = _explored(loss, now, mask, settings.entropy_coefficient)
        loss = loss + _drift(part, now, settings.hold_coefficient)
        return loss, _clipped(ratio, mask, settings.clip_low, settings.clip_high)

    def figures(self, parts: Sequence[Minibatch]) -> Figures:
        return {}


@dataclass
class PPO:
    settings: PPOSettings
    controller: KLController
    critic: ValueHead

    def kept(self, episodes: Sequence[Episode]) -> list[Episode]:
        return list(episodes)

    def prepared(self, parts: Sequence[Minibatch], episodes: Sequence[Episode]) -> list[Minibatch]:
        made = with_gae(parts, episodes, self.settings, self.controller.coefficient)
        self.critic.settle(made)
        return made

    def loss(self, part: Minibatch, now: Said, step: int) -> tuple[Tensor, Figures]:
        settings, mask = self.settings, part.learned
        values = self.critic(now.hidden, part.batch.numbers)
        value_loss = clipped_value_loss(
            values, part.values, part.returns, mask, settings.value_clip
        )
        figures = {"value_loss": value_loss.item()}
        if step < settings.critic_warmup:
            return value_loss, figures
        ratio = importance_ratio(now.logprobs, part.old, mask, "dapo")
        losses = clipped_objective(ratio, part.advantages, settings.clip_low, settings.clip_high)
        losses = losses * part.agreement.weights
        policy_loss = aggregated(losses, mask, "dapo", settings.max_tokens)
        policy_loss = _explored(policy_loss, now, mask, settings.entropy_coefficient)
        policy_loss = policy_loss + _drift(part, now, settings.hold_coefficient)
        # The value head reads detached states, so the sum of both losses mixes no gradients.
        clipped = _clipped(ratio, mask, settings.clip_low, settings.clip_high)
        return policy_loss + value_loss, figures | clipped

    def figures(self, parts: Sequence[Minibatch]) -> Figures:
        explained = explained_variance(parts)
        return {} if explained is None else {"explained_variance": explained}


def _explored(loss: Tensor, now: Said, mask: Tensor, coefficient: float) -> Tensor:
    """The loss less the entropy bonus; without a weight nothing is added to the graph."""
    return loss - coefficient * now.entropy[mask].mean() if coefficient else loss


def _drift(part: Minibatch, now: Said, coefficient: float) -> Tensor | float:
    """What holds the tokens that nothing is learned of at the reference; 0 where there are none."""
    held = part.batch.chosen & ~part.learned
    if not coefficient or not bool(held.any()):
        return 0.0
    return coefficient * kl_estimate(now.logprobs, part.reference, "k3")[held].mean()


def _clipped(ratio: Tensor, mask: Tensor, low: float, high: float) -> Figures:
    """The share of actions whose ratio left the range in which it counts."""
    outside = ((ratio < 1 - low) | (ratio > 1 + high)) & mask
    return {"clip_share": float(outside.sum()) / max(1, int(mask.sum()))}
