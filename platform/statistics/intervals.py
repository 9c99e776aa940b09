"""Confidence intervals: Wilson for proportions, a cluster bootstrap for (paired) means."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from trivox.platform.errors import UsageError

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """Bounds of a confidence interval, in the unit of what was estimated; infinite if unknown."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def stored(self) -> dict[str, float | None]:
        """low and high as JSON has them: None where there is no bound."""
        bounds = {"low": self.low, "high": self.high}
        return {name: one if math.isfinite(one) else None for name, one in bounds.items()}


def told(low: float | None, high: float | None, shown: str) -> str:
    """Stored bounds for people; shown: a format of one, such as ".1%"."""
    if low is None or high is None:
        return "no interval from a single group"
    return f"{low:{shown}} to {high:{shown}}"


@dataclass(frozen=True)
class WinRate:
    """Wins among decisive comparisons, with a Wilson interval; ties are counted apart, not split.

    rate is None and the interval [0, 1] when no comparison was decisive.
    """

    rate: float | None
    interval: Interval
    decisive: int
    ties: int


def wilson(successes: int, n: int, confidence: float = _CONFIDENCE) -> Interval:
    """Score interval of a proportion (Wilson 1927). n = 0 gives [0, 1].

    Raises UsageError unless 0 <= successes <= n and 0 < confidence < 1.
    """
    if not 0 <= successes <= n:
        raise UsageError(f"{successes} successes of {n} trials: expected 0 <= successes <= trials")
    z = _normal_quantile(confidence)
    if n == 0:
        return Interval(0.0, 1.0)
    share, scale = successes / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    low = 0.0 if successes == 0 else centre - half
    return Interval(low, 1.0 if successes == n else centre + half)


def win_rate(wins: int, losses: int, ties: int, confidence: float = _CONFIDENCE) -> WinRate:
    """Wins / (wins + losses). Raises UsageError for negative counts."""
    if min(wins, losses, ties) < 0:
        raise UsageError(f"{wins} wins, {losses} losses, {ties} ties: counts cannot be negative")
    decisive = wins + losses
    rate = wins / decisive if decisive else None
    return WinRate(rate, wilson(wins, decisive, confidence), decisive, ties)


def paired_bootstrap(
    differences: Sequence[float],
    groups: Sequence[Hashable],
    seed: int,
    n: int = 2000,
    confidence: float = _CONFIDENCE,
) -> Interval:
    """Interval of the mean of paired differences (after minus before), whole groups resampled.

    groups: the cluster of each difference (its prompt, say); pairs of a group are never torn apart.
    """
    return mean_interval(differences, groups, seed, n, confidence)


def mean_interval(
    values: Sequence[float],
    groups: Sequence[Hashable],
    seed: int,
    n: int = 2000,
    confidence: float = _CONFIDENCE,
) -> Interval:
    """Percentile interval of the mean by a cluster bootstrap (Davison & Hinkley 1997, section 3.8).

    n resamples of whole groups with replacement; the statistic is the mean over all values drawn.
    One group alone says nothing of how groups differ: its interval is infinite. Raises UsageError
    for no values, for values that are not finite, and for values and groups of other lengths.
    """
    _checked(values, groups)
    _normal_quantile(confidence)
    sums, sizes = _by_group(values, groups)
    if len(sums) == 1:
        return Interval(-math.inf, math.inf)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(n, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _checked(values: Sequence[float], groups: Sequence[Hashable]) -> None:
    if len(values) != len(groups):
        raise UsageError(
            f"{len(values)} values but {len(groups)} groups: give one group for each value"
        )
    if not len(values):
        raise UsageError("no values to estimate from: at least one is needed")
    strange = [value for value in values if not math.isfinite(value)]
    if strange:
        raise UsageError(
            f"{len(strange)} of {len(values)} values are not finite: leave out failures"
        )


def _by_group(
    values: Sequence[float], groups: Sequence[Hashable]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and count of each group [groups], in order of first appearance."""
    index = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    where = np.array([index[group] for group in groups])
    sums = np.bincount(where, weights=np.asarray(values, dtype=np.float64))
    return sums.astype(np.float64), np.bincount(where).astype(np.float64)


def _normal_quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise UsageError(f"confidence {confidence} is outside (0, 1): give 0.95 for 95%")
    return float(norm.ppf((1 + confidence) / 2))
