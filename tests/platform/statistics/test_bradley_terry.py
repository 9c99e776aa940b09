"""Strengths against saturated models that can be solved by hand, another optimiser, and planted truth."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from trivox.platform.errors import UsageError
from trivox.platform.statistics.bradley_terry import Bout, bradley_terry
from trivox.platform.statistics.winning import TiePolicy, win_rates

TINY = 1e-9


def bouts(first: str, second: str, wins: int, losses: int, ties: int = 0) -> list[Bout]:
    sides = [1] * wins + [-1] * losses + [0] * ties
    return [Bout(first, second, side) for side in sides]


def strengths(found: object) -> dict[str, float]:
    return {one.item: one.strength for one in found.standings}  # type: ignore[attr-defined]


def test_two_items_with_ties_by_hand() -> None:
    """Shown in both orders alike: 8 wins, 2 losses, 4 ties each way. Apart by ln 4; side 0; tie ln(4 / 4) = 0."""
    found = bradley_terry(bouts("a", "b", 8, 2, 4) + bouts("b", "a", 2, 8, 4), TINY)
    one = strengths(found)
    assert one["a"] - one["b"] == pytest.approx(math.log(4), abs=1e-6)
    assert found.side == pytest.approx(0, abs=1e-6) and found.tie == pytest.approx(0, abs=1e-6)
    assert found.probability("a", "b") == pytest.approx(0.8, abs=1e-6)


def test_the_pull_of_a_side_by_hand() -> None:
    """a first: a wins 9 of 12 (logit ln 3); b first: b wins 6 of 12 (logit 0). So d + g = ln 3 and g - d = 0:
    both are ln(3) / 2."""
    found = bradley_terry(bouts("a", "b", 9, 3) + bouts("b", "a", 6, 6), TINY)
    one = strengths(found)
    assert one["a"] - one["b"] == pytest.approx(math.log(3) / 2, abs=1e-6)
    assert found.side == pytest.approx(math.log(3) / 2, abs=1e-6) and found.tie is None


def test_walds_interval_by_hand() -> None:
    """n bouts won with share p: the variance of the difference is 1 / (n p (1 - p)). Each order has 50 with 40 won
    by a, so that the side is orthogonal: variance 1/16, and half the difference for each strength, se 1/8."""
    found = bradley_terry(bouts("a", "b", 40, 10) + bouts("b", "a", 10, 40), TINY)
    best = found.standings[0]
    assert best.item == "a" and best.bouts == 100
    assert best.interval.high - best.strength == pytest.approx(1.96 * 0.125, abs=1e-3)


def test_another_optimiser_finds_the_same() -> None:
    rng = np.random.default_rng(0)
    given = [
        Bout(int(a), int(b), int(rng.integers(-1, 2)), float(rng.random()))
        for a, b in rng.integers(5, size=(200, 2))
        if a != b
    ]

    def loss(x: np.ndarray) -> float:
        total = 0.01 * (x**2).sum() / 2
        for one in given:
            a, b = x[one.first] + x[5], x[one.second]  # type: ignore[index]
            logits = np.array([a, b, x[6] + (a + b) / 2])
            chosen = {1: 0, -1: 1, 0: 2}[one.side]
            total -= one.weight * (logits[chosen] - np.log(np.exp(logits).sum()))
        return float(total)

    best = minimize(loss, np.zeros(7), method="BFGS").x
    found = bradley_terry(given)
    one = strengths(found)
    for item in range(1, 5):
        apart = one[item] - one[0]  # type: ignore[index]
        assert apart == pytest.approx(best[item] - best[0], abs=1e-4)
    assert found.side == pytest.approx(best[5], abs=1e-4)
    assert found.tie == pytest.approx(best[6], abs=1e-4)


def test_planted_strengths_and_side_are_found() -> None:
    rng = np.random.default_rng(4)
    true, side = np.array([-1.0, -0.3, 0.3, 1.0]), 0.4
    given = []
    for a, b in rng.integers(4, size=(6000, 2)):
        if a != b:
            p = 1 / (1 + math.exp(true[b] - true[a] - side))
            given.append(Bout(int(a), int(b), 1 if rng.random() < p else -1))
    found = bradley_terry(given)
    assert [one.item for one in found.standings] == [3, 2, 1, 0]
    assert all(true[one.item] in one.interval for one in found.standings)  # type: ignore[index]
    assert side in found.side_interval


def test_ranked_by_the_lower_bound() -> None:
    """b won its only two bouts, a 60 of 80: b may be the better one, but a is known to be good."""
    given = (
        bouts("a", "c", 30, 10)
        + bouts("c", "a", 10, 30)
        + bouts("b", "c", 1, 0)
        + bouts("c", "b", 0, 1)
    )
    found = bradley_terry(given, 0.1)
    assert strengths(found)["b"] > strengths(found)["a"]
    assert [one.item for one in found.standings] == ["a", "c", "b"] or found.standings[
        0
    ].item == "a"


def test_clusters_widen_what_they_repeat() -> None:
    """Ten judges who say the same ten times each know as much as ten answers."""
    rng = np.random.default_rng(5)
    given = []
    for judge in range(10):
        side = 1 if rng.random() < 0.7 else -1
        given += [Bout("a", "b", side, cluster=judge)] * 5 + [
            Bout("b", "a", -side, cluster=judge)
        ] * 5
    clustered = bradley_terry(given).standings[0].interval
    plain = bradley_terry([Bout(b.first, b.second, b.side) for b in given]).standings[0].interval
    assert clustered.high - clustered.low > 2 * (plain.high - plain.low)


def test_the_unbeaten_stay_finite_and_nonsense_is_refused() -> None:
    assert math.isfinite(bradley_terry(bouts("a", "b", 5, 0)).standings[0].strength)
    for wrong in ([], [Bout("a", "a", 1)], [Bout("a", "b", 2)], [Bout("a", "b", 1, -1.0)]):
        with pytest.raises(UsageError):
            bradley_terry(wrong)


def test_win_rates_micro_and_macro_by_hand() -> None:
    """Prompt p: 3 wins, 1 loss; prompt q: 1 loss, 1 tie. Micro, ties half: 3.5 / 6; macro: (3/4 + 1/4) / 2.
    Ties dropped: micro 3 / 5, macro (3/4 + 0) / 2."""
    sides = [1, 1, 1, -1, -1, 0]
    groups = ["p", "p", "p", "p", "q", "q"]
    half = win_rates(sides, groups, TiePolicy.HALF)
    assert half.micro == pytest.approx(3.5 / 6) and half.macro == pytest.approx(0.5)
    drop = win_rates(sides, groups, TiePolicy.DROP)
    assert drop.micro == pytest.approx(0.6) and drop.macro == pytest.approx(3 / 8)
    assert drop.macro in drop.macro_interval and drop.micro in drop.micro_interval
    assert win_rates([0, 0], ["p", "q"], TiePolicy.DROP).micro is None
    weighed = win_rates([1, -1], ["p", "q"], TiePolicy.HALF, weights=[3.0, 1.0])
    assert weighed.micro == pytest.approx(0.75)
