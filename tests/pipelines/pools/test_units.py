"""How requests are shared out."""

import pytest

from trivox.pipelines.pools.units import unit_size


@pytest.mark.parametrize(
    ("slots", "workers", "count", "expected"),
    [
        (16, 2, 400, 64),  # four for each slot
        (16, 2, 80, 40),  # each worker's share
        (16, 2, 24, 16),  # no fewer than the slots, though the second worker gets eight
        (16, 1, 30, 30),
        (4, 3, 0, 4),
    ],
)
def test_requests_of_a_unit(slots: int, workers: int, count: int, expected: int) -> None:
    assert unit_size(slots, workers, count) == expected
