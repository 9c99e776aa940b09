"""The loss of the blocks, worked by hand."""

import math

import pytest
import torch
from torch import nn

from trivox.policy.mtp.loss import horizon_weights, main_loss, mtp_loss
from trivox.policy.rows import IGNORED


def test_weights_fall_by_a_tenth_and_sum_to_one() -> None:
    """1, .9, .81 over 2.71."""
    assert horizon_weights(3) == pytest.approx([1 / 2.71, 0.9 / 2.71, 0.81 / 2.71])
    assert sum(horizon_weights(5)) == pytest.approx(1)


def test_each_block_predicts_its_own_horizon() -> None:
    """Tokens 3 0 1 0 1, the first two of the prompt, a head that hands the 2 outputs on. Block 1 counts at
    positions 1 and 2 (tokens 3 and 4: 0 and 1), block 2 at position 1 (token 4: 1). States of zeros give ln 2;
    block 2 is sure of 1 with odds of 3 to 1: -ln .75. Weights 1/1.9 and .9/1.9."""
    labels = torch.tensor([[IGNORED, IGNORED, 1, 0, 1]])
    first, second = torch.zeros(1, 5, 2), torch.zeros(1, 5, 2)
    second[0, 1, 1] = math.log(3)
    found = mtp_loss([first, second], nn.Identity(), labels)
    assert found.by_horizon == pytest.approx([math.log(2), -math.log(0.75)])
    assert float(found.total) == pytest.approx((math.log(2) - 0.9 * math.log(0.75)) / 1.9)
    assert found.hits == pytest.approx([0.5, 1.0])


def test_a_horizon_beyond_the_batch_counts_for_nothing() -> None:
    labels = torch.tensor([[IGNORED, 1, 0]])
    states = [torch.zeros(1, 3, 2, requires_grad=True) for _ in range(3)]
    found = mtp_loss(states, nn.Identity(), labels)
    assert found.by_horizon[0] == pytest.approx(math.log(2))
    assert all(math.isnan(one) for one in found.by_horizon[1:])
    assert math.isfinite(float(found.total.detach()))


def test_the_main_branch_predicts_the_next_token() -> None:
    """Position 0 says 1 with odds of 3 to 1, position 1 says nothing: (-ln .75 + ln 2) / 2."""
    hidden = torch.zeros(1, 3, 2)
    hidden[0, 0, 1] = math.log(3)
    found = main_loss(hidden, nn.Identity(), torch.tensor([[IGNORED, 1, 0]]))
    assert float(found) == pytest.approx((math.log(2) - math.log(0.75)) / 2)
