"""A pool of like actors over an ordered list of units of work."""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
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
    """Actors of one class, each made with the same arguments, each with one CPU and one torch thread.

    Use as a context manager: the actors end with it.
    """

    def __init__(self, actor: type, workers: int, *arguments: Any) -> None:
        import ray

        ensure_ray(workers)
        environment = {"env_vars": {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}}
        remote: Any = ray.remote(num_cpus=1, runtime_env=environment)(actor)
        self._actors = [remote.remote(*arguments) for _ in range(workers)]

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for actor in self._actors:
            ray.kill(actor)

    def map(self, units: Sequence[Any], label: str) -> Iterator[tuple[int, Any]]:
        """(index of the unit, what `actor.work(unit)` returned) as they finish, with a progress bar.

        Raises the actor's TrivoxError as it is, StageFailed with the root cause for anything else.
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


class PoolWorker:
    """What a class needs to be an actor of a WorkerPool: `work`, one unit to one result."""

    def work(self, unit: Any) -> Any:
        raise NotImplementedError

    def numbered(self, index: int, unit: Any) -> tuple[int, Any]:
        return index, self.work(unit)


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
            f"{label}: a worker died, of too little memory perhaps: {error}"
        ) from error
