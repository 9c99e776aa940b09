"""Flips, calibration and abstention against numbers worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import UsageError
from trivox.platform.statistics.judging import (
    Bin,
    Coverage,
    abstention_curve,
    calibration_error,
    flip_rate,
    reliability,
)


def test_any_change_is_a_flip_and_what_was_not_judged_is_counted_apart() -> None:
    found = flip_rate([(1, 1), (1, -1), (0, 1), None])
    assert (found.rate, found.judged, found.unjudged) == (2 / 3, 3, 1)
    assert 2 / 3 in found.interval


def test_without_a_pair_in_both_orders_there_is_no_rate() -> None:
    found = flip_rate([None, None])
    assert (found.rate, found.judged, found.unjudged) == (None, 0, 2)
    assert (found.interval.low, found.interval.high) == (0, 1)


def test_calibration_by_hand() -> None:
    """Bins (0.9, 1.0, 2) and (0.6, 0.5, 2): 0.5 * 0.1 + 0.5 * 0.1."""
    confidences, right = [0.9, 0.9, 0.6, 0.6], [True, True, True, False]
    assert reliability(confidences, right) == [Bin(0.6, 0.5, 2), Bin(0.9, 1.0, 2)]
    assert calibration_error(confidences, right) == pytest.approx(0.1)


def test_full_confidence_is_in_the_last_bin() -> None:
    assert reliability([1.0, 0.95], [True, False]) == [Bin(0.975, 0.5, 2)]


def test_abstention_by_hand() -> None:
    curve = abstention_curve([0.9, 0.6, 0.6], [True, True, False])
    assert curve == [Coverage(0.6, 1.0, 2 / 3), Coverage(0.9, 1 / 3, 1.0)]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_curve_begins_with_all_answers_and_the_order_is_of_no_effect(
    answers: list[tuple[float, bool]],
) -> None:
    confidences, right = [c for c, _ in answers], [r for _, r in answers]
    curve = abstention_curve(confidences, right)
    assert curve[0].coverage == 1 and curve[0].accuracy == pytest.approx(sum(right) / len(right))
    assert [one.threshold for one in curve] == sorted(set(confidences))
    assert curve == abstention_curve(confidences[::-1], right[::-1])
    assert 0 <= calibration_error(confidences, right) <= 1


@pytest.mark.parametrize(
    ("confidences", "right", "message"),
    [([], [], "no answers"), ([0.5], [], "1 confidences but 0"), ([1.5], [True], "outside")],
)
def test_refusals(confidences: list[float], right: list[bool], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        calibration_error(confidences, right)
    with pytest.raises(UsageError, match=message):
        abstention_curve(confidences, right)
