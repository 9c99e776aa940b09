"""Where a forward pass of several tokens reads and writes, when each row of a batch stands somewhere else.

Every row begins at column 0 of its slot and writes where it stands itself. To roll back is to stand further left:
what was rejected stays in memory behind the mask, and the next pass writes over it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class Window:
    """Columns starts[b] to starts[b] + width of each slot b, or of the one slot `only`.

    Columns before 0 become column 0: a row that has less to do than others does its first column again, with the
    same result. Where all rows stand at one column slices do, which are quicker than indices.
    """

    def __init__(
        self, starts: Sequence[int], width: int, device: torch.device, only: int | None = None
    ) -> None:
        self.width, self.alone = width, only is not None
        self.end = max(starts) + width
        self.slots = slice(0, len(starts)) if only is None else slice(only, only + 1)
        self.level = min(starts) == max(starts) and starts[0] >= 0
        self.first = starts[0] if self.level else 0
        if not self.level:
            rows = torch.tensor([[start] for start in starts], device=device)
            self.columns = (rows + torch.arange(width, device=device)).clamp(min=0)
            self.rows = torch.arange(len(starts), device=device)[:, None]

    def write(self, into: Tensor, states: Tensor) -> None:
        """states [B, width, ...] into [slots, columns, ...]."""
        if self.level:
            into[self.slots, self.first : self.end] = states
        else:
            into[self.rows, self.columns] = states

    def read(self, of: Tensor, ahead: int = 0) -> Tensor:
        """[B, width, ...] of [slots, columns, ...], from columns that lie `ahead` further right."""
        if self.level:
            return of[self.slots, self.first + ahead : self.end + ahead]
        return of[self.rows, self.columns + ahead]

    def of_columns(self, table: Tensor) -> Tensor:
        """[B or 1, width, ...] of a table [columns, ...] that is the same for all slots."""
        return table[self.first : self.end][None] if self.level else table[self.columns]

    def positions(self, numbers: Tensor) -> Tensor:
        """int64 [B, width] of numbers 0, 1, ..."""
        found = self.of_columns(numbers)
        return found.expand(self.slots.stop - self.slots.start, -1) if self.level else found


def causal_table(columns: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[columns, columns]: 0 where the query of a line may look, the lowest number elsewhere."""
    lowest = torch.finfo(dtype).min
    return torch.full((columns, columns), lowest, dtype=dtype, device=device).triu(1)


class RowsLayer(CacheLayerMixin):
    """Keys and values [slots, columns, heads, size] of one layer."""

    is_sliding = False

    def __init__(self, cache: "RowsCache") -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in transformers
        self.cache = cache

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys, self.values = (
            states.new_zeros(self.cache.slots, self.cache.columns, states.shape[1], states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """[B, heads, width, size] to the window's columns; back comes everything up to its end."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window, seen = self.cache.window, self.cache.seen
        assert self.keys is not None and self.values is not None
        window.write(self.keys, key_states.transpose(1, 2))
        window.write(self.values, value_states.transpose(1, 2))
        return (
            self.keys[window.slots, :seen].transpose(1, 2),
            self.values[window.slots, :seen].transpose(1, 2),
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.cache.seen, 0

    def get_seq_length(self) -> int:
        return self.cache.seen

    def get_max_length(self) -> int:
        return self.cache.columns


class RowsCache(Cache):
    """One RowsLayer for each layer of a model. whole: attention always runs over all columns, so that a pass of
    the same width has the same shapes wherever it stands (level L3 of exactness)."""

    layers: list[Any]

    def __init__(
        self, layers: int, slots: int, columns: int, like: Tensor, whole: bool = False
    ) -> None:
        self.slots, self.columns, self.whole = slots, columns, whole
        self._causal = causal_table(columns, like.dtype, like.device)
        self.numbers = torch.arange(columns, device=like.device)
        self.window = Window([0], 1, like.device)
        made: list[Any] = [RowsLayer(self) for _ in range(layers)]
        super().__init__(layers=made)

    @property
    def seen(self) -> int:
        """Columns that attention runs over."""
        return self.columns if self.whole else self.window.end

    def mask(self) -> Tensor:
        """Additive [B or 1, 1, width, seen] of the window."""
        return self.window.of_columns(self._causal)[:, None, :, : self.seen]

    def positions(self) -> Tensor:
        return self.window.positions(self.numbers)

    def move(self, source: int, target: int, count: int) -> None:
        """The first count columns of a slot into another."""
        for layer in self.layers:
            for states in (layer.keys, layer.values):
                if states is not None:
                    states[target, :count] = states[source, :count]
