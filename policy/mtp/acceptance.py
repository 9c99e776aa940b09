"""Which drafts stay: the longest prefix that agrees with ordinary decoding, or speculative sampling."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Uniform = Callable[[], float]
"""The next number in [0, 1) of a row's own generator."""


def agreeing(choices: Tensor, drafts: Tensor) -> Tensor:
    """choices int64 [B, k + 1]: what ordinary decoding says at each position, given the drafts before it; drafts
    [B, k] -> int64 [B]: how many drafts from the first on are what it says."""
    return (choices[:, : drafts.shape[1]] == drafts).cumprod(1).sum(1)


def sampled(drafts: Sequence[int], q: Tensor, p: Tensor, uniform: Uniform) -> tuple[list[int], int]:
    """The tokens of one round and how many of them were drafts (Leviathan et al. 2023, arXiv 2211.17192, algorithm
    1; Chen et al. 2023, arXiv 2302.01318).

    drafts: k indices, each drawn from its row of q float64 [k, V]; p float64 [k + 1, V]: what ordinary decoding
    draws from after each. A draft x stays with probability min(1, p(x) / q(x)); the first that does not is
    replaced by a draw from max(p - q, 0), normalised; where all stay one more is drawn from the last row of p.
    Each token is then distributed as p, provided that q is what the drafts were really drawn from.
    """
    kept = list[int]()
    for place, draft in enumerate(drafts):
        if uniform() * float(q[place, draft]) < float(p[place, draft]):
            kept.append(draft)
            continue
        return [*kept, drawn(residual(p[place], q[place]), uniform())], len(kept)
    return [*kept, drawn(p[len(drafts)], uniform())], len(kept)


def residual(p: Tensor, q: Tensor) -> Tensor:
    """max(p - q, 0) [V], not normalised; p where rounding leaves nothing of it."""
    rest = (p - q).clamp(min=0)
    return rest if float(rest.sum()) > 0 else p


def drawn(weights: Tensor, uniform: float) -> int:
    """The index whose share of the cumulative weights [V] holds the number."""
    cumulative = weights.cumsum(0)
    target = torch.minimum(uniform * cumulative[-1], cumulative[-1].nextafter(cumulative[0] * 0))
    return int(torch.searchsorted(cumulative, target, right=True))
