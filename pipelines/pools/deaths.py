"""Why an actor died, in one line."""

from pathlib import Path

MEMORY = ("running low on memory", "memory monitor", "outofmemoryerror", "out-of-memory")
GUESSES = "some common causes include"
"""Ray's message about any sudden end goes on with a list of what it might have been: that is no cause."""
DETAIL = "worker exit detail:"
EVENTS = Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat")
LENGTH = 160


def is_death(error: Exception) -> bool:
    """Whether the actor, its process or its node is gone, so that another one can do the work."""
    from ray.exceptions import (
        ActorUnavailableError,
        NodeDiedError,
        ObjectLostError,
        OutOfMemoryError,
        RayActorError,
        WorkerCrashedError,
    )

    gone = (
        RayActorError,
        ActorUnavailableError,
        NodeDiedError,
        ObjectLostError,
        OutOfMemoryError,
        WorkerCrashedError,
    )
    return isinstance(error, gone)


def oom_kills() -> int:
    """How many processes of this machine, or of this container, the kernel has killed for memory so far; 0 where
    it does not count."""
    for path in EVENTS:
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


def cause_of(error: Exception, oom_killed: bool = False) -> str:
    """Memory by that name; else what Ray says of it, cut to a line.

    oom_killed: the kernel has killed a process for memory since the pool began, on the machine (or in the
    container) of the driver: its counter says neither which process that was nor anything of other nodes. So a
    worker that died of something else beside such a kill is named memory too, and one on another node is known by
    Ray's own monitor alone.
    """
    from ray.exceptions import OutOfMemoryError

    told = " ".join(str(error).split())
    low = told.lower().partition(GUESSES)[0]
    if isinstance(error, OutOfMemoryError) or oom_killed or any(sign in low for sign in MEMORY):
        return "out of memory: fewer workers or slots, or more memory for each"
    if "node" in low and ("node has died" in low or "node died" in low or "dead node" in low):
        return f"its node died ({type(error).__name__})"
    if DETAIL in low:
        place = low.index(DETAIL) + len(DETAIL)
        return f"its process ended suddenly: {told[place : len(low)].strip(' .')[:LENGTH]}"
    return f"{type(error).__name__}: {told[: len(low)].strip()[:LENGTH]}"
