"""What this process has taken of memory."""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The most resident memory that this process has had.

    Not ru_maxrss on Linux: a process takes it over from the one that started it (fork and exec keep it).
    """
    if STATUS.exists():
        line = next(one for one in STATUS.read_text().splitlines() if one.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
