"""How likely a judgement is, given the rewards of both replies: Bradley and Terry (1952), ties by Davidson (1970).

With d the reward of one less that of the other, and t a log-propensity to tie, the outcomes are as
    one wins : the other wins : tie  =  exp(d / 2) : exp(-d / 2) : exp(t).
Without ties t is minus infinity and one wins with sigmoid(d). This is the model of
`trivox.platform.statistics.bradley_terry` without its term for the side shown first.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def outcome_logits(difference: Tensor, tie: Tensor | None) -> Tensor:
    """[B] -> [B, 3] unnormalised log-probabilities: one wins, the other wins, tie (None: there are no ties)."""
    half = difference / 2
    third = torch.full_like(half, -torch.inf) if tie is None else tie.expand_as(half)
    return torch.stack([half, -half, third], dim=-1)


def davidson_loss(
    chosen: Tensor,
    rejected: Tensor,
    ties: Tensor,
    tie: Tensor | None,
    margins: Tensor,
    weights: Tensor,
    smoothing: float = 0.0,
    centre: float = 0.0,
) -> Tensor:
    """Weighted mean of -log P(judgement) over pairs, one number.

    chosen, rejected: rewards float [B], of either order where ties [B] (bool) says that they are equal. tie: the
    log-propensity. margins [B]: by how much the rewards have to differ before a pair counts as learned (Llama 2,
    equation 2); ties have none. weights [B]: how sure the label is. smoothing: probability that a label has the
    wrong side. centre: weight of (chosen + rejected)^2, which holds the rewards around 0.

    By hand: rewards 1 and 0, no ties: ln(1 + e^-1) = 0.313262; with margin 1: ln 2 = 0.693147. With smoothing 0.1:
    0.9 * 0.313262 + 0.1 * 1.313262 = 0.413262. With t = 0: ln((e^0.5 + e^-0.5 + 1) / e^0.5) = 0.680270, and were
    it a tie 1.180270.
    """
    offsets = torch.where(ties, torch.zeros_like(margins), margins)
    logp = F.log_softmax(outcome_logits(chosen - rejected - offsets, tie), dim=-1)
    decided = -(1 - smoothing) * logp[:, 0] - smoothing * logp[:, 1]
    # Where nothing ties, the third column is minus infinity and must not meet the gradient.
    losses = decided if tie is None else torch.where(ties, -logp[:, 2], decided)
    losses = losses + centre * (chosen + rejected) ** 2
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).eps)
