"""Work cut into units for the actors of a pool."""

from collections.abc import Sequence
from typing import TypeVar

Part = TypeVar("Part")
REQUESTS_PER_SLOT = 4


def unit_size(slots: int, workers: int, count: int) -> int:
    """Requests of a unit, of count in all: several for each slot, so that slots stay full while rows come and go,
    but no more than a worker's share, nor less than it has slots."""
    share = -(-count // workers)
    return max(slots, min(REQUESTS_PER_SLOT * slots, share))


def chunks(items: Sequence[Part], size: int) -> list[list[Part]]:
    """The items in order, in lists of at most `size`."""
    return [list(items[begin : begin + size]) for begin in range(0, len(items), size)]
