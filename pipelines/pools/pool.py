"""A pool of like actors over an ordered list of units of work, which outlives the death of actors and nodes."""

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from trivox.pipelines.pools.cluster import Resources, ensure_ray
from trivox.pipelines.pools.deaths import cause_of, is_death, oom_kills
from trivox.platform.errors import StageFailed, TrivoxError
from trivox.platform.progress import bar, say

AHEAD = 2
"""Units that an actor has at once: one that it works on and one that waits at its side. More would be results that
nobody has taken yet (back-pressure), and units that an idle actor could have had."""
RETRIES = 3
"""How often a unit is given to another actor when its own died."""
START_S = 300.0
"""How long a pool without any live actor waits for the first."""


class NoRoom(StageFailed):
    """No worker of a pool could start, for the cluster is full or too small."""


class PoolWorker(ABC):
    """What a class needs to work in a WorkerPool: `work`, one unit to one result."""

    @abstractmethod
    def work(self, unit: Any) -> Any: ...


class WorkerPool:
    """Actors that hold one worker each, made with the same arguments, with one torch thread per CPU.

    There are fewer than `workers` where the cluster has less room. Use as a context manager: the actors end with
    it.
    """

    def __init__(
        self,
        worker: type[PoolWorker],
        workers: int,
        *arguments: Any,
        resources: Resources | None = None,
    ) -> None:
        import ray

        ensure_ray(workers)
        self.wants = resources or Resources()
        threads = str(max(1, int(self.wants.cpus)))
        environment = {"env_vars": {"OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}}
        # Named after its work, as `top`, `ray status` and dashboards show it.
        host = type(worker.__name__, (_Host,), {})
        remote: Any = ray.remote(runtime_env=environment, **self.wants.options())(host)
        self._start: Callable[[], Any] = partial(remote.remote, worker, arguments)
        # An actor without room would never start.
        there: Any = ray.cluster_resources
        self.size = min(workers, self.wants.fit(there()))
        self._oom_kills = oom_kills()
        self.seconds: dict[int, float] = {}
        """Unit of the map at work or the last one -> how long its actor worked on it."""
        self._members = [_Member(self._start()) for _ in range(self.size)]

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        for member in self._members:
            ray.kill(member.actor)

    def map(
        self,
        units: Sequence[Any],
        label: str,
        size: Callable[[Any], float] | None = None,
        quiet: bool = False,
    ) -> Iterator[tuple[int, Any]]:
        """(index of the unit, what `worker.work(unit)` returned) as they finish, with a progress bar unless quiet.

        size: how long a unit will take, in any unit of time: long ones then begin first, so that the last to
        finish is a short one. A unit whose actor or node dies goes to another one, RETRIES times. Raises the
        worker's TrivoxError as it is, StageFailed with the root cause for anything else.
        """
        for _, index, result in together(self.begin(units, label, size), quiet=quiet):
            yield index, result

    def begin(
        self,
        units: Sequence[Any],
        label: str,
        size: Callable[[Any], float] | None = None,
        later: int = 0,
    ) -> "PoolMap":
        """A map for `together`, which does the work; as `map` does. later: how many units will be added to it."""
        order = range(len(units))
        if size is not None:
            order = sorted(order, key=lambda index: -size(units[index]))  # type: ignore[assignment]
        return PoolMap(self, list(units), label, len(units) + later, deque(order))

    def cause(self, error: Exception) -> str:
        """Why an actor died; memory by that name where Ray or the kernel of this machine says so."""
        return cause_of(error, oom_killed=oom_kills() > self._oom_kills)

    def members(self) -> "list[_Member]":
        return self._members

    def replace(self, member: "_Member") -> None:
        """Start an actor in the place of one that died."""
        self._members[self._members.index(member)] = _Member(self._start())


@dataclass(eq=False)
class _Member:
    """An actor with what it was given. ready: the answer that it lives, None once it came."""

    actor: Any
    ready: Any = None
    given: dict[Any, int] = field(default_factory=dict)
    """Answers to come -> index of the unit, in the order in which they were given."""
    alive: bool = False

    def __post_init__(self) -> None:
        self.ready = self.actor.lives.remote()


@dataclass(eq=False)
class PoolMap:
    """One map of a pool: which units wait, and how often each has cost an actor its life."""

    pool: WorkerPool
    units: list[Any]
    label: str
    left: int
    waiting: deque[int]
    deaths: dict[int, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for member in self.pool.members():
            member.given.clear()  # of a map that was broken off
        self.pool.seconds.clear()

    def add(self, unit: Any) -> None:
        """One more unit, of those that were announced."""
        self.waiting.append(len(self.units))
        self.units.append(unit)

    def give(self) -> None:
        live = [one for one in self.pool.members() if one.alive]
        for depth in range(1, AHEAD + 1):  # everyone the first before anyone the second
            for member in live:
                if self.waiting and len(member.given) < depth:
                    index = self.waiting.popleft()
                    member.given[member.actor.work.remote(self.units[index])] = index

    @property
    def at_work(self) -> bool:
        return any(one.alive and one.given for one in self.pool.members())

    def answers(self) -> "dict[Any, tuple[PoolMap, _Member]]":
        """Those that are still to come, and whose they are."""
        return {
            answer: (self, member)
            for member in self.pool.members()
            for answer in ([] if member.alive else [member.ready]) + [*member.given]
        }

    def taken(self, member: _Member, answer: Any) -> tuple[int, Any] | None:
        """(index, result) of an answer that has come; None where it was none of a unit."""
        found = self._taken(member, answer)
        self.left -= found is not None
        return found

    def _taken(self, member: _Member, answer: Any) -> tuple[int, Any] | None:
        import ray
        from ray.exceptions import RayError, RayTaskError

        if member not in self.pool.members():
            return None  # died meanwhile; its units wait again
        try:
            value = ray.get(answer)
        except RayTaskError as error:
            if isinstance(error.cause, TrivoxError):
                raise error.cause from None
            raise StageFailed(f"{self.label}: a worker failed: {error.cause!r}") from error
        except RayError as error:
            if not is_death(error):
                raise StageFailed(f"{self.label}: {self.pool.cause(error)}") from error
            self._buried(member, error)
            return None
        if answer == member.ready:
            member.alive = True
            return None
        index = member.given.pop(answer)
        result, self.pool.seconds[index] = value
        return index, result

    def _buried(self, member: _Member, error: Exception) -> None:
        """Its units wait again, the one that it worked on first; another actor takes its place."""
        cause, given = self.pool.cause(error), list(member.given.values())
        if given:
            causes = self.deaths.setdefault(given[0], [])
            causes.append(cause)
            if len(causes) > RETRIES:
                raise StageFailed(
                    f"{self.label}: a worker died {len(causes)} times over unit {given[0]}: "
                    f"{'; '.join(dict.fromkeys(causes))}"
                ) from error
        elif not member.alive:
            causes = self.deaths.setdefault(-1, [])
            causes.append(cause)
            if len(causes) > RETRIES * self.pool.size:
                raise StageFailed(f"{self.label}: workers die as they start: {cause}") from error
        say(f"{self.label}: a worker died ({cause}); another one takes its {len(given)} units")
        self.waiting.extendleft(reversed(given))
        self.pool.replace(member)


def together(*maps: PoolMap, quiet: bool = False) -> Iterator[tuple[PoolMap, int, Any]]:
    """(map, index of the unit, result) of maps that run side by side, as they finish, each with a progress bar
    unless quiet; what is taken from one may be added to another. Ends, and raises, as `WorkerPool.map`."""
    display = bar()
    display.disable |= quiet
    with display as shown:
        tasks = {one: shown.add_task(one.label, total=one.left) for one in maps}
        while busy := [one for one in maps if one.left]:
            for one in busy:
                one.give()
            for one, member, answer in _come(busy):
                if (found := one.taken(member, answer)) is not None:
                    shown.advance(tasks[one])
                    yield one, *found


def _come(maps: Sequence[PoolMap]) -> list[tuple[PoolMap, _Member, Any]]:
    """The answers that have come; waits for one."""
    import ray

    owners = {answer: owner for one in maps for answer, owner in one.answers().items()}
    come, _ = ray.wait([*owners], num_returns=1, timeout=START_S, fetch_local=False)
    if not come and not any(one.at_work for one in maps):
        there: Any = ray.cluster_resources
        stuck = next((one for one in maps if one.waiting), maps[0])
        raise NoRoom(
            f"{stuck.label}: no worker could start within {START_S:.0f} s: the cluster has {there()}, a worker "
            f"needs {stuck.pool.wants}"
        )
    return [(*owners[answer], answer) for answer in come]


class _Host:
    """The actor. It makes its worker with the first unit: what fails then reaches the driver typed, whereas an
    actor that fails in its constructor is only dead."""

    def __init__(self, worker: type[PoolWorker], arguments: tuple[Any, ...]) -> None:
        self._make: Callable[[], PoolWorker] = partial(worker, *arguments)
        self._worker: PoolWorker | None = None

    def lives(self) -> bool:
        return True

    def work(self, unit: Any) -> tuple[Any, float]:
        """The result, and the seconds that it took, loading included."""
        began = time.perf_counter()
        if self._worker is None:
            self._worker = self._make()
        return self._worker.work(unit), time.perf_counter() - began
