"""What this process has taken of memory."""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The most resident memory that this process has had.

    Not ru_maxrss where Linux says VmHWM: a process takes that over from the one that started it (fork and exec
    keep it).
    """
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    for line in lines:  # some sandboxes write a status without it
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
