"""The key-value cache of rows that come and go: one slot for each, all of one capacity.

Every row begins at column 0 of its slot and writes where it stands itself, so its place in memory says nothing of
its neighbours. What a slot held before stays there: it is masked, and overwritten column by column.
"""

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

GROWTH = 256
"""The capacity is a multiple of this; it doubles when it has to grow."""


class Window:
    """Where the next forward pass reads and writes.

    slot: of the prompt that is read now, None for a step of all rows. where: int64 [n], the column that each of
    the first n slots writes. length: columns that are attended. capacity: columns that a row may use; one more,
    the scratch column, takes what slots without a row write.
    """

    def __init__(self, slots: int) -> None:
        self.slots, self.capacity, self.length = slots, 0, 0
        self.slot: int | None = None
        self.where = torch.zeros(slots, dtype=torch.long)


class SlotLayer(CacheLayerMixin):
    """Keys and values [slots, heads, capacity + 1, size] of one layer."""

    is_sliding = False  # a window is a mask here, not a shorter memory

    def __init__(self, window: Window) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in transformers
        self.window = window

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        columns = self.window.capacity + 1
        self.keys, self.values = (
            states.new_zeros(self.window.slots, states.shape[1], columns, states.shape[3])
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """A prompt [1, heads, n, size] attends to itself alone; a step [n, heads, 1, size] to `length` columns."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window, (keys, values) = self.window, self.states
        if window.slot is not None:
            count = key_states.shape[2]
            keys[window.slot, :, :count] = key_states[0]
            values[window.slot, :, :count] = value_states[0]
            return key_states, value_states
        rows = torch.arange(len(window.where), device=key_states.device)
        keys[rows, :, window.where] = key_states[:, :, 0]
        values[rows, :, window.where] = value_states[:, :, 0]
        return keys[: len(rows), :, : window.length], values[: len(rows), :, : window.length]

    @property
    def states(self) -> tuple[Tensor, Tensor]:
        """Keys and values; only of a layer that has been used."""
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def grow(self, capacity: int) -> None:
        if self.is_initialized:
            more = capacity + 1 - self.states[0].shape[2]
            self.keys, self.values = (
                torch.nn.functional.pad(states, (0, 0, 0, more)) for states in self.states
            )

    def copy(self, source: int, target: int, count: int) -> None:
        """The first count columns of one slot into another."""
        for states in self.states if self.is_initialized else ():
            states[target, :, :count] = states[source, :, :count]

    def clear(self, slot: int) -> None:
        for states in self.states if self.is_initialized else ():
            states[slot] = 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return (query_length, 0) if self.window.slot is not None else (self.window.length, 0)

    def get_seq_length(self) -> int:
        """0 while a prompt is read: nothing comes before it."""
        return 0 if self.window.slot is not None else self.window.length

    def get_max_length(self) -> int:
        return self.window.capacity


class SlotCache(Cache):
    """One SlotLayer for each layer of a model; its window says what the next pass is."""

    def __init__(self, layers: int, slots: int, limit: int) -> None:
        """limit: tokens of the model's context, beyond which no row goes."""
        self.window, self.limit = Window(slots), limit
        self.of_slots = [SlotLayer(self.window) for _ in range(layers)]
        super().__init__(layers=[*self.of_slots])

    def reserve(self, columns: int) -> bool:
        """Make room for rows of so many tokens; True where the tensors are others now."""
        if columns <= self.window.capacity:
            return False
        wanted = max(columns, min(2 * self.window.capacity, self.limit))
        self.window.capacity = -(-wanted // GROWTH) * GROWTH
        for layer in self.of_slots:
            layer.grow(self.window.capacity)
        return True

    def copy(self, source: int, target: int, count: int) -> None:
        for layer in self.of_slots:
            layer.copy(source, target, count)

    def clear(self, slot: int) -> None:
        """Zeros in a slot: NaN that a broken row left behind would come through any mask."""
        for layer in self.of_slots:
            layer.clear(slot)
