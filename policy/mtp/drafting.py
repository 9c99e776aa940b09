"""Drafts of a batch of rows: each block goes on from where its own keys and values are still true.

A row knows n tokens; the language model has read n - 1 of them. Block h has read position j truly where token
j + h is one that stayed; beyond that it read drafts, and reads anew once it is known what came instead.
"""

from typing import Any

import torch
from torch import Tensor

from trivox.policy.mtp.blocks import MTPBlocks
from trivox.policy.mtp.lean import Step, lean_or_plain
from trivox.policy.mtp.window import RowsCache, Window


class DraftMemory:
    """What drafting knows of the rows in their slots: embeddings that the language model read, its last states and
    those of each block, and each block's keys and values."""

    def __init__(self, blocks: MTPBlocks, slots: int, columns: int, like: Tensor) -> None:
        self.embeds = like.new_zeros(slots, columns, like.shape[-1])
        self.states = [torch.zeros_like(self.embeds) for _ in range(blocks.depth)]
        self.caches = [RowsCache(1, slots, columns, like) for _ in range(blocks.depth)]
        places = torch.arange(columns, device=like.device)[None]
        self.rope: tuple[Tensor, Tensor] = tuple(
            part[0].to(like.dtype) for part in blocks.rotary(like.float(), places)
        )
        self.read = [[0] * slots for _ in range(blocks.depth)]
        """Positions from the left that block h (from 0) has truly read in each slot."""

    def move(self, source: int, target: int, count: int) -> None:
        for part in (self.embeds, *self.states):
            part[target, :count] = part[source, :count]
        for cache, read in zip(self.caches, self.read, strict=True):
            cache.move(source, target, count)
            read[target] = read[source]


class Drafter:
    """The blocks, ready to draft."""

    def __init__(self, blocks: MTPBlocks) -> None:
        self.blocks = blocks
        self.steps: list[Step] = [lean_or_plain(one, blocks.rotary) for one in blocks.blocks()]

    @property
    def lean(self) -> bool:
        return all(hasattr(step, "qkv") for step in self.steps)

    def prefill(self, memory: DraftMemory, slot: int, known: int) -> None:
        """Let every block read what it can of a prompt of `known` tokens."""
        for place in range(len(self.steps)):
            count = known - 1 - place
            if count < 1:
                memory.read[place][slot] = 0
                continue
            window = Window([0], count, memory.embeds.device, only=slot)
            self._run(memory, place, window)
            memory.read[place][slot] = count

    def forget(self, memory: DraftMemory, slot: int, known: int) -> None:
        """What the blocks read in a slot beyond what `known` tokens let them read."""
        for place, read in enumerate(memory.read):
            read[slot] = min(read[slot], max(0, known - 1 - place))

    def draft_state(self, memory: DraftMemory, place: int, known: list[int]) -> Tensor:
        """Block `place` (from 0) reads on in the first len(known) slots, up to the last position that the language
        model has read -> its state there, [B, H], for the head."""
        read = memory.read[place]
        width = max(1, *(count - 1 - read[slot] for slot, count in enumerate(known)))
        starts = [count - 1 - width for count in known]
        return self._run(memory, place, Window(starts, width, memory.embeds.device))[:, -1]

    def settle(self, memory: DraftMemory, known: list[int], accepted: list[int]) -> None:
        """After a round that began with `known` tokens and in which so many drafts stayed: what the blocks read of
        the others is true no longer."""
        for place, read in enumerate(memory.read):
            for slot, (count, stayed) in enumerate(zip(known, accepted, strict=True)):
                read[slot] = min(count - 1, max(0, count + stayed - 1 - place))

    def _run(self, memory: DraftMemory, place: int, window: Window) -> Tensor:
        cache = memory.caches[place]
        cache.window = window
        hidden = window.read(memory.states[place])
        ahead = window.read(memory.embeds, ahead=place + 1)
        cos, sin = (window.of_columns(part) for part in memory.rope)
        state = self.steps[place](hidden, ahead, (cos, sin), cache)
        if place + 1 < len(memory.states):
            window.write(memory.states[place + 1], state)
        return state


def unwrapped(model: Any) -> Any:
    """The causal LM inside a peft model, whose layers carry the adapter themselves."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
