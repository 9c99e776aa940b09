"""What a report is made from: pairs that people judged, with what a reward said of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivox.platform.errors import UsageError
from trivox.platform.records import Branch, JudgeKind

NARROW, WIDE = "slight", "clear"
CLEAR = 1.5
"""Mean strength (1 to 3) from which a preference is clear."""


@dataclass(frozen=True)
class JudgedPair:
    """Two replies to a prompt. votes: rater -> signed strength for the first (1 to 3), 0 a tie; abstentions are
    left out. judges: who the raters were: people, or not. texts: what both say, None where unknown; expressive:
    whether a style was asked for. difference: the reward of the first less the second's, None where it failed on
    either (failure says why); probability: that the first is better by the reward, None where it does not say.
    orders: sides (1, -1, 0) by a pairwise judge with the first shown first, and second; None for scorers that
    score each reply alone. sizes: name -> (of the first, of the second), such as seconds, LUFS, letters.
    """

    id: str
    prompt: str
    branch: Branch
    source: str
    judges: JudgeKind
    votes: Mapping[str, int]
    difference: float | None
    probability: float | None = None
    failure: str | None = None
    texts: tuple[str | None, str | None] = (None, None)
    expressive: bool | None = None
    orders: tuple[int, int] | None = None
    sizes: Mapping[str, tuple[float, float]] | None = None

    @property
    def side(self) -> int:
        """The majority's: 1 the first, -1 the second, 0 a tie or none."""
        return majority(list(self.votes.values()))

    @property
    def credit(self) -> float | None:
        """1 where the reward prefers what the majority does, 0.5 where it prefers neither, 0 else; None where
        either has nothing to say."""
        if self.side == 0 or self.difference is None:
            return None
        return (1 + sign(self.difference * self.side)) / 2

    @property
    def strength(self) -> float:
        """Mean strength in favour of the majority's side."""
        return self.side * sum(self.votes.values()) / max(1, len(self.votes))

    def swapped(self) -> "JudgedPair":
        """The same pair told from its other reply."""
        sizes = {name: (b, a) for name, (a, b) in self.sizes.items()} if self.sizes else None
        return JudgedPair(
            self.id, self.prompt, self.branch, self.source, self.judges,
            {rater: -vote for rater, vote in self.votes.items()},
            None if self.difference is None else -self.difference,
            None if self.probability is None else 1 - self.probability,
            self.failure, self.texts[::-1], self.expressive,
            None if self.orders is None else (-self.orders[0], -self.orders[1]), sizes,
        )  # fmt: skip


def sign(value: float) -> int:
    return (value > 0) - (value < 0)


def majority(votes: Sequence[int]) -> int:
    """The most frequent of first, second and tie; 0 where two are as frequent."""
    sides = [sign(vote) for vote in votes]
    counts = sorted(((sides.count(side), side) for side in (1, -1, 0)), reverse=True)
    return 0 if counts[0][0] == counts[1][0] else counts[0][1]


def check_judged(pairs: Sequence[JudgedPair]) -> None:
    """Raises UsageError for no pairs, none with a preferred side, numbers that are not finite, probabilities
    outside [0, 1], and people and simulated raters in one."""
    if not pairs:
        raise UsageError("no judged pairs to report on: label comparisons first")
    for pair in pairs:
        _check(pair)
    kinds = {pair.judges for pair in pairs}
    if len(kinds) > 1:
        named = ", ".join(sorted(kinds))
        raise UsageError(f"pairs judged by {named} together: report on one kind of judge at a time")
    if not any(pair.side for pair in pairs):
        raise UsageError(
            f"all {len(pairs)} pairs are ties or undecided: there is nothing to agree with; label more"
        )


def _check(pair: JudgedPair) -> None:
    if pair.difference is not None and not math.isfinite(pair.difference):
        raise UsageError(
            f"pair {pair.id}: the rewards differ by {pair.difference}: a failure is given as None with its cause"
        )
    if pair.probability is not None and not 0 <= pair.probability <= 1:
        raise UsageError(f"pair {pair.id}: probability {pair.probability} is outside [0, 1]")
    if strange := [vote for vote in pair.votes.values() if vote not in range(-3, 4)]:
        raise UsageError(f"pair {pair.id}: vote {strange[0]}: give -3 to 3, 0 for a tie")
