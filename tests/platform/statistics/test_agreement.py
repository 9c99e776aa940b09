"""Agreement against published examples, hand-worked numbers, and formulas written out anew."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivox.platform.errors import UsageError
from trivox.platform.statistics.agreement import (
    fleiss_kappa,
    icc2k,
    krippendorff_alpha,
    spearman_brown,
    split_half,
)

# Krippendorff (2011), computing alpha-reliability, example C: 4 raters (rows), 12 units, gaps as 0.
CANONICAL = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]
UNITS = [
    {rater: float(row[unit]) for rater, row in enumerate(CANONICAL) if row[unit]}
    for unit in range(12)
]
# Shrout and Fleiss (1979), table 2: 6 targets by 4 judges.
SHROUT = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
# Fleiss (1971) as worked out in many textbooks: 10 subjects, 14 raters, 5 categories.
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "value"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)],
)
def test_krippendorffs_own_example(level: str, value: float) -> None:
    found = krippendorff_alpha(UNITS, level, resamples=200)  # type: ignore[arg-type]
    assert found.value == pytest.approx(value, abs=6e-4)
    assert found.value in found.interval and found.interval.low < found.interval.high
    assert found.units == 11  # one unit has a single rating


def test_alpha_cannot_tell_without_variation() -> None:
    assert krippendorff_alpha([{"a": 1.0, "b": 1.0}] * 5, "nominal").value is None
    assert krippendorff_alpha([{"a": 1.0}, {"b": 2.0}], "nominal").units == 0


def nominal_alpha(units: list[dict[int, float]]) -> float:
    """From the coincidence matrix: 1 - (n - 1) sum of o_ck off the diagonal / sum of n_c n_k."""
    values = sorted({v for unit in units for v in unit.values()})
    o = np.zeros((len(values), len(values)))
    for unit in units:
        rated = list(unit.values())
        for i, one in enumerate(rated):
            for j, other in enumerate(rated):
                if i != j:
                    o[values.index(one), values.index(other)] += 1 / (len(rated) - 1)
    totals = o.sum(axis=1)
    n = totals.sum()
    observed = o.sum() - np.trace(o)
    expected = (n**2 - (totals**2).sum()) / (n - 1)
    return float(1 - observed / expected)


_ROWS = st.lists(st.lists(st.integers(1, 3), min_size=2, max_size=4), min_size=3, max_size=12)


@given(_ROWS)
@settings(max_examples=30, deadline=None)
def test_nominal_alpha_by_its_coincidence_matrix(rows: list[list[int]]) -> None:
    units = [{rater: float(value) for rater, value in enumerate(row)} for row in rows]
    found = krippendorff_alpha(units, "nominal", resamples=5)  # type: ignore[arg-type]
    if found.value is not None:
        assert found.value == pytest.approx(nominal_alpha(units), abs=1e-9)


def test_fleiss_own_example_and_two_units_by_hand() -> None:
    """2 units (2, 0), (1, 1): (1/2 - 5/8) / (3/8) = -1/3."""
    found = fleiss_kappa(FLEISS)
    assert found.value == pytest.approx(0.210, abs=5e-4)
    assert found.value in found.interval
    assert fleiss_kappa([[2, 0], [1, 1]]).value == pytest.approx(-1 / 3)
    assert fleiss_kappa([[2, 0], [2, 0]]).value is None
    with pytest.raises(UsageError, match="one number"):
        fleiss_kappa([[2, 0], [1, 0]])


def test_icc_of_shrout_and_fleiss() -> None:
    """Their table 4 gives ICC(2,1) = 0.29 and ICC(2,k) = 0.62; McGraw and Wong's interval of ICC(2,1) is
    [0.02, 0.76], thus that of four judges [0.07, 0.93]."""
    found = icc2k(SHROUT)
    assert found.value == pytest.approx(0.620, abs=5e-4)
    assert found.interval.low == pytest.approx(spearman_brown(0.0188, 4), abs=2e-3)
    assert found.interval.high == pytest.approx(spearman_brown(0.7611, 4), abs=2e-3)


def test_icc_by_hand() -> None:
    """Two units, two raters: 1, 2 and 3, 4. Rows: 2(1 + 1) / 1 = 4; columns 2(1/4 + 1/4) = 1; the rest 0.
    ICC(2,2) = (4 - 0) / (4 + (1 - 0) / 2) = 8/9."""
    assert icc2k([[1, 2], [3, 4]]).value == pytest.approx(8 / 9)
    assert icc2k([[1, 2]]).value is None
    with pytest.raises(UsageError, match="every unit"):
        icc2k([[1.0, math.nan], [2.0, 3.0]])


def test_spearman_brown() -> None:
    assert spearman_brown(0.5, 2) == pytest.approx(2 / 3)
    assert spearman_brown(spearman_brown(0.3, 4), 1 / 4) == pytest.approx(0.3)


def test_the_ceiling_of_planted_noise() -> None:
    """Truth of variance 1 with noise of variance 1 in each of 8 ratings: reliability of the mean is 8/9."""
    rng = np.random.default_rng(3)
    truth = rng.normal(size=400)
    units = [{judge: float(t + rng.normal()) for judge in range(8)} for t in truth]
    found = split_half(units, splits=30, resamples=200)  # type: ignore[arg-type]
    assert found.value == pytest.approx(8 / 9, abs=0.02) and 8 / 9 in found.interval
    alike = [{0: float(t), 1: float(t)} for t in truth]
    assert split_half(alike, splits=5, resamples=20).value == pytest.approx(1.0)  # type: ignore[arg-type]
    assert split_half(alike[:2]).value is None  # type: ignore[arg-type]
