"""Drawing and scoring by Ray actors while a policy is trained: what `[workers]` asks for.

A step's requests are cut into units, the longest prompts first, and each unit names the weights of the step by
reference: they are put into the object store once and taken once by each actor. Scorers are asked for raw values
item by item; what needs a whole step, normalising by group and running means, stays with the composition in the
process that trains.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

from trivox.pipelines.pools.cluster import Resources, ensure_ray, fitting
from trivox.pipelines.pools.drawing import DrawUnit, DrawWorker
from trivox.pipelines.pools.hearing import HearUnit, HearWorker
from trivox.pipelines.pools.pool import AHEAD, PoolWorker, WorkerPool
from trivox.pipelines.pools.units import chunks, unit_size
from trivox.pipelines.pools.weights import SharedAdapter, share_trained
from trivox.pipelines.rounds.owner import worker_name
from trivox.pipelines.updates.recipe import WorkersSection
from trivox.platform.errors import StoreError
from trivox.platform.hashing import derived_id
from trivox.platform.progress import say
from trivox.platform.scoring import Item, Scorer, ScorerInfo, Value
from trivox.policy.backbone import backbone_hash
from trivox.policy.engine import Generation, Request, RolloutEngine
from trivox.policy.engine.requests import check_request
from trivox.policy.trainers.rl.figures import Figures
from trivox.policy.trainers.rl.run import Job, OnStep
from trivox.reward_models.registry import build

Book = Callable[[str, float, Resources], None]
"""Takes what a unit of work cost: its name, another one each time, the seconds of its actor, what that one has."""
_NUMBERS = count()


def unbooked(part: str, seconds: float, resources: Resources) -> None:
    """Nobody pays."""


@dataclass
class Team:
    """A pool with what its units have cost. Costs are settled by the thread that trains: the store is not asked
    from the one that scores beside it."""

    pool: WorkerPool
    kind: str
    costs: deque[tuple[str, float, Resources]]

    def map(self, units: Sequence[Any], size: Callable[[Any], float] | None = None) -> list[Any]:
        """The results in the order of the units; raises as `WorkerPool.map`."""
        found: dict[int, Any] = {}
        for index, result in self.pool.map(units, self.kind, size, quiet=True):
            part = f"{self.kind}-{derived_id('part', worker_name(), next(_NUMBERS))}"
            self.costs.append((part, self.pool.seconds[index], self.pool.wants))
            found[index] = result
        return [found[index] for index in range(len(units))]


@dataclass
class Drawing:
    """Actors that draw, of `slots` each, with the weights that they have. backbone: its hash."""

    team: Team
    backbone: str
    slots: int
    _shared: SharedAdapter | None = None

    def engine(self, model: Any) -> RolloutEngine:
        """As `Job.engine` has it."""
        return PooledEngine(self, model)

    def weights(self, model: Any) -> SharedAdapter:
        """Those of the model as it is now; put into the object store where they have changed."""
        self._shared = share_trained(model, self.backbone, self._shared)
        return self._shared


@dataclass(frozen=True)
class PooledEngine:
    """A `RolloutEngine` whose slots are spread over actors; the model is read whenever it is asked to draw.

    On CPUs in float32, with one thread, tokens and log-probabilities are those of `InProcessEngine` with as many
    slots, bit for bit.
    """

    drawing: Drawing
    model: Any
    name = "pool"

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Completions in the order of the requests. Raises as `InProcessEngine.generate`, as `WorkerPool.map`, and
        ConfigError for a node that has another backbone."""
        for index, request in enumerate(requests):
            check_request(f"request {index}", request, self.model.config)
        team, slots = self.drawing.team, self.drawing.slots
        # Samples of one prompt stay side by side: it is read once.
        order = sorted(range(len(requests)), key=lambda index: -len(requests[index].prompt))
        parts = chunks(order, unit_size(slots, team.pool.size, len(requests)))
        weights = self.drawing.weights(self.model)
        said = team.map([DrawUnit(tuple(requests[at] for at in part), weights) for part in parts])
        found = {
            index: one
            for part, answers in zip(parts, said, strict=True)
            for index, one in zip(part, answers, strict=True)
        }
        return [found[index] for index in range(len(requests))]


