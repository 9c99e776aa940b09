"""Accepted drafts by position, worked by hand."""

import math

import pytest

from trivox.platform.records import DecodingStatistics
from trivox.platform.statistics.acceptance import acceptance


def test_survival_and_conditional_rates_are_two_things() -> None:
    """10 rounds of 2 drafts: 8 first ones stayed, 2 of them as the last token of a completion: 8 second ones
    were proposed; 3 stayed. Survival .8 and 3/8, conditional .8 and 3/6, mean length 1 + .8 + .375."""
    found = acceptance(
        [DecodingStatistics(6, (6, 5), (5, 2)), DecodingStatistics(4, (4, 3), (3, 1))]
    )
    assert found is not None
    assert found.prefix_survival == pytest.approx((0.8, 0.375))
    assert found.conditional == pytest.approx((0.8, 0.5))
    assert found.mean_length == pytest.approx(2.175)
    assert (found.longest, found.rounds) == (3, 10)


def test_stepaudios_own_figures() -> None:
    """MTP-5 of arXiv 2605.23463, table 3: survival .95 .88 .80 .71 .64 is 4.98 of 6."""
    found = acceptance([DecodingStatistics(100, (100,) * 5, (95, 88, 80, 71, 64))])
    assert found is not None and found.mean_length == pytest.approx(4.98)
    assert found.conditional[1] == pytest.approx(88 / 95)


def test_what_was_never_judged_is_no_number() -> None:
    assert acceptance([DecodingStatistics(5)]) is None
    found = acceptance([DecodingStatistics(1, (1, 0), (1, 0))])
    assert found is not None and math.isnan(found.conditional[1])
