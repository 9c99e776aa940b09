"""What a stretch of work cost. The GPU is a stand-in with torch's names: there is none here."""

import sys
import time
from types import SimpleNamespace

import pytest

from trivox.platform.observability.usage import Usage
from trivox.platform.records.budgets import CostKind


class StandIn:
    """Two GPUs, of which the second is worked on."""

    def __init__(self) -> None:
        self.forgotten: list[int] = []

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return 2

    def reset_peak_memory_stats(self, device: int) -> None:
        self.forgotten.append(device)

    def max_memory_allocated(self, device: int) -> int:
        return 1000 * device


def test_the_processor_alone_where_there_is_no_gpu() -> None:
    usage = Usage.begin()
    sum(i * i for i in range(200_000))
    taken = usage.so_far()
    assert taken.keys() == {CostKind.CPU} and taken[CostKind.CPU] > 0


def test_a_gpu_counts_as_long_as_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = StandIn()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    usage = Usage.begin()
    time.sleep(0.02)
    taken = usage.so_far()
    assert cuda.forgotten == [0, 1]
    assert 0.02 <= taken[CostKind.GPU] <= time.perf_counter() - usage.wall_s  # one of the two
