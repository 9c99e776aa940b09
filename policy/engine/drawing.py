"""From scores to tokens: constraint, temperature, top-k, top-p, and a draw from what is left.

The distribution that a token is drawn from is the one whose log-probs are reported: the constraint's mask and the
sampling's cuts are part of it. All in float64, row by row alike however many rows there are.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trivox.platform.errors import BrokenScores, DeadEnd, WorkError
from trivox.platform.records import Sampling
from trivox.policy.branches.constraint import Mask


def log_distribution(
    logits: Tensor, masks: Sequence[Mask], samplings: Sequence[Sampling]
) -> Tensor:
    """Natural log-probs float64 [B, V] of the next token: logits [B, V], masks B x bool [V] of what may follow.

    A row whose allowed scores are not all numbers, or that allows nothing, is NaN: `check_row` says why.
    Temperature 0 divides by nothing: the log-probs are those of temperature 1, of which `draw` takes the best.
    """
    allowed = torch.from_numpy(np.stack(masks)).to(logits.device)
    scores = logits.double().masked_fill(~allowed, -torch.inf)
    if any(one.temperature not in (0, 1) for one in samplings):
        divisors = [[one.temperature or 1.0] for one in samplings]
        scores = scores / torch.tensor(divisors, dtype=torch.float64, device=scores.device)
    for row, one in enumerate(samplings):
        if one.top_k > 0 or one.top_p < 1:
            scores[row] = _cut(scores[row], one)
    return scores.log_softmax(1)


def draw(
    logprobs: Tensor, samplings: Sequence[Sampling], uniform: Sequence[float]
) -> tuple[list[int], list[float]]:
    """Tokens [B] and their log-probs [B] from logprobs [B, V] and one number in [0, 1) for each row: the first
    token whose cumulative probability exceeds it, or the likeliest where the temperature is 0."""
    greedy = [one.temperature == 0 for one in samplings]
    tokens = torch.zeros(len(logprobs), dtype=torch.long, device=logprobs.device)
    if any(greedy):
        tokens = logprobs.argmax(1)
    if not all(greedy):
        sampled = _inverse_cdf(logprobs, uniform)
        which = torch.tensor(greedy, device=logprobs.device)
        tokens = torch.where(which, tokens, sampled)
    chosen = logprobs.gather(1, tokens[:, None])[:, 0]
    return tokens.tolist(), chosen.tolist()


def check_row(name: str, logits: Tensor, mask: Mask) -> WorkError:
    """Why a row of logits [V] under a mask [V] has no distribution, in an error that begins with the name."""
    if not mask.any():
        return DeadEnd(
            f"{name}: its constraint allows none of {len(mask)} tokens: mend the constraint"
        )
    broken = int((~logits[torch.from_numpy(mask).to(logits.device)].isfinite()).sum())
    return BrokenScores(
        f"{name}: {broken} of the model's {int(mask.sum())} allowed scores are no finite numbers: its weights or "
        "its input are broken, load another version of the policy"
    )


def uniform(seed: int, count: int) -> list[float]:
    """Count numbers in [0, 1) of the row's own generator: a row's draws do not depend on its neighbours."""
    drawn: list[float] = np.random.default_rng(seed).random(count).tolist()
    return drawn


def _inverse_cdf(logprobs: Tensor, uniform: Sequence[float]) -> Tensor:
    cumulative = logprobs.exp().cumsum(1)
    total = cumulative[:, -1:]
    target = torch.tensor(uniform, dtype=torch.float64, device=logprobs.device)[:, None] * total
    # Rounding may lift a target to the total, beyond which nothing lies.
    target = torch.minimum(target, total.nextafter(torch.zeros_like(total)))
    found = torch.searchsorted(cumulative, target, right=True)[:, 0]
    return found.clamp(max=logprobs.shape[1] - 1)  # only where a row is NaN


def _cut(scores: Tensor, sampling: Sampling) -> Tensor:
    """Top-k, then top-p (Holtzman et al. 2020) on scores [V]; -inf is what is cut."""
    if sampling.top_k > 0:
        kth = scores.topk(min(sampling.top_k, len(scores))).values[-1]
        scores = scores.masked_fill(scores < kth, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = scores.sort(descending=True)
        before = ordered.softmax(0).cumsum(0) - ordered.softmax(0)
        scores = scores.index_fill(0, order[before >= sampling.top_p], -torch.inf)
    return scores
