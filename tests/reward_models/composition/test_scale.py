"""Normalisers, shapes, means and disagreement, by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.reward_models.composition.config import Normalise, Shape
from trivox.reward_models.composition.scale import (
    Statistics,
    combined,
    disagreement,
    normalised,
    shaped,
)


def test_normalisers_by_hand() -> None:
    """WER 0.25 on 1..0 is 0.75; MOS 3 on 1..5 is 0.5; a pitch spread of 7 is 1 off a target of 8 within 4:
    0.75."""
    assert normalised(0.25, Normalise(by="range", worst=1, best=0), False) == 0.75
    assert normalised(3, Normalise(by="range", worst=1, best=5), True) == 0.5
    assert normalised(7, Normalise(by="target", target=8, tolerance=4), True) == 0.75
    assert normalised(0.25, Normalise(), False) == -0.25
    assert normalised(0.25, Normalise(), True) == 0.25


def test_deviations_by_hand() -> None:
    """1, 2, 3, 6: mean 3, squares 50, variance 50 / 4 - 9 = 3.5; 6 lies 3 / sqrt(3.5) above."""
    found = Statistics().with_values([1, 2]).with_values([3, 6])
    assert (found.count, found.total, found.squares) == (4, 12, 50)
    assert found.deviations(6) == pytest.approx(3 / math.sqrt(3.5))
    assert Statistics().with_values([0.1] * 3).deviations(0.1) == 0


def test_shapes_by_hand() -> None:
    """exp(2.5 * (0.8 - 1)) = e^-0.5; 1 - tanh(3 * 0.2); 0.5^2; logistic of 0 is a half, of 2 at rate 1 0.8808."""
    assert shaped(0.8, Shape(by="exponential", rate=2.5), None) == pytest.approx(math.exp(-0.5))
    assert shaped(0.8, Shape(by="tanh", rate=3), None) == pytest.approx(1 - math.tanh(0.6))
    assert shaped(0.5, Shape(by="power", rate=2), (0, 1)) == 0.25
    assert shaped(-0.5, Shape(by="power", rate=2), (0, 1)) == 0
    assert shaped(0, Shape(by="logistic"), None) == 0.5
    assert shaped(2, Shape(by="logistic"), None) == pytest.approx(0.880797)
    assert (shaped(1.5, Shape(), (0, 1)), shaped(-2, Shape(), (0, 1))) == (1, 0)


def test_means_by_hand() -> None:
    """0.25 and 1 with weights 1 and 1: 0.5, 0.4, 0.625, 1.25; with weights 3 and 1: 0.25^0.75 = 0.35355,
    4 / (12 + 1) = 0.30769, 1.75 / 4 = 0.4375."""
    values = [0.25, 1.0]
    assert combined(values, [1, 1], "geometric") == pytest.approx(0.5)
    assert combined(values, [1, 1], "harmonic") == pytest.approx(0.4)
    assert combined(values, [1, 1], "mean") == pytest.approx(0.625)
    assert combined(values, [1, 1], "sum") == pytest.approx(1.25)
    assert combined(values, [3, 1], "geometric") == pytest.approx(0.35355, abs=1e-5)
    assert combined(values, [3, 1], "harmonic") == pytest.approx(0.30769, abs=1e-5)
    assert combined(values, [3, 1], "mean") == pytest.approx(0.4375)
    assert (
        combined([0.0, 1.0], [1, 1], "geometric") == combined([0.0, 1.0], [1, 1], "harmonic") == 0
    )


def test_disagreement_by_hand() -> None:
    """0 and 1 lie half apart from their mean; weighed 3 to 1 the mean is 0.25: squares 3/16 and
    9/16, sqrt((3 * 1/16 + 9/16) / 4) = sqrt(0.1875)."""
    assert disagreement([0, 1], [1, 1]) == 0.5
    assert disagreement([0, 1], [3, 1]) == pytest.approx(math.sqrt(0.1875))
    assert disagreement([0.7, 0.7], [2, 1]) == pytest.approx(0, abs=1e-12)


POSITIVE = st.lists(st.floats(0.01, 1), min_size=1, max_size=6)


@given(POSITIVE, st.randoms())
def test_means_lie_between_and_in_their_order(values: list[float], random: st.DataObject) -> None:
    weights = [random.uniform(0.1, 3) for _ in values]  # type: ignore[attr-defined]
    low, middle, high = (
        combined(values, weights, how) for how in ("harmonic", "geometric", "mean")
    )
    assert min(values) - 1e-12 <= low <= middle + 1e-12 <= high + 2e-12 <= max(values) + 3e-12


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.randoms())
def test_statistics_of_a_batch_do_not_depend_on_its_order(
    values: list[float], random: st.DataObject
) -> None:
    mixed = values.copy()
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert Statistics().with_values(values) == Statistics().with_values(mixed)
