"""Judgements and rollouts imported, exported, imported elsewhere and exported again: identical hashes.

Each size runs in a process of its own, whose peak memory is read at its end: what grows with the rows would show
between sizes. --full: a million judgements and 200,000 rollouts.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trivox.bench.harness import Result, Timing
from trivox.platform.errors import WorkError

SIZES, FULL_SIZES = (5_000, 20_000, 50_000), (10_000, 100_000, 1_000_000)
BATCH = 20_000
GROWTH_MB = 150.0
"""More than this between the second size and the largest is memory that grows with the data."""


def run(full: bool = False) -> Result:
    """Raises WorkError when a process ends early."""
    found = [_apart(rows) for rows in (FULL_SIZES if full else SIZES)]
    grown = found[-1]["peak_mb"] - found[-2]["peak_mb"]
    same = all(one["same"] for one in found)
    last = found[-1]
    figures = {f"peak_mb at {one['judgements']:.0f}": one["peak_mb"] for one in found}
    figures |= {f"s at {one['judgements']:.0f}": one["seconds"] for one in found}
    seconds = Timing((last["seconds"],), (last["seconds"],))
    return Result(
        name="store-travel",
        ratio_to_peer={},
        ratio_to_limit=None,
        passed=same and grown <= GROWTH_MB,
        threshold=f"equal hashes at every size; at most {GROWTH_MB:.0f} MB more at the largest than the second",
        terms={"batch_rows": float(BATCH)},
        sizes={"judgements": int(last["judgements"]), "rollouts": int(last["rollouts"])},
        sides={"there and back": seconds},
        figures=figures | {"grown_mb": grown, "hashes equal": float(same)},
    )


def _apart(rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "trivox.bench.store_travel", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise WorkError(f"store-travel of {rows} rows: {done.stderr.strip()[-500:]}")
    told: dict[str, float] = json.loads(done.stdout)
    return told


def travel(judgements_: int, rollouts_: int, folder: Path) -> bool:
    """Whether both kinds have the same hash after the second export as after the first."""
    from trivox.bench.store_rows import judgements, rollouts, with_tasks
    from trivox.platform.records import Branch, Judgement, Rollout
    from trivox.platform.store.columns import add_batches
    from trivox.platform.store.travel import export_file, import_file

    hashes: dict[str, list[str]] = {"judgement": [], "rollout": []}
    with with_tasks(folder / "one") as ws:
        add_batches(ws.records, Judgement, judgements(judgements_, BATCH))
        for number, begin in enumerate(range(0, rollouts_, BATCH)):
            name = f"rd_{number // 3:03}"
            table = rollouts(begin, min(begin + BATCH, rollouts_), name)
            part = f"{number:06}"
            ws.tables.write_columns(Rollout, table, branch=Branch.TTS, round=name, part=part)
        for kind in (Judgement, Rollout):
            hashes[kind.__name__.lower()].append(
                export_file(ws, kind, folder / f"1-{kind.__name__}", BATCH)
            )
    with with_tasks(folder / "two") as ws:
        for kind in (Judgement, Rollout):
            import_file(ws, kind, folder / f"1-{kind.__name__}", BATCH)
            hashes[kind.__name__.lower()].append(
                export_file(ws, kind, folder / f"2-{kind.__name__}", BATCH)
            )
    return all(len(set(found)) == 1 for found in hashes.values())


def _main(rows: int) -> dict[str, float]:
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        same = travel(rows, rows // 5, Path(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took = time.perf_counter() - begin
    return {
        "judgements": rows,
        "rollouts": rows // 5,
        "same": same,
        "peak_mb": peak,
        "seconds": took,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_main(int(sys.argv[1]))))
