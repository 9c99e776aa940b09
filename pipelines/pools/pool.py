"""A pool of like actors over an ordered list of units of work."""

import logging
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from trivox.platform.errors import StageFailed, TrivoxError
from trivox.platform.progress import bar

OBJECT_STORE_BYTES = 200 * 1024 * 1024


def ensure_ray(workers: int) -> None:
    """Connect to the cluster of RAY_ADDRESS, or start one on this machine with `workers` CPU slots."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        return
    if "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
        return
    with warnings.catch_warnings():
        # Ray announces a change of a default that Trivox sets itself just above.
        warnings.simplefilter("ignore", FutureWarning)
        ray.init(
            num_cpus=workers,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


class WorkerPool:
    """Actors that hold one worker each, made with the same arguments, with one CPU and one torch thread.

    There are fewer than `workers` where the cluster has fewer CPUs. Use as a context manager: the actors
    end with it.
    """

    def __init__(self, worker: type["PoolWorker"], workers: int, *arguments: Any) -> None:
        import ray

        ensure_ray(workers)
        environment = {"env_vars": {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}}
        remote: Any = ray.remote(num_cpus=1, runtime_env=environment)(_Host)
        # An actor without a CPU would never start, and the units given to it never end.
        resources: Any = ray.cluster_resources
        count = min(workers, max(1, int(resources().get("CPU", 1))))
        self._actors = [remote.remote(worker, arguments) for _ in range(count)]

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)

    def map(self, units: Sequence[Any], label: str) -> Iterator[tuple[int, Any]]:
        """(index of the unit, what `worker.work(unit)` returned) as they finish, with a progress bar.

        Raises the worker's TrivoxError as it is, StageFailed with the root cause for anything else.
        """
        from ray.util import ActorPool

        pool = ActorPool(self._actors)
        indexed = list(enumerate(units))
        finished = pool.map_unordered(lambda actor, unit: actor.numbered.remote(*unit), indexed)
        with bar() as shown:
            task = shown.add_task(label, total=len(units))
            for _ in units:
                yield _next(finished, label)
                shown.advance(task)


class PoolWorker(ABC):
    """What a class needs to work in a WorkerPool: `work`, one unit to one result."""

    @abstractmethod
    def work(self, unit: Any) -> Any: ...


class _Host:
    """The actor. It makes its worker with the first unit: what fails then reaches the driver typed, whereas
    an actor that fails in its constructor is only dead."""

    def __init__(self, worker: type[PoolWorker], arguments: tuple[Any, ...]) -> None:
        self._make: Callable[[], PoolWorker] = partial(worker, *arguments)
        self._worker: PoolWorker | None = None

    def numbered(self, index: int, unit: Any) -> tuple[int, Any]:
        if self._worker is None:
            self._worker = self._make()
        return index, self._worker.work(unit)


def _next(finished: Iterator[tuple[int, Any]], label: str) -> tuple[int, Any]:
    from ray.exceptions import RayActorError, RayTaskError

    try:
        return next(finished)
    except RayTaskError as error:
        if isinstance(error.cause, TrivoxError):
            raise error.cause from None
        raise StageFailed(f"{label}: a worker failed: {error.cause!r}") from error
    except RayActorError as error:
        raise StageFailed(
            f"{label}: a worker died, of too little memory perhaps ({type(error).__name__})"
        ) from error
