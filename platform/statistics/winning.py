"""Win rates: over all answers (micro) and as the mean of groups (macro), with what becomes of ties stated."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trivox.platform.errors import UsageError
from trivox.platform.statistics.intervals import Interval


class TiePolicy(StrEnum):
    """half: a tie is half a win; drop: ties are left out."""

    HALF = "half"
    DROP = "drop"


@dataclass(frozen=True)
class WinRates:
    """micro: share of wins among answers; macro: mean of the groups' shares. None without answers that count."""

    ties: TiePolicy
    micro: float | None
    micro_interval: Interval
    macro: float | None
    macro_interval: Interval
    answers: int
    groups: int


def win_rates(
    sides: Sequence[int],
    groups: Sequence[Hashable],
    ties: TiePolicy,
    *,
    weights: Sequence[float] | None = None,
    seed: int = 0,
    resamples: int = 2000,
) -> WinRates:
    """sides: 1 a win, -1 a loss, 0 a tie; groups: prompts, say, resampled whole for both intervals.

    weights: 1 / inclusion, where questions were drawn with unequal probability (Hajek's estimator). Wins 3 and 0,
    losses 1 and 1 in two groups: micro 3/5, macro (3/4 + 0) / 2 = 3/8. Raises UsageError for other lengths.
    """
    weighed = [1.0] * len(sides) if weights is None else list(weights)
    if not len(sides) == len(groups) == len(weighed):
        raise UsageError(
            f"{len(sides)} sides, {len(groups)} groups, {len(weighed)} weights: one each"
        )
    rows = [
        (group, (side + 1) / 2 * weight, weight)
        for side, group, weight in zip(sides, groups, weighed, strict=True)
        if side or ties is TiePolicy.HALF
    ]
    if not rows:
        return WinRates(ties, None, Interval(0, 1), None, Interval(0, 1), 0, 0)
    place = {group: number for number, group in enumerate(dict.fromkeys(row[0] for row in rows))}
    where = [place[group] for group, _, _ in rows]
    won = np.bincount(where, weights=[row[1] for row in rows])
    total = np.bincount(where, weights=[row[2] for row in rows])
    micro, macro = _intervals(won, total, seed, resamples)
    return WinRates(
        ties,
        float(won.sum() / total.sum()),
        micro,
        float((won / total).mean()),
        macro,
        len(rows),
        len(place),
    )


def _intervals(
    won: np.ndarray, total: np.ndarray, seed: int, resamples: int
) -> tuple[Interval, Interval]:
    """Percentiles over resampled groups; [0, 1] for a single group, which tells nothing of how groups differ."""
    if len(won) < 2:
        return Interval(0.0, 1.0), Interval(0.0, 1.0)
    drawn = np.random.default_rng(seed).integers(len(won), size=(resamples, len(won)))
    micro = won[drawn].sum(axis=1) / total[drawn].sum(axis=1)
    macro = (won / total)[drawn].mean(axis=1)
    return _percentiles(micro), _percentiles(macro)


def _percentiles(values: np.ndarray) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(float(low), float(high))
