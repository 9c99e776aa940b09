"""What a stretch of work takes of this process's machine: processor and GPU."""

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from trivox.platform.records.budgets import CostKind


def _cuda() -> Any:
    """torch.cuda where this process works on a GPU already, else None; torch is not loaded for the question."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


@dataclass(frozen=True)
class Usage:
    """Counts from when it is made. left: bytes on each GPU that earlier work of the process had not given back."""

    cpu_s: float = field(default_factory=time.process_time)
    wall_s: float = field(default_factory=time.perf_counter)
    left: tuple[int, ...] = ()

    @classmethod
    def begin(cls) -> "Usage":
        if (cuda := _cuda()) is None:
            return cls()
        devices = range(cuda.device_count())
        for device in devices:
            cuda.reset_peak_memory_stats(device)
        return cls(left=tuple(cuda.memory_allocated(device) for device in devices))

    def so_far(self) -> dict[CostKind, float]:
        """Seconds by kind: of the processor, and of each GPU that this work took memory of, for as long as it
        lasted. What was left allocated before (workspaces of cuBLAS stay for the life of a process) is not its.
        """
        cuda, wall = _cuda(), time.perf_counter() - self.wall_s
        taken = {CostKind.CPU: time.process_time() - self.cpu_s}
        if cuda is not None:
            taken[CostKind.GPU] = wall * self._gpus(cuda)
        return {kind: seconds for kind, seconds in taken.items() if seconds > 0}

    def _gpus(self, cuda: Any) -> int:
        """How many GPUs this work has taken memory of."""
        left = dict(enumerate(self.left))  # none where torch was not at work yet
        devices = range(cuda.device_count())
        return sum(cuda.max_memory_allocated(device) > left.get(device, 0) for device in devices)
