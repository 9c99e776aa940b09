"""What a stretch of work cost. The GPU is a stand-in with torch's names: there is none here."""

import sys
import time
from types import SimpleNamespace

import pytest

from trivox.platform.observability.usage import Usage
from trivox.platform.records.budgets import CostKind


class StandIn:
    """GPUs by what is allocated on each, and the highest since it was last asked to forget."""

    def __init__(self, *allocated: int) -> None:
        self.allocated, self.peak = [*allocated], [*allocated]

    def takes(self, device: int, memory: int) -> None:
        self.allocated[device] += memory
        self.peak[device] = max(self.peak[device], self.allocated[device])

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return len(self.allocated)

    def reset_peak_memory_stats(self, device: int) -> None:
        self.peak[device] = self.allocated[device]

    def memory_allocated(self, device: int) -> int:
        return self.allocated[device]

    def max_memory_allocated(self, device: int) -> int:
        return self.peak[device]


def test_the_processor_alone_where_there_is_no_gpu() -> None:
    usage = Usage.begin()
    sum(i * i for i in range(200_000))
    taken = usage.so_far()
    assert taken.keys() == {CostKind.CPU} and taken[CostKind.CPU] > 0


def test_a_gpu_counts_where_work_takes_memory_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GPUs with 8 MB of workspaces left on both. The first work takes and gives back a GB of the second: one
    GPU for as long as it lasts. The next takes nothing: the peak of before and what is left are not its."""
    cuda = StandIn(8_000_000, 8_000_000)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    usage = Usage.begin()
    cuda.takes(1, 10**9)
    cuda.takes(1, -(10**9))
    time.sleep(0.02)
    taken = usage.so_far()
    assert 0.02 <= taken[CostKind.GPU] <= time.perf_counter() - usage.wall_s  # one of the two
    assert CostKind.GPU not in Usage.begin().so_far()


def test_a_gpu_counts_for_who_makes_the_process_begin_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch comes to the GPU after the work has begun: all that is allocated is its."""
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=None))
    monkeypatch.delitem(sys.modules, "torch")
    usage = Usage.begin()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=StandIn(0, 1000)))
    assert usage.so_far()[CostKind.GPU] > 0
