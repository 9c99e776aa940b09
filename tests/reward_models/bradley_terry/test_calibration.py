"""Temperature and width by hand, and against truths that were planted."""

import math

import numpy as np
import pytest

from trivox.platform.errors import UsageError
from trivox.reward_models.bradley_terry.calibration import (
    fit_temperature,
    head_covariance,
    negative_log_likelihood,
)


def test_temperature_by_hand() -> None:
    """Differences of 1, three of four right: sigmoid(b) = 3/4, b = ln 3. Loss before: (3 * 0.313262 + 1.313262) /
    4 = 0.563262; after: the entropy of 3/4, 0.562335."""
    found = fit_temperature(np.array([1.0, 1.0, 1.0, -1.0]), np.zeros(4, bool))
    assert found.temperature == pytest.approx(1 / math.log(3), abs=1e-6) and found.tie is None
    assert found.nll_before == pytest.approx(0.563262, abs=1e-6)
    assert found.nll_after == pytest.approx(0.562335, abs=1e-6)


def test_ties_by_hand() -> None:
    """Equal rewards: neither side can be told, so T is of no effect; one tie among three: e^t / (e^t + 2) = 1/3,
    t = 0."""
    ties = np.array([True, False, False])
    found = fit_temperature(np.array([0.0, 0.0, 0.0]), ties)
    assert found.tie == pytest.approx(0.0, abs=1e-6)
    assert found.nll_after == pytest.approx(math.log(3))


def test_a_planted_temperature_is_found() -> None:
    """Judgements drawn with T = 2.5 and t = -0.5, by the likelihood itself."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 4, 20_000)
    logits = np.stack([true / 5, -true / 5, np.full_like(true, -0.5)], 1)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    drawn = (p.cumsum(1) < rng.random((len(true), 1))).sum(1)
    differences = np.where(drawn == 1, -true, true)
    found = fit_temperature(differences, drawn == 2)
    assert found.temperature == pytest.approx(2.5, rel=0.05)
    assert found.tie == pytest.approx(-0.5, abs=0.05)
    assert found.nll_after <= found.nll_before


def test_rewards_that_are_never_wrong_leave_no_loss() -> None:
    found = fit_temperature(np.array([1.0, 2.0]), np.zeros(2, bool))
    assert 0.001 <= found.temperature < 0.1 and found.nll_after < 1e-9


def test_rewards_worse_than_chance_say_nothing() -> None:
    found = fit_temperature(np.array([-1.0, -1.0, 1.0]), np.zeros(3, bool))
    assert found.temperature == pytest.approx(1000)


@pytest.mark.parametrize(
    ("differences", "ties"), [([], []), ([0.5], [True]), ([float("nan")], [False]), ([1.0], [])]
)
def test_bad_input(differences: list[float], ties: list[bool]) -> None:
    with pytest.raises(UsageError):
        fit_temperature(np.array(differences), np.array(ties, bool))


def test_nll_of_a_tie_by_hand() -> None:
    """d = 1, t = 0: -ln of 1 / (e^0.5 + e^-0.5 + 1) = 1.180270."""
    found = negative_log_likelihood(np.array([1.0]), np.array([True]), 1.0, 0.0)
    assert found == pytest.approx(1.180270, abs=1e-6)


def test_width_by_hand() -> None:
    """H = 1: two pairs with f = 2 and d = 0: 2 * 1/4 * 4 + 1 = 3. A pair of weight 0 tells nothing."""
    features = np.array([[2.0], [2.0], [9.0]])
    found = head_covariance(features, np.zeros(3), np.array([1.0, 1.0, 0.0]))
    assert found.tolist() == [[pytest.approx(1 / 3)]]
