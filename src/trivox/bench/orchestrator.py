"""`trivox bench orchestrator`: what a pool of workers costs beside the work itself, by the length of the tasks.

The work waits instead of computing: so the time of the tasks alone is known exactly (count x length / workers),
also on a machine whose cores are all busy, and whatever is above it is what the orchestration costs.
"""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from trivox.bench.harness import Result, Timing, interleaved
from trivox.pipelines.pools.cluster import ensure_ray
from trivox.pipelines.pools.pool import PoolWorker, WorkerPool

NAME = "orchestrator"
LENGTHS_MS = (1, 10, 100)
DECIDES_MS = 100
LIMIT = 0.05
WORKERS = 2
PER_RUN_S = 2.0
"""Seconds of work for each worker in one run of one side."""
LEAST = 20


class Sleeper(PoolWorker):
    """Waits as many seconds as the unit says."""

    def work(self, unit: Any) -> int:
        return slept(float(unit))


def slept(seconds: float) -> int:
    time.sleep(seconds)
    return 1


def run(full: bool) -> Result:
    """Ours, bare Ray actors and a ProcessPoolExecutor, with as many workers each, on tasks of 1, 10 and 100 ms."""
    ensure_ray(2 * WORKERS)
    share: dict[str, float] = {}
    sides: dict[str, Timing] = {}
    terms: dict[str, float] = {}
    with WorkerPool(Sleeper, WORKERS) as ours, ProcessPoolExecutor(WORKERS) as processes:
        actors = _bare_actors()
        for length in LENGTHS_MS:
            count = WORKERS * max(LEAST, int(PER_RUN_S * 1000 / length / (1 if full else 2)))
            timed = _sides(length / 1000, count, ours, processes, actors)
            found = interleaved(timed, clock="wall")
            alone = count * length / 1000 / WORKERS
            terms[f"work_{length}ms"] = alone
            for side, timing in found.items():
                sides[f"{side}_{length}ms"] = timing
                share[f"overhead_{side}_{length}ms"] = timing.median / alone - 1
    decides = f"{DECIDES_MS}ms"
    mine = sides[f"ours_{decides}"].median
    return Result(
        name=NAME,
        ratio_to_peer={
            peer: sides[f"{peer}_{decides}"].median / mine for peer in ("ray", "processes")
        },
        ratio_to_limit=mine / terms[f"work_{decides}"],
        passed=share[f"overhead_ours_{decides}"] < LIMIT,
        threshold=f"overhead below {LIMIT:.0%} of the work at {DECIDES_MS} ms",
        terms=terms,
        sizes={"workers": WORKERS, "lengths_ms": ", ".join(map(str, LENGTHS_MS))},
        sides=sides,
        figures=share,
    )


def _bare_actors() -> list[Any]:
    import ray

    remote: Any = ray.remote(num_cpus=1)(Sleeper)
    actors = [remote.remote() for _ in range(WORKERS)]
    ray.get([actor.work.remote(0.0) for actor in actors])
    return actors


def _sides(
    seconds: float, count: int, ours: WorkerPool, processes: ProcessPoolExecutor, actors: list[Any]
) -> dict[str, Callable[[], object]]:
    from ray.util import ActorPool

    units = [seconds] * count

    def bare() -> list[int]:
        pool = ActorPool(actors)
        return list(pool.map_unordered(lambda actor, unit: actor.work.remote(unit), units))

    return {
        "ours": lambda: list(ours.map(units, NAME)),
        "ray": bare,
        "processes": lambda: list(processes.map(slept, units)),
    }
