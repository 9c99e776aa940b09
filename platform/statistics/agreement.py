"""How far judges agree: Krippendorff's alpha, Fleiss' kappa, ICC(2,k), and the split-half ceiling."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trivox.platform.errors import UsageError
from trivox.platform.statistics.intervals import Interval

Level = Literal["nominal", "ordinal", "interval", "ratio"]
Matrix = NDArray[np.float64]
UNKNOWN = Interval(-math.inf, math.inf)


@dataclass(frozen=True)
class Agreement:
    """value is None where the data cannot tell: fewer than two ratings of any unit, or no variation. units: how
    many things were rated by two or more."""

    value: float | None
    interval: Interval
    units: int


def krippendorff_alpha(
    ratings: Sequence[Mapping[Hashable, float]],
    level: Level,
    seed: int = 0,
    resamples: int = 1000,
) -> Agreement:
    """Alpha of units, each rater -> value; who did not rate is left out (Krippendorff 2018, chapter 12).

    1 is perfect agreement, 0 what chance gives. The interval is that of Krippendorff's own bootstrap (Hayes).
    The canonical example of 4 raters and 12 units has 0.743 nominal, 0.815 ordinal, 0.849 interval.
    """
    units = [unit for unit in ratings if len(unit) >= 2]
    values = {value for unit in units for value in unit.values()}
    if len(values) < 2:
        return Agreement(None, UNKNOWN, len(units))
    import pandas as pd
    from evalica import alpha_bootstrap

    raters = list(dict.fromkeys(rater for unit in units for rater in unit))
    table = pd.DataFrame(
        [[unit.get(rater, math.nan) for unit in units] for rater in raters], dtype=float
    )
    found = alpha_bootstrap(table, level, n_resamples=resamples, random_state=seed)
    return Agreement(float(found.alpha), Interval(float(found.low), float(found.high)), len(units))


def fleiss_kappa(
    counts: Sequence[Sequence[int]], seed: int = 0, resamples: int = 1000
) -> Agreement:
    """Kappa of [units, categories] counts, the same number of ratings of each unit (Fleiss 1971).

    Of 2 units with counts (2, 0) and (1, 1): agreement in units 1 and 0, mean 1/2; shares 3/4 and 1/4 agree by
    chance in 10/16; kappa = (1/2 - 5/8) / (3/8) = -1/3. Interval: units resampled. Raises UsageError for units
    with other numbers of ratings.
    """
    table = np.array(counts, dtype=float)
    raters = set(table.sum(axis=1)) if table.size else set()
    if len(raters) > 1 or any(number < 2 for number in raters):
        raise UsageError(f"units have {sorted(raters)} ratings: kappa wants one number, 2 or more")
    return _resampled(table, _kappa, seed, resamples)


def _kappa(table: Matrix) -> float | None:
    if not len(table):
        return None
    n = table[0].sum()
    within = ((table * (table - 1)).sum(axis=1) / (n * (n - 1))).mean()
    shares = table.sum(axis=0) / table.sum()
    chance = float((shares**2).sum())
    return None if chance > 1 - 1e-12 else float((within - chance) / (1 - chance))


def _resampled(
    table: Matrix, statistic: Callable[[Matrix], float | None], seed: int, resamples: int
) -> Agreement:
    """Percentile interval over resampled rows."""
    value = statistic(table)
    if value is None or len(table) < 2:
        return Agreement(value, UNKNOWN, len(table))
    rng = np.random.default_rng(seed)
    drawn = [statistic(table[rng.integers(len(table), size=len(table))]) for _ in range(resamples)]
    known = [one for one in drawn if one is not None]
    if len(known) < resamples / 2:
        return Agreement(value, UNKNOWN, len(table))
    low, high = np.quantile(known, [0.025, 0.975])
    return Agreement(value, Interval(float(low), float(high)), len(table))


def icc2k(ratings: Sequence[Sequence[float]], confidence: float = 0.95) -> Agreement:
    """ICC(2,k) of [units, raters]: how far the mean of the k raters would repeat with other raters.

    Two-way random effects, absolute agreement (Shrout and Fleiss 1979; the interval of McGraw and Wong 1996, table
    7, by Satterthwaite's degrees of freedom). The example of Shrout and Fleiss (6 targets, 4 judges) has
    0.62. Raises UsageError for a table with gaps.
    """
    table = np.array(ratings, dtype=float)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all():
        raise UsageError("ICC(2,k) wants every unit rated by the same two or more raters")
    n, k = table.shape
    if n < 2:
        return Agreement(None, UNKNOWN, n)
    rows, columns, error = _mean_squares(table)
    below = rows + (columns - error) / n
    if below <= 0:
        return Agreement(None, UNKNOWN, n)
    return Agreement(
        (rows - error) / below, _icc_interval(rows, columns, error, n, k, confidence), n
    )


def _mean_squares(table: Matrix) -> tuple[float, float, float]:
    """Mean squares of a two-way layout: between rows, between columns, the rest."""
    n, k = table.shape
    grand = table.mean()
    rows = k * ((table.mean(axis=1) - grand) ** 2).sum() / (n - 1)
    columns = n * ((table.mean(axis=0) - grand) ** 2).sum() / (k - 1)
    rest = ((table - grand) ** 2).sum() - rows * (n - 1) - columns * (k - 1)
    return float(rows), float(columns), max(float(rest) / ((n - 1) * (k - 1)), 0.0)


def _icc_interval(
    rows: float, columns: float, error: float, n: int, k: int, confidence: float
) -> Interval:
    """Of ICC(2,1) by its F quantiles, stepped up to k raters by Spearman and Brown."""
    from scipy.stats import f

    single = (rows - error) / (rows + (k - 1) * error + k * (columns - error) / n)
    if error <= 0 or not -1 / (k - 1) < single < 1:
        return UNKNOWN
    a, b = k * single / (n * (1 - single)), 1 + k * single * (n - 1) / (n * (1 - single))
    spread = a * columns + b * error
    parts = (a * columns) ** 2 / (k - 1) + (b * error) ** 2 / ((n - 1) * (k - 1))
    if parts <= 0:
        return UNKNOWN
    freedom, upper = spread**2 / parts, (1 + confidence) / 2
    high, low = float(f.ppf(upper, n - 1, freedom)), float(f.ppf(upper, freedom, n - 1))
    common = k * columns + (k * n - k - n) * error
    below = n * (rows - high * error) / (high * common + n * rows)
    above = n * (low * rows - error) / (common + n * low * rows)
    return Interval(spearman_brown(below, k), spearman_brown(above, k))


def spearman_brown(reliability: float, factor: float) -> float:
    """Reliability of `factor` times as many judges: f r / (1 + (f - 1) r). Of 0.5 and 2: 2/3."""
    return factor * reliability / (1 + (factor - 1) * reliability)


def split_half(
    ratings: Sequence[Mapping[Hashable, float]],
    seed: int = 0,
    splits: int = 100,
    resamples: int = 500,
) -> Agreement:
    """The ceiling for any predictor of these ratings: the reliability of their means, by Spearman and Brown.

    The raters of each unit are split at random in halves (an odd one is left out), the two means correlated over
    units, and r stepped up to both halves: 2r / (1 + r); the median over splits. Interval: units resampled.
    """
    units = [list(unit.values()) for unit in ratings if len(unit) >= 2]
    if len(units) < 3:
        return Agreement(None, UNKNOWN, len(units))
    rng = np.random.default_rng(seed)
    halves = np.stack([_halves(units, rng) for _ in range(splits)])  # [splits, units, 2]
    value = _ceiling(halves)
    if value is None:
        return Agreement(None, UNKNOWN, len(units))
    drawn = []
    for _ in range(resamples):
        chosen = rng.integers(len(units), size=len(units))
        drawn.append(_ceiling(halves[rng.integers(splits)][None, chosen]))
    known = [one for one in drawn if one is not None and math.isfinite(one)]
    low, high = np.quantile(known, [0.025, 0.975]) if known else (-math.inf, math.inf)
    return Agreement(value, Interval(float(low), float(high)), len(units))


def _halves(units: Sequence[Sequence[float]], rng: np.random.Generator) -> Matrix:
    rows = []
    for unit in units:
        shuffled, half = rng.permutation(unit), len(unit) // 2
        rows.append((shuffled[:half].mean(), shuffled[half : 2 * half].mean()))
    return np.array(rows)


def _ceiling(halves: Matrix) -> float | None:
    """Median over splits of the stepped-up correlation; None where nothing varies."""
    left, right = halves[:, :, 0], halves[:, :, 1]
    a, b = left - left.mean(axis=1, keepdims=True), right - right.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    usable = scale > 1e-12
    if not usable.any():
        return None
    r = float(np.median((a * b).sum(axis=1)[usable] / scale[usable]))
    return spearman_brown(r, 2.0) if r > -1 + 1e-9 else -math.inf
