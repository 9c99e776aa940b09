"""Preference losses on the log-probabilities of whole completions."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

PreferenceLoss = Literal["sigmoid", "sigmoid_norm", "ipo"]
"""sigmoid: DPO (Rafailov et al. 2023, equation 7). sigmoid_norm: the same on means over tokens, so that length
earns nothing. ipo: the squared distance of the mean margin to 1 / (2 beta) (Azar et al. 2024, equation 17; by the
mean over tokens, as TRL has it)."""


def preference_loss(
    chosen: Tensor,
    rejected: Tensor,
    lengths: tuple[Tensor, Tensor],
    kind: PreferenceLoss,
    beta: float,
    offsets: Tensor,
    weights: Tensor,
) -> Tensor:
    """The weighted mean over pairs, one number.

    chosen, rejected: sums over tokens of log pi - log reference, float [B]; lengths: of how many tokens each is.
    offsets [B]: by how much beta times the margin has to exceed 0 before the pair counts as learned (DPO with an
    offset, Amini et al. 2024); ipo has a target of its own and takes none. weights [B]: how sure the label is.
    """
    if kind == "sigmoid":
        losses = -F.logsigmoid(beta * (chosen - rejected) - offsets)
    else:
        margin = chosen / lengths[0].clamp(min=1) - rejected / lengths[1].clamp(min=1)
        if kind == "sigmoid_norm":
            losses = -F.logsigmoid(beta * margin - offsets)
        else:
            losses = (margin - 1 / (2 * beta)) ** 2
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(weights.dtype).eps)
