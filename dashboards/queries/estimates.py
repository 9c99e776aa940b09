"""Intervals from sums, so that they can be had of millions of rows without reading them again.

A mean over pairs whose prompts repeat is a ratio of two sums over prompts. With s_g the sum and n_g the count of
prompt g, its variance is that of the ratio estimator (Cochran 1977, equation 6.13, without the finite population's
correction): G / (G - 1) * sum (s_g - p n_g)^2 / N^2. The square expands into four sums that add over rounds.
"""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from trivox.platform.statistics.intervals import Interval, wilson

Z = 1.959963984540054
SUMS = ("n", "s", "groups", "ss", "sn", "nn")
"""Of groups: count, sum, number of groups, and the sums of s_g^2, s_g n_g and n_g^2."""


def grouped_sums(
    rows: pl.LazyFrame, by: Sequence[str], group: str, value: str, count: str | None = None
) -> pl.LazyFrame:
    """SUMS of `value` for each `by`, over groups of `group`; rows without a value are left out.

    count: a column that says how many values each `value` is the sum of; None: one each.
    """
    number = pl.len() if count is None else pl.col(count).sum()
    inner = (
        rows.filter(pl.col(value).is_not_null())
        .group_by([*by, group])
        .agg(n_g=number.cast(pl.Float64), s_g=pl.col(value).cast(pl.Float64).sum())
        .filter(pl.col("n_g") > 0)
    )
    return inner.group_by(by).agg(
        n=pl.col("n_g").sum(),
        s=pl.col("s_g").sum(),
        groups=pl.len().cast(pl.Float64),
        ss=(pl.col("s_g") ** 2).sum(),
        sn=(pl.col("s_g") * pl.col("n_g")).sum(),
        nn=(pl.col("n_g") ** 2).sum(),
    )


def added(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """SUMS of several parts as those of the whole; a prompt in two parts counts as two groups."""
    if rows.is_empty():
        return rows.select([*by, *SUMS])
    return rows.group_by(by, maintain_order=True).agg(pl.col(list(SUMS)).sum())


def mean_of(n: float, s: float, groups: float, ss: float, sn: float, nn: float) -> float | None:
    """The mean, None of nothing."""
    return s / n if n else None


def interval_of(n: float, s: float, groups: float, ss: float, sn: float, nn: float) -> Interval:
    """95% interval of the mean; unbounded from one group alone.

    By hand: groups (s, n) = (2, 2), (0, 1), (1, 1): n = 4, s = 3, p = 3/4, residuals 0.5, -0.75, 0.25, their
    squares sum to 0.875; variance 3/2 * 0.875 / 16 = 0.08203, half width 1.96 * 0.28641 = 0.56136.
    """
    if groups < 2 or not n:
        return Interval(-math.inf, math.inf)
    p = s / n
    residual = max(0.0, ss - 2 * p * sn + p * p * nn)
    half = Z * math.sqrt(groups / (groups - 1) * residual) / n
    return Interval(p - half, p + half)


def with_means(sums: pl.DataFrame, low: float = -math.inf, high: float = math.inf) -> pl.DataFrame:
    """SUMS as columns value, low, high, n and groups; bounds are cut to [low, high]; those of nothing, and
    unbounded ones, are null."""
    rows = []
    for one in sums.to_dicts():
        given = [one.pop(name) for name in SUMS]
        found, value = interval_of(*given), mean_of(*given)
        if value in (0.0, 1.0) and (low, high) == (0.0, 1.0):
            # All alike: the sums see no spread, Wilson's interval of as many groups does.
            found = wilson(int(value * given[2]), int(given[2]))
        bounds = [max(low, found.low), min(high, found.high)]
        usable = [value is not None and math.isfinite(bound) for bound in bounds]
        shown = [bound if use else None for bound, use in zip(bounds, usable, strict=True)]
        rows.append(
            one | {"value": value, "low": shown[0], "high": shown[1], "n": int(given[0]), "groups": int(given[2])}
        )  # fmt: skip
    names = [name for name in sums.columns if name not in SUMS]
    schema: dict[str, Any] = {name: sums.schema[name] for name in names}
    numbers: dict[str, Any] = {
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "n": pl.Int64,
        "groups": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema | numbers)


def chained_odds(counts: Sequence[tuple[int, int]]) -> tuple[float, float, float] | None:
    """The win rate of the last of a chain of versions over the first, and its 95% interval, from (wins, losses) of
    each over the one before; None without any.

    Strengths add in log-odds (Bradley and Terry 1952), and so do their variances; half a win and half a loss are
    added to each, so that none is infinite (Haldane 1956). By hand: (3, 1) twice: each 3.5 / 1.5, log 0.8473, sum
    1.6946, rate 0.8448; variance 2 (1/3.5 + 1/1.5) = 1.9048, bounds 1.6946 +- 2.7050: 0.267 to 0.988.
    """
    if not counts:
        return None
    odds = sum(math.log((wins + 0.5) / (losses + 0.5)) for wins, losses in counts)
    variance = sum(1 / (wins + 0.5) + 1 / (losses + 0.5) for wins, losses in counts)
    half = Z * math.sqrt(variance)
    return _logistic(odds), _logistic(odds - half), _logistic(odds + half)


def _logistic(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))
