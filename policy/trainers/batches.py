"""Which rows are trained on together: batches of like length and one branch, planned for all epochs at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import ConfigError
from trivox.platform.records import Branch
from trivox.policy.rows import Row
from trivox.policy.vocabulary import TokenMap

JITTER = 0.1
"""Lengths differ by up to this share before they count as different, so that a row meets others in each epoch."""


@dataclass(frozen=True)
class BatchPlan:
    """Batches as indices of rows, in the order of training, through all epochs; a batch sampler of torch."""

    batches: tuple[tuple[int, ...], ...]
    batch_size: None = None
    drop_last: bool = False

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(list(batch) for batch in self.batches)


def branch_marks(tokens: TokenMap) -> dict[int, Branch]:
    """The token that begins the prompts of each branch."""
    return {tokens.asr: Branch.ASR, tokens.tts: Branch.TTS, tokens.realtime: Branch.REALTIME}


def branch_of(tokens: TokenMap, row: Row) -> Branch:
    """By the mark that begins the prompt; raises ConfigError for another token."""
    marks = branch_marks(tokens)
    first = row.prompt[0] if row.prompt else None
    if first not in marks:
        raise ConfigError(
            f"a row's prompt begins with token {first} and the branches with {sorted(marks)}: "
            "make it with the prompt function of a branch"
        )
    return marks[first]


def plan_batches(
    lengths: Sequence[int],
    branches: Sequence[Branch],
    weights: Sequence[float],
    epochs: int,
    batch_tokens: int,
    seed: int,
) -> BatchPlan:
    """weights: how often each row is seen in an epoch, on average over the epochs; whole numbers exactly.

    A batch holds rows of one branch, up to batch_tokens with padding, or one row that is longer alone.
    Raises ConfigError for a weight that is not 0 or more, and when no row is ever drawn.
    """
    wanted = np.asarray(weights, np.float64)
    wrong = wanted[~(np.isfinite(wanted) & (wanted >= 0))]
    if len(wrong):
        raise ConfigError(f"SFT: the weight of a row is {wrong[0]}: give 0 or more")
    phases = np.random.default_rng([seed, 0]).random(len(wanted))
    batches: list[tuple[int, ...]] = []
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, 1, epoch])
        seen = np.floor(wanted * (epoch + 1) + phases) - np.floor(wanted * epoch + phases)
        drawn = np.repeat(np.arange(len(wanted)), seen.astype(np.int64))
        batches += _epoch(drawn, np.asarray(lengths), branches, batch_tokens, rng)
    if not batches:
        raise ConfigError(
            f"SFT: the weights of {len(wanted)} rows leave none: raise weights or epochs"
        )
    return BatchPlan(tuple(batches))


def _epoch(
    drawn: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    branches: Sequence[Branch],
    batch_tokens: int,
    rng: np.random.Generator,
) -> list[tuple[int, ...]]:
    batches: list[tuple[int, ...]] = []
    for branch in Branch:
        rows = np.array([row for row in drawn if branches[row] is branch], np.int64)
        keys = lengths[rows] * (1 + JITTER * rng.random(len(rows)))
        batches += _cut(rows[np.argsort(keys, kind="stable")].tolist(), lengths, batch_tokens)
    return [batches[index] for index in rng.permutation(len(batches))]


def _cut(
    rows: list[int], lengths: npt.NDArray[np.int64], batch_tokens: int
) -> list[tuple[int, ...]]:
    batches, batch, longest = list[tuple[int, ...]](), list[int](), 0
    for row in rows:
        longest = max(longest, int(lengths[row]))
        if batch and longest * (len(batch) + 1) > batch_tokens:
            batches.append(tuple(batch))
            batch, longest = [], int(lengths[row])
        batch.append(row)
    return [*batches, tuple(batch)] if batch else batches
