"""Which ids may follow in a layout: what keeps a model that speaks within it."""

from collections.abc import Sequence
from typing import Protocol

from trivox.policy.codec.layouts import DELAYED, FLAT, offsets, parse_layout


class Place(Protocol):
    """Where one sequence of ids stands."""

    def allowed(self) -> tuple[tuple[int, int], ...]:
        """Ranges of ids that may follow: first, and the one after the last; none where only the end may."""
        ...

    @property
    def may_end(self) -> bool:
        """Whether the frames so far are whole."""
        ...

    def advance(self, index: int) -> None:
        """Take note of an id that is allowed."""
        ...


def start_of(sizes: Sequence[int], layout: str) -> Place:
    """The place before the first id. Raises UnsupportedLayout, ConfigError."""
    name, block = parse_layout(layout)
    first = offsets(sizes, layout)
    ranges = [(begin, begin + size) for begin, size in zip(first, sizes, strict=True)]
    if name == FLAT or len(sizes) == 1:
        return _Flat(ranges)
    return _Delayed(ranges) if name == DELAYED else _Blocks(ranges, block)


class _Flat:
    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self.ranges, self.book = ranges, 0

    def allowed(self) -> tuple[tuple[int, int], ...]:
        return (self.ranges[self.book],)

    @property
    def may_end(self) -> bool:
        return self.book == 0

    def advance(self, index: int) -> None:
        self.book = (self.book + 1) % len(self.ranges)


class _Delayed:
    """frames: how many there are, known once codebook 0 has its pad."""

    def __init__(self, ranges: list[tuple[int, int]]) -> None:
        self.ranges, self.step, self.book = ranges, 0, 0
        self.frames: int | None = None

    def allowed(self) -> tuple[tuple[int, int], ...]:
        codes = self.ranges[self.book]
        pad = (codes[1], codes[1] + 1)
        if self._complete:
            return ()
        if self.book == 0:
            return (
                (codes, pad) if self.frames is None and self.step else (self._either(codes, pad),)
            )
        return (self._either(codes, pad),)

    def _either(self, codes: tuple[int, int], pad: tuple[int, int]) -> tuple[int, int]:
        frame = self.step - self.book
        return codes if frame >= 0 and (self.frames is None or frame < self.frames) else pad

    @property
    def _complete(self) -> bool:
        return self.frames is not None and self.step == self.frames + len(self.ranges) - 1

    @property
    def may_end(self) -> bool:
        return self._complete or (self.step, self.book) == (0, 0)

    def advance(self, index: int) -> None:
        if self.book == 0 and self.frames is None and index == self.ranges[0][1]:
            self.frames = self.step
        self.book = (self.book + 1) % len(self.ranges)
        self.step += self.book == 0


class _Blocks:
    """held: frames of this block, known once codebook 0 is left; count: ids of the codebook so far."""

    def __init__(self, ranges: list[tuple[int, int]], block: int) -> None:
        self.ranges, self.block = ranges, block
        self.book, self.count, self.held, self.last = 0, 0, 0, False

    def allowed(self) -> tuple[tuple[int, int], ...]:
        if self.book:
            return (self.ranges[self.book],)
        if self.last:
            return ()
        own, following = self.ranges[:2]
        if self.count == self.block:
            return (following,)
        return (own, following) if self.count else (own,)

    @property
    def may_end(self) -> bool:
        return self.book == 0 and self.count == 0

    def advance(self, index: int) -> None:
        if self.book == 0:
            if index < self.ranges[0][1]:
                self.count += 1
                return
            self.held, self.book, self.count = self.count, 1, 0
            self.last = self.held < self.block
        self.count += 1
        if self.count == self.held:
            self.book, self.count = (self.book + 1) % len(self.ranges), 0
