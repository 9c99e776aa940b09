"""The likelihood of judgements by hand, and what must hold of it everywhere."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trivox.reward_models.bradley_terry.losses import davidson_loss, outcome_logits

REWARDS = st.floats(-20, 20, allow_nan=False)


def loss(
    chosen: float,
    rejected: float,
    *,
    tied: bool = False,
    tie: float | None = None,
    margin: float = 0.0,
    smoothing: float = 0.0,
    centre: float = 0.0,
) -> float:
    found = davidson_loss(
        torch.tensor([chosen], dtype=torch.float64),
        torch.tensor([rejected], dtype=torch.float64),
        torch.tensor([tied]),
        None if tie is None else torch.tensor(tie, dtype=torch.float64),
        torch.tensor([margin], dtype=torch.float64),
        torch.ones(1, dtype=torch.float64),
        smoothing,
        centre,
    )
    return float(found)


def test_by_hand() -> None:
    """Rewards 1 and 0. No ties: ln(1 + e^-1) = 0.313262. A margin of 1: ln 2. Smoothed by 0.1: 0.9 * 0.313262 +
    0.1 * 1.313262 = 0.413262. With t = 0: ln((e^0.5 + e^-0.5 + 1) / e^0.5) = ln(1 + e^-1 + e^-0.5) = 0.680270; a
    tie costs ln(e^0.5 + e^-0.5 + 1) = 1.180270. Centred by 0.01: 0.01 * (1 + 0)^2 more."""
    assert loss(1, 0) == pytest.approx(0.313262, abs=1e-6)
    assert loss(1, 0, margin=1) == pytest.approx(math.log(2))
    assert loss(1, 0, smoothing=0.1) == pytest.approx(0.413262, abs=1e-6)
    assert loss(1, 0, tie=0.0) == pytest.approx(0.680270, abs=1e-6)
    assert loss(1, 0, tied=True, tie=0.0) == pytest.approx(1.180270, abs=1e-6)
    assert loss(1, 0, tied=True, tie=0.0, margin=3) == pytest.approx(1.180270, abs=1e-6)
    assert loss(1, 0, centre=0.01) == pytest.approx(0.323262, abs=1e-6)


def test_without_ties_it_is_the_loss_of_trl() -> None:
    """-logsigmoid(chosen - rejected - margin), the mean over pairs."""
    chosen, rejected, margin = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    none = torch.zeros(5, dtype=torch.bool)
    found = davidson_loss(chosen, rejected, none, None, margin, torch.ones(5))
    wanted = -torch.nn.functional.logsigmoid(chosen - rejected - margin).mean()
    assert float(found) == pytest.approx(float(wanted))


def test_weights() -> None:
    """Losses ln 2 (even rewards) and 0.313262, weights 1 and 3: (0.693147 + 3 * 0.313262) / 4 = 0.408233."""
    none = torch.zeros(2, dtype=torch.bool)
    found = davidson_loss(
        torch.tensor([0.0, 1.0]),
        torch.zeros(2),
        none,
        None,
        torch.zeros(2),
        torch.tensor([1.0, 3.0]),
    )
    assert float(found) == pytest.approx(0.408233, abs=1e-6)


def test_ties_among_none_do_not_poison_the_gradient() -> None:
    chosen = torch.tensor([0.3, -0.2], requires_grad=True)
    tie = torch.zeros((), requires_grad=True)
    ties = torch.tensor([True, False])
    davidson_loss(chosen, torch.zeros(2), ties, tie, torch.zeros(2), torch.ones(2)).backward()
    assert chosen.grad is not None and bool(chosen.grad.isfinite().all())
    assert tie.grad is not None and float(tie.grad) != 0
    alone = torch.tensor([0.3], requires_grad=True)
    one: Tensor = torch.zeros(1)
    davidson_loss(alone, one, one.bool(), None, one, torch.ones(1)).backward()
    assert alone.grad is not None and bool(alone.grad.isfinite().all())


@given(REWARDS, REWARDS, st.floats(-3, 3))
def test_swapping_swaps_the_outcomes(one: float, other: float, tie: float) -> None:
    """P(one wins) of (one, other) is P(other wins) of (other, one); P(tie) stays; all three add up to 1."""
    t = torch.tensor(tie, dtype=torch.float64)
    here, there = (
        outcome_logits(torch.tensor([d], dtype=torch.float64), t).softmax(-1)[0]
        for d in (one - other, other - one)
    )
    assert here.tolist() == pytest.approx(there[[1, 0, 2]].tolist(), abs=1e-12)
    assert float(here.sum()) == pytest.approx(1)
