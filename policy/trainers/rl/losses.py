"""The losses of PPO and GRPO on log-probabilities, by their names in the literature."""

from typing import Literal

import torch
from torch import Tensor

Normalisation = Literal["grpo", "dr_grpo", "dapo", "gspo"]
"""How the tokens of a batch become one loss: "grpo" the mean over answers of the mean over their tokens (Shao et
al. 2024), "dr_grpo" the sum over tokens by a constant length (Liu et al. 2025), "dapo" the mean over all tokens
(Yu et al. 2025), "gspo" one ratio for each answer, the geometric mean of its tokens' (Zheng et al. 2025)."""


def importance_ratio(
    logprobs: Tensor, old: Tensor, mask: Tensor, normalisation: Normalisation
) -> Tensor:
    """pi / pi_old for each action, float [R, T]; 1 where mask is not set. "gspo": the same for all of an answer,
    with the gradient of the sequence's ratio."""
    difference = torch.where(mask, logprobs - old, 0.0)
    if normalisation == "gspo":
        lengths = mask.sum(1, keepdim=True).clamp(min=1)
        difference = (difference.sum(1, keepdim=True) / lengths).expand_as(difference)
    return difference.exp()


def clipped_objective(
    ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """-min(r A, clip(r, 1 - low, 1 + high) A) for each action, float [R, T] (Schulman et al. 2017, equation 7)."""
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def aggregated(losses: Tensor, mask: Tensor, normalisation: Normalisation, longest: int) -> Tensor:
    """Losses of actions float [R, T] -> one number; longest: the constant length of "dr_grpo", in tokens."""
    kept = torch.where(mask, losses, 0.0)
    if normalisation in ("grpo", "gspo"):
        return (kept.sum(1) / mask.sum(1).clamp(min=1)).mean()
    if normalisation == "dr_grpo":
        return kept.sum() / (len(losses) * longest)
    return kept.sum() / mask.sum().clamp(min=1)


def clipped_value_loss(
    values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float
) -> Tensor:
    """Half the mean over actions of max((v - R)^2, (clip(v, v_old - c, v_old + c) - R)^2), all float [R, T]."""
    held = old + (values - old).clamp(-clip, clip)
    worst = torch.maximum((values - returns) ** 2, (held - returns) ** 2)
    return 0.5 * torch.where(mask, worst, 0.0).sum() / mask.sum().clamp(min=1)


def kl_estimate(logprobs: Tensor, reference: Tensor, kind: Literal["k1", "k2", "k3"]) -> Tensor:
    """KL(pi || reference) for each action from its one sample (Schulman, joschu.net/blog/kl-approx.html), [R, T].

    k1 = log r is unbiased and may be negative; k2 = (log r)^2 / 2 is biased and small in variance; k3 = 1/r - 1 +
    log r is unbiased and never negative; r = pi / reference.
    """
    log_ratio = logprobs - reference
    if kind == "k1":
        return log_ratio
    if kind == "k2":
        return 0.5 * log_ratio**2
    return (-log_ratio).exp() - 1 + log_ratio
