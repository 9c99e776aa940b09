"""The turns of a step in minibatches, with all that was known of them before the update."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trivox.policy.trainers.rl.agreement import Agreement, Bounds, compare
from trivox.policy.trainers.rl.episodes import Batch, Episode, batch_of
from trivox.policy.trainers.rl.logprobs import said
from trivox.policy.trainers.rl.reference import Reference


@dataclass(frozen=True)
class Minibatch:
    """old, reference: log-probabilities float [R, T] by the policy before the update and by the reference; values
    of the critic before the update; agreement with the engine; advantages and returns are filled in once they are
    known. learned bool [R, T]: the actions that the loss is of. rows: the numbers of its turns among those of the
    step."""

    batch: Batch
    rows: tuple[int, ...]
    learned: Tensor
    old: Tensor
    reference: Tensor
    values: Tensor
    agreement: Agreement
    advantages: Tensor
    returns: Tensor

    def with_advantages(self, advantages: Tensor, returns: Tensor) -> "Minibatch":
        return replace(self, advantages=advantages, returns=returns)


def minibatches(
    model: Any,
    reference: Reference,
    critic: nn.Module | None,
    episodes: Sequence[Episode],
    size: int,
    pad: int,
    bounds: Bounds,
    rng: np.random.Generator,
    learnable: Tensor | None = None,
) -> list[Minibatch]:
    """All turns of the episodes, shuffled, in minibatches. learnable bool [V]: the tokens that the loss is of,
    none: all. Raises WorkError as `compare` and `batch_of` do."""
    turns = [(turn, at) for at, one in enumerate(episodes) for turn in one.turns]
    numbers = [number for one in episodes for number in range(len(one.turns))]
    order = rng.permutation(len(turns)).tolist()
    made = []
    for begin in range(0, len(order), size):
        rows = order[begin : begin + size]
        chosen, owners = zip(*[turns[row] for row in rows], strict=True)
        batch = batch_of(chosen, owners, pad, [numbers[row] for row in rows])
        batch = batch.to(model.device)
        learned = batch.chosen if learnable is None else batch.chosen & learnable[batch.tokens]
        made.append(_known(model, reference, critic, batch, tuple(rows), learned, bounds))
    return made


@torch.no_grad()
def _known(
    model: Any,
    reference: Reference,
    critic: nn.Module | None,
    batch: Batch,
    rows: tuple[int, ...],
    learned: Tensor,
    bounds: Bounds,
) -> Minibatch:
    now = said(model, batch)
    with reference.using() as other:
        theirs = said(other, batch).logprobs
    empty = torch.zeros_like(now.logprobs)
    values = empty if critic is None else critic(now.hidden, batch.numbers)
    agreement = compare(batch, now.logprobs, bounds)
    return Minibatch(batch, rows, learned, now.logprobs, theirs, values, agreement, empty, empty)
