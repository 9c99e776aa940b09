"""Level L2 of exactness: a token whose lead over the next is more than rounding can make is what ordinary decoding
says; any other is asked of ordinary decoding itself.

A pass over several tokens multiplies matrices of another shape than a pass over one, so its logits differ in the
last bits, and so do the keys and values it leaves. If no logit differs by more than eps, a lead above 2 eps cannot
turn around. eps is measured, along long trajectories, for the device and the dtype.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trivox.policy.engine.decoder import SlotDecoder
from trivox.policy.engine.requests import Request

MARGIN = 4.0
"""eps is so many times what was measured: other trajectories may differ by more."""
TRAJECTORY = 160
"""Tokens of the trajectory that eps is measured on, where the context has room."""


class Ordinary:
    """Ordinary decoding of one request at a time, and whose turn it is."""

    def __init__(self, decoder: SlotDecoder) -> None:
        self.decoder = decoder
        self.path: OrdinaryPath | None = None


class OrdinaryPath:
    """One request through ordinary decoding, a token at a time. Where another path had its turn in between, the
    request is read anew."""

    def __init__(self, ordinary: Ordinary, request: Request) -> None:
        self.ordinary, self.decoder, self.request = ordinary, ordinary.decoder, request
        self.logits: list[Tensor] = []
        self.said: list[int] = []
        self.passes = 0

    def after(self, tokens: Sequence[int]) -> Tensor:
        """Logits [V] after prompt and tokens, which must begin with those asked of before."""
        if self.ordinary.path is not self:
            self.ordinary.path = self
            self.logits, self.said = [self.decoder.read(0, self.request).clone()], []
            self.passes += 1
        for token in tokens[len(self.said) :]:
            lengths: list[int | None] = [len(self.request.prompt) + len(self.said)]
            lengths += [None] * (self.decoder.cache.window.slots - 1)
            row = self.decoder.step([token] * len(lengths), lengths)[0]
            self.said.append(token)
            self.logits.append(row.clone())
            self.passes += 1
        return self.logits[len(tokens)]


def rounding_key(model: Any) -> str:
    """Device and dtype, as the configuration of the blocks names them."""
    return f"{model.device.type}/{str(model.dtype).removeprefix('torch.')}"


def measured_rounding(
    ordinary: OrdinaryPath,
    passes: Callable[[Sequence[int], Sequence[int]], Tensor],
    ids: Sequence[int],
    count: int,
    seed: int = 0,
) -> float:
    """The largest difference in a logit between ordinary decoding and passes over several tokens.

    passes: (tokens, accepted) -> logits [len(tokens), V] of the same request by rounds that accept so many drafts,
    the others being rolled back. The trajectory is of random tokens among ids: rounding asks only how large the
    numbers are, and where the passes stand.
    """
    rng = np.random.default_rng(seed)
    tokens = rng.choice(np.asarray(ids), count).tolist()
    accepted = rng.integers(0, 6, count).tolist()
    several = passes(tokens, accepted)
    one = torch.stack([ordinary.after(tokens[:place]) for place in range(len(several))])
    return float((several.double() - one.double()).abs().max())
