"""The loss of the blocks: cross-entropy of each, the nearer ones weighing more."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trivox.policy.rows import IGNORED

DECAY = 0.9
"""Of a block's weight from one horizon to the next (StepAudio 2.5, section 4)."""


def horizon_weights(depth: int, decay: float = DECAY) -> list[float]:
    """w_h proportional to decay^(h-1), summing to 1."""
    raw = [decay**step for step in range(depth)]
    return [one / sum(raw) for one in raw]


@dataclass(frozen=True)
class HorizonLoss:
    """total: sum of w_h CE(h), a scalar with its gradient; by_horizon: CE(h) in nats, NaN where the batch had no
    token so far ahead; hits: share of targets that were the likeliest token."""

    total: Tensor
    by_horizon: tuple[float, ...]
    hits: tuple[float, ...]


def mtp_loss(
    states: Sequence[Tensor], head: nn.Module, labels: Tensor, decay: float = DECAY
) -> HorizonLoss:
    """states of block h = 1..H, [B, L, H]; labels int64 [B, L] aligned with the tokens, IGNORED where no loss is.

    Block h at position j predicts token j + 1 + h. It counts where that token has a loss and where token j + 1,
    which the main branch predicts from the same position, has one: drafts never begin inside a prompt.
    """
    total, losses, hits = states[0].new_zeros(()), list[float](), list[float]()
    for step, (weight, state) in enumerate(
        zip(horizon_weights(len(states), decay), states, strict=True), start=1
    ):
        targets = labels[:, step + 1 :]
        counted = (targets != IGNORED) & (labels[:, 1 : 1 + targets.shape[1]] != IGNORED)
        if not bool(counted.any()):
            losses.append(float("nan"))
            hits.append(float("nan"))
            continue
        logits = head(state[:, : targets.shape[1]][counted])
        loss = nn.functional.cross_entropy(logits.float(), targets[counted])
        total = total + weight * loss
        losses.append(float(loss.detach()))
        with torch.no_grad():
            hits.append(float((logits.argmax(-1) == targets[counted]).float().mean()))
    return HorizonLoss(total, tuple(losses), tuple(hits))


def main_loss(hidden: Tensor, head: nn.Module, labels: Tensor) -> Tensor:
    """CE of the main branch: hidden [B, L, H] at position j predicts token j + 1."""
    targets = labels[:, 1:]
    counted = targets != IGNORED
    logits = head(hidden[:, :-1][counted])
    return nn.functional.cross_entropy(logits.float(), targets[counted])
