"""A million judgements and 200,000 rollouts out of a workspace, into another, out of that and into a third.

At three sizes: a tenth, a third, the whole. Every step runs in a process of its own, so that its peak memory is
its own. Passes when all hashes of a size are one and the whole needs at most 1.3 times the memory of a tenth of
it: memory goes by the batch, not by the data.
"""

import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

from trivox.bench.harness import Result, Timing
from trivox.pipelines.datasets.reading import BATCH
from trivox.pipelines.datasets.samples import Size, fill
from trivox.pipelines.exports.bundle import export_bundle
from trivox.pipelines.imports.bundle import import_bundle
from trivox.platform.observability.memory import peak_bytes
from trivox.platform.progress import say
from trivox.platform.store import Workspace

SMALL, FULL = Size(2_500, 10_000, 50_000), Size(50_000, 200_000, 1_000_000)
PARTS = (10, 3, 1)
PASSES_AT = 1.3
STEPS = ("export", "import", "export again", "import again")
_NAME = "travel"
Step = tuple[float, float]
"""Seconds on the wall, peak MB of the process."""


def run(full: bool = False) -> Result:
    """full: the million; otherwise a twentieth of it."""
    whole = FULL if full else SMALL
    steps: dict[int, dict[str, Step]] = {}
    identical = True
    for size in (_part(whole, part) for part in PARTS):
        say(f"{size.rollouts} rollouts and {size.judgements} judgements")
        with tempfile.TemporaryDirectory(prefix="trivox-travel-") as folder:
            steps[size.judgements], same = _travel(Path(folder), size)
        identical &= same
    return _result(whole, steps, identical)


def _part(whole: Size, part: int) -> Size:
    return Size(whole.prompts // part, whole.rollouts // part, whole.judgements // part)


def _travel(folder: Path, size: Size) -> tuple[dict[str, Step], bool]:
    """What each step took, and whether all hashes are the same."""
    _apart(_make, folder / "first", size)
    found, hashes = {}, set[str]()
    for number, step in enumerate(STEPS):
        work = _out if number % 2 == 0 else _in
        here, there = ("first", "second") if number < 2 else ("second", "third")
        *taken, hash_ = _apart(work, folder / here, folder / there, folder / f"out-{here}")
        found[step] = (taken[0], taken[1])
        hashes.add(hash_)
    return found, len(hashes) == 1


def _apart(work: object, *given: object) -> tuple[float, float, str]:
    """In a fresh process: (seconds, peak MB, what it returned)."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (work, given))


def _timed(work: object, given: tuple[object, ...]) -> tuple[float, float, str]:
    begin = time.perf_counter()
    told = str(work(*given))  # type: ignore[operator]
    return time.perf_counter() - begin, peak_bytes() / 2**20, told


def _make(place: Path, size: Size) -> str:
    with Workspace.create(place) as ws:
        fill(ws, size)
    return ""


def _out(place: Path, _: Path, folder: Path) -> str:
    with Workspace.open(place) as ws:
        return export_bundle(ws, folder, _NAME).hash


def _in(_: Path, place: Path, folder: Path) -> str:
    with Workspace.create(place) as ws:
        made = import_bundle(ws, folder).version
    assert made is not None
    return made.hash


def _result(whole: Size, steps: dict[int, dict[str, Step]], identical: bool) -> Result:
    first, last = steps[min(steps)], steps[max(steps)]
    growth = {step: last[step][1] / first[step][1] for step in STEPS}
    every = {
        f"{step}, {count} judgements": found[step]
        for count, found in steps.items()
        for step in STEPS
    }
    rows: dict[str, Any] = {"rollouts": whole.rollouts, "judgements": whole.judgements}
    return Result(
        name="data-travel",
        ratio_to_peer={},
        ratio_to_limit=max(growth.values()),
        passed=identical and max(growth.values()) <= PASSES_AT,
        threshold=f"one hash, and at most {PASSES_AT} times the memory for {PARTS[0]} times the data",
        terms={f"peak MB, {name}": peak for name, (_, peak) in every.items()},
        sizes=rows | {"batch": BATCH},
        sides={name: Timing((seconds,), (seconds,)) for name, (seconds, _) in every.items()},
        figures={"identical": float(identical)} | {f"growth, {k}": v for k, v in growth.items()},
        notes=("the limit is the memory of the smallest size; one run each, on the wall",),
    )
