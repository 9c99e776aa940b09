"""Whether the trainer finds the log-probabilities that the rollout engine reported."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trivox.platform.errors import WorkError
from trivox.policy.trainers.rl.episodes import Batch


@dataclass(frozen=True)
class Bounds:
    """How far log-probabilities of generation and training may be apart, by engine.

    exact: nats; in one process and in fp32 anything beyond means wrong weights, tokens or mask and stops the run.
    None for other engines, whose rounding differs. cap: of the importance weight pi_train / pi_rollout (truncated
    importance sampling, Yao et al. 2025). floor: below it an action is left out of the loss. mean: nats, of all
    actions together; an engine whose rounding is its own lies far below, and other weights above. None: no say.
    """

    exact: float | None = 1e-3
    mean: float | None = None
    cap: float = 2.0
    floor: float = 0.1


IN_PROCESS = Bounds()
OTHER_ENGINE = Bounds(exact=None, mean=0.25)
STALE = Bounds(exact=None)
"""Answers of an older policy are apart by their nature: the weights correct it, no difference stops the run."""
SLACK = 4.0
"""How many times the largest difference of its first step an engine may be apart later."""


@dataclass(frozen=True)
class Agreement:
    """worst and mean absolute difference in nats over the actions; weights float [R, T]: truncated importance
    weights, 0 where an action is left out; masked: share of the actions that are."""

    worst: float
    mean: float
    weights: Tensor
    masked: float


def calibrated(bounds: Bounds, worst: float) -> Bounds:
    """Bounds of an engine whose rounding is its own, from its first step: worst is the largest difference there in
    nats. What was calibrated before stays; floor and cap go on correcting the rest."""
    return bounds if bounds.exact is not None else replace(bounds, exact=max(SLACK * worst, 1e-3))


def compare(batch: Batch, recomputed: Tensor, bounds: Bounds) -> Agreement:
    """recomputed float [R, T] by the weights that made the rollouts. Raises WorkError for a difference beyond
    bounds.exact, or a mean one beyond bounds.mean."""
    difference = recomputed.detach().double() - batch.generated
    apart = torch.where(batch.chosen, difference.abs(), 0.0)
    worst = float(apart.max())
    if bounds.exact is not None and not worst <= bounds.exact:
        raise WorkError(_told(batch, apart, recomputed, bounds.exact))
    actions = int(batch.chosen.sum())
    mean = float(apart.sum()) / max(1, actions)
    if bounds.mean is not None and not mean <= bounds.mean:
        raise WorkError(
            f"the engine's log-probabilities and the trainer's are {mean:.3g} nats apart on average of {actions} "
            f"actions, more than {bounds.mean:g}: the engine works with other weights, tokens or constraints"
        )
    ratio = torch.where(batch.chosen, difference, 0.0).exp()
    kept = ratio >= bounds.floor
    masked = int((~kept & batch.chosen).sum()) / max(1, actions)
    weights = torch.where(kept, ratio.clamp(max=bounds.cap), 0.0).to(recomputed.dtype)
    return Agreement(worst, mean, weights, masked)


def _told(batch: Batch, apart: Tensor, recomputed: Tensor, exact: float) -> str:
    row, step = divmod(int(apart.argmax()), apart.shape[1])
    return (
        f"turn {row}, token {step}: the rollout reported a log-probability of "
        f"{float(batch.generated[row, step]):.4f} and the trainer finds {float(recomputed[row, step]):.4f}, more "
        f"than {exact:g} apart: the rollouts are of other weights, tokens or constraints than the policy"
    )
