"""Intervals against numbers worked by hand or taken from the literature."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import UsageError
from trivox.platform.statistics.intervals import (
    Interval,
    mean_interval,
    paired_bootstrap,
    told,
    wilson,
    win_rate,
)


def test_wilson_by_hand() -> None:
    """8 of 10, z = 1.96: centre (0.8 + 0.19208) / 1.38416 = 0.71674, half width 0.22657."""
    interval = wilson(8, 10)
    assert interval.low == pytest.approx(0.4902, abs=1e-4)
    assert interval.high == pytest.approx(0.9433, abs=1e-4)


def test_wilson_edges() -> None:
    """0 of n ends at z^2 / (n + z^2) = 3.8415 / 13.8415."""
    assert wilson(0, 10).low == 0
    assert wilson(0, 10).high == pytest.approx(0.27753, abs=1e-5)
    assert wilson(10, 10).high == 1
    assert wilson(0, 0) == Interval(0, 1)


@given(n=st.integers(1, 500), data=st.data())
def test_wilson_holds_the_share_and_mirrors(n: int, data: st.DataObject) -> None:
    wins = data.draw(st.integers(0, n))
    interval, mirrored = wilson(wins, n), wilson(n - wins, n)
    assert wins / n in interval
    assert 0 <= interval.low <= interval.high <= 1
    assert interval.low == pytest.approx(1 - mirrored.high)


def test_win_rate_leaves_ties_out() -> None:
    result = win_rate(wins=6, losses=2, ties=12)
    assert (result.rate, result.decisive, result.ties) == (0.75, 8, 12)
    assert result.interval == wilson(6, 8)


def test_win_rate_of_ties_alone_is_unknown() -> None:
    result = win_rate(0, 0, 5)
    assert result.rate is None
    assert result.interval == Interval(0, 1)


def test_constant_values_have_no_width() -> None:
    assert mean_interval([0.25] * 6, range(6), seed=1) == Interval(0.25, 0.25)


def test_bootstrap_near_normal_theory() -> None:
    """Values 0..99, one group each: sd 28.866, standard error 2.887, so the mean 49.5 -+ 5.66."""
    interval = mean_interval(list(range(100)), range(100), seed=3, n=4000)
    assert interval.low == pytest.approx(49.5 - 5.66, abs=0.5)
    assert interval.high == pytest.approx(49.5 + 5.66, abs=0.5)


def test_groups_are_never_torn() -> None:
    """Two groups of ten copies: every resampled mean is -1, 0 or 1, and the interval is all of it."""
    values, groups = [-1.0] * 10 + [1.0] * 10, ["a"] * 10 + ["b"] * 10
    assert paired_bootstrap(values, groups, seed=5) == Interval(-1, 1)
    torn = paired_bootstrap(values, range(20), seed=5)
    assert -0.5 < torn.low < torn.high < 0.5


def test_same_seed_same_interval() -> None:
    values, groups = [0.1, 0.4, -0.2, 0.3], ["p", "q", "q", "r"]
    assert paired_bootstrap(values, groups, seed=7) == paired_bootstrap(values, groups, seed=7)


def test_one_group_tells_nothing() -> None:
    assert mean_interval([1.0, 2.0], ["p", "p"], seed=1) == Interval(-math.inf, math.inf)


@pytest.mark.parametrize(
    ("values", "groups", "said"),
    [([], [], "no values"), ([1.0], ["a", "b"], "2 groups"), ([math.nan], ["a"], "not finite")],
)
def test_refuses_what_it_cannot_estimate(values: list[float], groups: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        mean_interval(values, groups, seed=1)


def test_refuses_impossible_counts() -> None:
    with pytest.raises(UsageError, match="3 successes of 2"):
        wilson(3, 2)
    with pytest.raises(UsageError, match="negative"):
        win_rate(1, -1, 0)
    with pytest.raises(UsageError, match="outside"):
        wilson(1, 2, confidence=95)


def test_no_bound_is_stored_as_none_and_told() -> None:
    """JSON has no infinity: of a single group there is a mean and no interval."""
    assert mean_interval([0.5], ["a"], seed=0).stored == {"low": None, "high": None}
    assert Interval(-0.1, 0.25).stored == {"low": -0.1, "high": 0.25}
    assert told(None, None, ".1%") == "no interval from a single group"
    assert told(-0.1, 0.25, "+.2f") == "-0.10 to +0.25"
