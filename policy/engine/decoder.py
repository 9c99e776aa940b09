"""A model over slots: prompts are read one by one into a slot, then all rows go one token on at a time.

What makes a row's numbers its own, bit for bit, on a CPU: its prompt is read alone; a step always has the same
number of rows, so that matrix products are cut into the same blocks; and attention runs over whole blocks of
columns, of which those after the row's own add exact zeros. `tests/policy/engine` holds that on the machine it
runs on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from trivox.platform.errors import ConfigError
from trivox.policy.engine.requests import Request, position_limit
from trivox.policy.engine.slots import SlotCache
from trivox.policy.rows import pad_features

BLOCK = 64
"""Columns attended are a multiple of this: what comes after a row's own is then whole vectors of zeros."""
_MASKED_ATTENTION = ("sdpa", "eager")
_KINDS = {"full_attention", "sliding_attention"}
Step = Callable[[Tensor, Tensor, Tensor], Tensor]


class SlotDecoder:
    """Raises ConfigError for a model whose attention takes no mask of ours, or that remembers otherwise than by
    keys and values."""

    def __init__(self, model: PreTrainedModel, slots: int) -> None:
        self.model, self.device = model, model.device
        text = model.config.get_text_config()
        self.limit = position_limit(model.config)
        self.cache = SlotCache(int(text.num_hidden_layers), slots, self.limit)
        self._masks = _Masks(text)
        self._graph: Step | None = None

    @torch.no_grad()
    def read(self, slot: int, request: Request) -> Tensor:
        """Logits [V] after the request's prompt, whose keys and values are then in the slot."""
        count = len(request.prompt)
        self._reserve(count)
        self.cache.window.slot = slot
        heard = pad_features(list(request.audio))
        ids = torch.tensor([request.prompt], device=self.device)
        logits: Tensor = self.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            position_ids=torch.arange(count, device=self.device)[None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
            **{name: value.to(self.device) for name, value in heard.items()},
        ).logits[0, -1]
        return logits

    @torch.no_grad()
    def step(self, tokens: Sequence[int], lengths: Sequence[int | None]) -> Tensor:
        """Logits [n, V] after one more token in each of the first n slots.

        lengths: tokens that each slot holds before it; None for a slot without a row, whose logits mean nothing.
        """
        longest = max(length or 0 for length in lengths) + 1
        self._reserve(longest)
        window = self.cache.window
        window.slot = None
        graphed = self.device.type == "cuda"
        blocks = -(-longest // BLOCK) * BLOCK
        window.length = window.capacity if graphed else min(blocks, window.capacity)
        where = [window.capacity if length is None else length for length in lengths]
        inputs = [list(tokens), where, [length or 0 for length in lengths]]
        ids, columns, positions = torch.tensor(inputs, device=self.device)
        if not graphed:
            return self._forward(ids, columns, positions)
        if self._graph is None:
            self._graph = captured(self._forward, ids, columns, positions)
        return self._graph(ids, columns, positions)

    def _forward(self, ids: Tensor, columns: Tensor, positions: Tensor) -> Tensor:
        """ids, columns, positions int64 [n] -> logits [n, V]."""
        window = self.cache.window
        window.where = columns
        logits: Tensor = self.model(
            input_ids=ids[:, None],
            attention_mask=self._masks(columns, window.length, self.model.dtype),
            position_ids=positions[:, None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return logits

    def _reserve(self, columns: int) -> None:
        if self.cache.reserve(columns):
            self._graph = None  # it knows the tensors that it was captured with


class _Masks:
    """The attention masks of a step, of each kind of layer that the model has."""

    def __init__(self, text: PretrainedConfig) -> None:
        implementation = text._attn_implementation
        if implementation not in (None, *_MASKED_ATTENTION):
            raise ConfigError(
                f"{text.model_type} runs with attention {implementation!r}, which takes no mask of rows: "
                f"load it with {' or '.join(_MASKED_ATTENTION)}"
            )
        self.additive = implementation == "eager"
        self.window: int | None = getattr(text, "sliding_window", None)
        kinds = set(getattr(text, "layer_types", None) or [])
        if strange := kinds - _KINDS:
            raise ConfigError(
                f"{text.model_type} has layers of {', '.join(sorted(strange))}, which the engine has no "
                "slots for: use a model of full or sliding attention"
            )
        if not kinds:
            kinds = {"sliding_attention" if self.window else "full_attention"}
        self.kinds = sorted(kinds)

    def __call__(self, columns: Tensor, length: int, dtype: torch.dtype) -> Any:
        """For rows that write column [n]: [n, 1, 1, length], what each may attend to; by kind where there are
        two."""
        places = torch.arange(length, device=columns.device)
        seen = places <= columns[:, None]
        masks: dict[str, Tensor] = {}
        for kind in self.kinds:
            near = seen
            if kind == "sliding_attention" and self.window:
                near = seen & (places > columns[:, None] - self.window)
            masks[kind] = self._in_form(near, dtype)[:, None, None]
        return masks if len(masks) > 1 else masks[self.kinds[0]]

    def _in_form(self, mask: Tensor, dtype: torch.dtype) -> Tensor:
        if not self.additive:
            return mask
        lowest = torch.finfo(dtype).min
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, lowest)


def captured(step: Step, ids: Tensor, columns: Tensor, positions: Tensor) -> Step:
    """The step as one CUDA graph, which replays hundreds of kernels by one launch. Its logits are overwritten by
    the next replay."""
    inputs = [part.clone() for part in (ids, columns, positions)]
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):  # allocations and choices of kernels must be over before the capture
            step(*inputs)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = step(*inputs)

    def replay(*given: Tensor) -> Tensor:
        for held, new in zip(inputs, given, strict=True):
            held.copy_(new)
        graph.replay()
        return logits

    return replay
