"""What all benchmarks share: sides that take turns, their ratio, the machine, and one line in a file for each run.

Times of one machine say little about another, so a bench compares: with a peer that does the same work, and with
the physical limit, the time of those parts that nothing can leave out. Both are timed in the same run. Sides take
turns (A B A B …), so that what else the machine does falls on all of them, and medians are compared.
"""

import gc
import importlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from trivox import __version__
from trivox.platform.errors import ConfigError

RESULTS = Path("benchmarks") / "results.jsonl"
REPEATS = 5
Clock = Literal["cpu", "wall"]


@dataclass(frozen=True)
class Timing:
    """Seconds of each repeat of one side, by the clock and on the wall."""

    seconds: tuple[float, ...]
    wall: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Result:
    """What one run found.

    ratio_to_peer: peer -> how many times more work we do in the same time; None where the peer cannot run here,
    with the reason in `notes`. ratio_to_limit: our time over the limit's, at least 1 but for noise; or, where the
    figure is a speed-up, the share of the possible one that is reached: `threshold` says which. terms: what the
    limit is made of, seconds or counts. sizes: of model and workload. figures: what else was measured.
    """

    name: str
    ratio_to_peer: Mapping[str, float | None]
    ratio_to_limit: float | None
    passed: bool
    threshold: str
    terms: dict[str, float]
    sizes: dict[str, int | float | str]
    sides: dict[str, Timing]
    figures: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def plain(self) -> dict[str, object]:
        """As JSON has it, with the median of each side beside its repeats."""
        medians = {side: timing.median for side, timing in self.sides.items()}
        return asdict(self) | {"medians_s": medians}


@dataclass(frozen=True)
class Bench:
    """module: has `run(full: bool) -> Result`; imported when it is run, for most need torch."""

    name: str
    description: str
    module: str

    def run(self, full: bool = False) -> Result:
        run: Callable[[bool], Result] = importlib.import_module(self.module).run
        return run(full)


def interleaved(
    sides: Mapping[str, Callable[[], object]],
    repeats: int = REPEATS,
    clock: Clock | None = None,
    warm: bool = True,
) -> dict[str, Timing]:
    """Run the sides in turn `repeats` times, after one run each that is not counted (warm), with torch on one
    thread.

    clock: "cpu" counts the time of this process, all its threads, so that a busy machine does not disturb small
    models; "wall" is for sides that wait for others or for a GPU. None: wall with a GPU, else cpu.
    Raises ConfigError for fewer than 5 repeats.
    """
    if repeats < REPEATS:
        raise ConfigError(f"{repeats} repeats: a median needs at least {REPEATS}")
    chosen = clock or ("wall" if gpu() else "cpu")
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(repeats + warm):
        for name, work in sides.items():
            timed = _timed(work, chosen)
            if turn >= warm:
                runs[name].append(timed)
    return {
        name: Timing(tuple(one[0] for one in timed), tuple(one[1] for one in timed))
        for name, timed in runs.items()
    }


def ratio(slow: Timing, fast: Timing) -> float:
    """How many times longer the one takes than the other, by medians."""
    return slow.median / fast.median


def gpu() -> str | None:
    """The name of the GPU that torch sees."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def machine() -> dict[str, object]:
    """What a reader needs to know of the machine that figures come from."""
    import torch
    import transformers

    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_1min": round(os.getloadavg()[0], 2),
        "gpu": gpu(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "trivox": __version__,
    }


def append(result: Result, path: Path, full: bool) -> dict[str, object]:
    """Add the result to a file as one JSON line, with the machine and the time; returns what the line holds."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"at": at, "full": full} | result.plain() | {"machine": machine()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return line


def _timed(work: Callable[[], object], clock: Clock) -> tuple[float, float]:
    """Seconds by the clock, seconds on the wall."""
    import torch

    torch.set_num_threads(1)  # what loads a model may have set another number
    gc.collect()
    _finish_gpu()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    _finish_gpu()
    used, passed = time.process_time() - cpu, time.perf_counter() - wall
    return (used if clock == "cpu" else passed), passed


def _finish_gpu() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _processor() -> str:
    """As Linux names it; elsewhere the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
