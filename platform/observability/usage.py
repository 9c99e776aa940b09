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
    """Counts from when it is made."""

    cpu_s: float = field(default_factory=time.process_time)
    wall_s: float = field(default_factory=time.perf_counter)

    @classmethod
    def begin(cls) -> "Usage":
        if (cuda := _cuda()) is not None:
            for device in range(cuda.device_count()):
                cuda.reset_peak_memory_stats(device)
        return cls()

    def so_far(self) -> dict[CostKind, float]:
        """Seconds by kind: of the processor, and of each GPU on which this process held memory, for as long as it
        lasted: a GPU that is held is nobody else's."""
        cuda, wall = _cuda(), time.perf_counter() - self.wall_s
        taken = {CostKind.CPU: time.process_time() - self.cpu_s}
        if cuda is not None:
            devices = range(cuda.device_count())
            held = sum(cuda.max_memory_allocated(device) > 0 for device in devices)
            taken[CostKind.GPU] = wall * held
        return {kind: seconds for kind, seconds in taken.items() if seconds > 0}
