"""A million judgements and 200,000 rollouts out of a workspace, into another, out of that and into a third.

Every step runs in a process of its own, so that its peak memory is its own. Passes when all hashes are the same
and the largest size needs at most 1.3 times the memory of a quarter of it: memory goes by the batch, not by the
data.
"""

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

from trivox.bench.harness import Result, Timing
from trivox.pipelines.datasets.samples import Size, fill
from trivox.pipelines.exports.bundle import export_bundle
from trivox.pipelines.imports.bundle import import_bundle
from trivox.platform.store import Workspace

SMALL, FULL = Size(2_500, 10_000, 50_000), Size(50_000, 200_000, 1_000_000)
PASSES_AT = 1.3
_NAME = "travel"


def run(full: bool = False) -> Result:
    """full: the million, and a quarter of it."""
    size = FULL if full else SMALL
    quarter = Size(size.prompts // 4, size.rollouts // 4, size.judgements // 4)
    with tempfile.TemporaryDirectory(prefix="trivox-travel-") as folder:
        less, same = _travel(Path(folder) / "less", quarter)
        more, all_same = _travel(Path(folder) / "more", size)
    growth = {step: more[step][1] / less[step][1] for step in ("export", "import")}
    steps = {
        f"{step}, {name}": found[step]
        for name, found in (("quarter", less), ("all", more))
        for step in found
    }
    identical = same and all_same
    return Result(
        name="data-travel",
        ratio_to_peer={},
        ratio_to_limit=max(growth.values()),
        passed=identical and max(growth.values()) <= PASSES_AT,
        threshold=f"identical hashes, and at most {PASSES_AT} times the memory for 4 times the data",
        terms={f"peak MB, {name}": peak for name, (_, peak) in steps.items()},
        sizes={"rollouts": size.rollouts, "judgements": size.judgements},
        sides={name: Timing((seconds,), (seconds,)) for name, (seconds, _) in steps.items()},
        figures={"identical": float(identical), **{f"growth, {k}": v for k, v in growth.items()}},
        notes=("the limit is the memory of a quarter of the data; one run each, on the wall",),
    )


def _travel(folder: Path, size: Size) -> tuple[dict[str, tuple[float, float]], bool]:
    """Seconds and peak MB of each step, and whether all hashes are the same."""
    folder.mkdir()
    _apart(_make, folder / "first", size)
    found, hashes = {}, set[str]()
    for number, step in enumerate(("export", "import", "export again", "import again")):
        work = _out if number % 2 == 0 else _in
        here, there = ("first", "second") if number < 2 else ("second", "third")
        seconds, peak, hash_ = _apart(work, folder / here, folder / there, folder / f"out-{here}")
        found[step] = seconds, peak
        hashes.add(hash_)
    return found, len(hashes) == 1


def _apart(work: object, *given: object) -> tuple[float, float, str]:
    """In a fresh process: (seconds, peak MB, what it returned)."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (work, given))


def _timed(work: object, given: tuple[object, ...]) -> tuple[float, float, str]:
    begin = time.perf_counter()
    told = str(work(*given))  # type: ignore[operator]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return time.perf_counter() - begin, peak, told


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
