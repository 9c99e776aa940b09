"""Who works on a round, named so that another process of the same machine can see whether it still lives.

A name is `host.machine:pid.start`. machine: a hash of the kernel's boot and of the namespace that process numbers
belong to, so that two containers of one host name, or the time before a reboot, are never mistaken for here.
start: when the process began, by the kernel's clock, so that a number in use again is not the same process.
"""

import os
import socket
from functools import cache
from pathlib import Path

from trivox.platform.hashing import content_hash

_PROC = Path("/proc")
_DEAD = "ZX"
"""States of a process that ended and that nobody has asked about yet."""


def worker_name() -> str:
    """Of this process."""
    return f"{_machine()}:{os.getpid()}.{_started(os.getpid()) or 0}"


def is_dead(worker: str) -> bool:
    """Whether that worker ran on this machine and does so no more; False where it cannot be told from here."""
    machine, _, process = worker.partition(":")
    pid, _, started = process.partition(".")
    if machine != _machine() or not pid.isdigit() or not _PROC.is_dir():
        return False
    return _started(int(pid)) != started


@cache
def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        numbers = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}.{content_hash([boot, numbers])[:8]}"


def _started(pid: int) -> str | None:
    """Ticks from the boot to the start of a process (proc(5), stat, field 22); None for one that has ended."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in _DEAD else fields[19]
