"""What people agree among themselves: no reward can be shown to be better than that."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trivox.platform.statistics.agreement import split_half
from trivox.platform.statistics.intervals import Interval, mean_interval
from trivox.reward_models.report.judged import JudgedPair, majority, sign


@dataclass(frozen=True)
class Ceiling:
    """accuracy: of a rater against the majority of the others, a tie half right; None where nobody can be held
    against others, and reason says why. votes: how many were held out. reliability: of the raters' mean strength,
    by Spearman and Brown; None where it cannot be told."""

    accuracy: float | None
    interval: Interval
    votes: int
    reliability: float | None
    reliability_interval: Interval
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "interval": [self.interval.low, self.interval.high],
            "votes": self.votes,
            "reliability": self.reliability,
            "reliability_interval": [self.reliability_interval.low, self.reliability_interval.high],
            "reason": self.reason,
        }


def ceiling(pairs: Sequence[JudgedPair], seed: int = 0) -> Ceiling:
    """Each rater is left out in turn and held against the majority of the others, where those have one.

    By hand: votes 1, 1, -1: leaving out either 1 leaves 1 and -1, undecided; leaving out -1 leaves 1, 1: wrong.
    With 1, 1, 1, -1: three times right, once wrong: 3/4. Ties (0) of the one left out are half right.
    """
    found = [(credit, pair.prompt) for pair in pairs for credit in left_out(pair)]
    units = [dict(pair.votes) for pair in pairs]
    half = split_half([{str(r): float(v) for r, v in unit.items()} for unit in units], seed)
    # Halves that contradict each other have no reliability that could be stepped up.
    reliable = half.value if half.value is not None and math.isfinite(half.value) else None
    if not found:
        most = max((len(unit) for unit in units), default=0)
        reason = f"no vote can be held against others: pairs have at most {most} raters, 2 or more are needed"
        return Ceiling(None, Interval(0.0, 1.0), 0, reliable, half.interval, reason)
    values = [value for value, _ in found]
    interval = mean_interval(values, [prompt for _, prompt in found], seed)
    return Ceiling(
        sum(values) / len(values), _bounded(interval), len(values), reliable, half.interval
    )


def left_out(pair: JudgedPair) -> list[float]:
    """Of each rater whose others have a majority."""
    votes = list(pair.votes.values())
    found = []
    for index, vote in enumerate(votes):
        others = majority(votes[:index] + votes[index + 1 :]) if len(votes) > 1 else 0
        if others:
            found.append((1 + sign(vote) * others) / 2)
    return found


def _bounded(interval: Interval) -> Interval:
    return Interval(max(0.0, interval.low), min(1.0, interval.high))