@dataclass(frozen=True)
class PooledScorer:
    """A `Scorer` that sits in actors: the same values, failures and errors."""

    team: Team
    info: ScorerInfo

    def score(self, items: Sequence[Item]) -> list[Value]:
        if not items:
            return []
        size = -(-len(items) // (AHEAD * self.team.pool.size))
        units = [HearUnit(self.info.name, tuple(some)) for some in chunks(items, size)]
        return [value for _, values in self.team.map(units, _sound) for value in values]


@dataclass
class Workers:
    """The actors of one update, which end with it, however it ends. Where none are asked for Ray is not touched.

    book: takes what their units have cost, when it is settled. Entering raises ConfigError where the cluster has
    no room for one of each kind; there are fewer than asked for where it has less room.
    """

    wanted: WorkersSection
    book: Book = unbooked
    _costs: deque[tuple[str, float, Resources]] = field(default_factory=deque)
    _stack: ExitStack = field(default_factory=ExitStack)
    _sizes: tuple[int, int] = (0, 0)
    _hearing: Team | None = None

    def __enter__(self) -> "Workers":
        counts = self.wanted.rollout, self.wanted.score
        if any(counts):
            self._sizes = side_by_side(counts, self._resources)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()
        try:
            self.settle()
        except StoreError as fault:
            if error is None:
                raise
            say(f"what the workers took is not booked: {fault}")  # the first error tells why

    def settle(self) -> None:
        """Book what has been worked since the last time."""
        while self._costs:
            self.book(*self._costs.popleft())

    def settling(self, on_step: OnStep) -> OnStep:
        """Settles before each call."""

        def stepped(done: int, total: int, figures: Figures) -> None:
            self.settle()
            on_step(done, total, figures)

        return stepped

    def engine(self, folder: Path, slots: int = Job.slots) -> Callable[[Any], RolloutEngine] | None:
        """Makes engines over actors with the backbone of the folder; None: the trainer's own is to be used."""
        if not self._sizes[0]:
            return None
        team = self._team("rollout", DrawWorker, folder, slots)
        return Drawing(team, backbone_hash(folder), slots).engine

    def build(self, name: str) -> Scorer:
        """The scorer of a name, in actors where there are any. Raises NotFound, MissingModel."""
        if not self._sizes[1]:
            return build(name)
        self._hearing = self._hearing or self._team("score", HearWorker)
        ((info, _),) = self._hearing.map([HearUnit(name, ())])
        return PooledScorer(self._hearing, info)

    @property
    def _resources(self) -> tuple[Resources, Resources]:
        return self.wanted.rollout_resources.resources, self.wanted.score_resources.resources

    def _team(self, kind: str, worker: type[PoolWorker], *arguments: Any) -> Team:
        which = 0 if kind == "rollout" else 1
        wants = self._resources[which]
        pool = WorkerPool(worker, self._sizes[which], *arguments, resources=wants)
        return Team(self._stack.enter_context(pool), kind, self._costs)


def side_by_side(counts: tuple[int, int], wants: tuple[Resources, Resources]) -> tuple[int, int]:
    """How many of each kind the cluster has room for at once; begins one on this machine where there is none."""
    import ray

    ensure_ray(math.ceil(sum(n * one.cpus for n, one in zip(counts, wants, strict=True))))
    there: Any = ray.cluster_resources
    first, second = fitting(list(zip(counts, wants, strict=True)), there())
    return first, second


def _sound(unit: HearUnit) -> float:
    """Samples to be listened to: how long a unit takes goes with them."""
    return float(sum(len(one.samples) for one in unit.items if one.samples is not None))
