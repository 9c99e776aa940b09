"""`trivox loop`: rounds one after the other, each from what the one before published, until a rule stops them.

All that a loop knows is stored: which rounds it has and how they ended. `advance` looks at the last one and
enqueues the next or ends the loop, in one transaction; whoever calls it, and however often, the same rounds come
of it. So a loop outlives the process that began it, and `trivox worker` carries it on.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from trivox.annotation.people.audit import THE_SYSTEM, By, note
from trivox.pipelines.rounds.config import RoundConfig, Section
from trivox.pipelines.rounds.finding import ENDED, manifests
from trivox.pipelines.rounds.service import NotInThisState, RoundService
from trivox.pipelines.rounds.updating import recipe_of
from trivox.pipelines.updates.plan import plan_of
from trivox.pipelines.updates.stops import stop_of
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import CostEntry, Loop, Round, RoundStatus, Stage
from trivox.platform.registry import resolve
from trivox.platform.store import Workspace


class StopSection(Section):
    """What ends a loop before its last round."""

    rounds_without_gain: int = Field(2, ge=1)
    """So many rounds one after the other whose candidate was not promoted."""
    cpu_s: float | None = Field(None, gt=0)
    """Seconds of work of all rounds together, from which no further one begins. Budgets of the project hold beside
    it: they pause a round (docs/operations.md)."""


class LoopConfig(Section):
    """A schedule of rounds."""

    rounds: int = Field(3, ge=1, le=1000)
    """At most so many."""
    reference: Literal["moving", "fixed"] = "moving"
    """moving: a round begins from, and is held against, the newest promoted version; fixed: always the first
    one."""
    round: RoundConfig = RoundConfig()
    """Every round; its seed is raised by 1 from round to round."""
    stop: StopSection = StopSection()

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.round.seed + self.rounds >= 1 << 63:
            raise ValueError(f"round.seed {self.round.seed}: leave room for {self.rounds} seeds")
        return self


@dataclass(frozen=True)
class LoopRound:
    """A round of a loop. policy: it began from; promoted: the version that it published, None for none yet or at
    all."""

    round: str
    seed: int
    status: RoundStatus
    policy: str
    promoted: str | None


@dataclass(frozen=True)
class LoopState:
    """reason: why it ended, or what holds it up."""

    loop: str
    status: RoundStatus
    reason: str | None
    rounds: tuple[LoopRound, ...]


@dataclass(frozen=True)
class LoopService:
    """Loops of the workspace's project. by: who acts, for the audit log."""

    ws: Workspace
    by: By = THE_SYSTEM

    def find(self, name: str) -> Loop:
        """By id, by a beginning of one, or "last". Raises NotFound, UsageError for the beginning of several."""
        every = self.loops()
        if name == "last" and every:
            return every[-1]
        found = [one for one in every if name and one.id.startswith(name)]
        if len(found) > 1:
            raise UsageError(f"loop {name!r} may be {', '.join(one.id for one in found)}")
        if not found:
            known = ", ".join(one.id for one in every[-5:]) or "none yet"
            raise NotFound(f"loop {name!r} is not there; the last ones: {known}")
        return found[0]

    def loops(self) -> list[Loop]:
        """The oldest first."""
        return self.ws.records.find(Loop, project=self.ws.project)

    def start(self, config: LoopConfig) -> Loop:
        """The loop of this configuration with its first round enqueued; the same one again is gone on with."""
        policy = resolve(self.ws, config.round.policy)
        round_ = config.round.model_copy(update={"policy": policy.id})
        wanted = config.model_copy(update={"round": round_})
        if (known := self._known(wanted)) is not None:
            return self.advance(known.id)
        stored = wanted.model_dump(mode="json")
        id_, now = derived_id("loop", self.ws.project, stored), datetime.now(UTC)
        loop = Loop(id_, self.ws.project, stored, RoundStatus.RUNNING, (), now, now)
        with self.ws.records.exclusive("audit"):
            if self.ws.records.add(loop):
                note(self.ws, self.by, "start loop", "Loop", id_, rounds=config.rounds)
            return self.advance(id_)

    def _known(self, wanted: LoopConfig) -> Loop | None:
        """A loop of this configuration that is there, also where an earlier version made it, which knew less of
        what can be configured."""
        return next((one for one in self.loops() if _as_config(one) == wanted), None)

    def cancel(self, name: str) -> Loop:
        """No further round; the one that runs ends by itself (or by `trivox round cancel`)."""
        id_ = self.find(name).id
        with self.ws.records.exclusive("audit"):
            current = self.ws.records.get(Loop, id_)
            if current.status in ENDED:
                raise NotInThisState(
                    f"loop {id_} is {current.status.value}: it cannot be cancelled"
                )
            note(self.ws, self.by, "cancel loop", "Loop", id_)
            return self._changed(current, status=RoundStatus.CANCELLED, reason="cancelled")

    def advance(self, id_: str) -> Loop:
        """Enqueue the next round when the last one is done, or end the loop with the rule that ends it."""
        with self.ws.records.exclusive("audit"):
            loop = self.ws.records.get(Loop, id_)
            if loop.status in ENDED:
                return loop
            config, rounds = LoopConfig.model_validate(loop.config), self.rounds_of(loop)
            if rounds and rounds[-1].status is not RoundStatus.DONE:
                return self._held_up(loop, rounds[-1])
            over = self._over(config, rounds)
            if over is not None:
                return self._changed(loop, status=RoundStatus.DONE, reason=over)
            policy = rounds[-1].policy if rounds else config.round.policy
            if config.reference == "moving" and rounds:
                policy = self.promoted(rounds[-1]) or policy
            update = {"policy": policy, "seed": config.round.seed + len(rounds)}
            service = RoundService(self.ws, self.by)
            made = service.enqueue(config.round.model_copy(update=update), loop=id_)
            return self._changed(loop, rounds=(*loop.rounds, made.id), reason=None)

    def status(self, name: str) -> LoopState:
        """How far it is."""
        loop = self.find(name)
        rounds = tuple(self._row(one) for one in self.rounds_of(loop))
        return LoopState(loop.id, loop.status, loop.reason, rounds)

    def _row(self, one: Round) -> LoopRound:
        promoted = self.promoted(one) if one.status is RoundStatus.DONE else None
        return LoopRound(one.id, one.seed, one.status, one.policy, promoted)

    def rounds_of(self, loop: Loop) -> list[Round]:
        """In order."""
        return [self.ws.records.get(Round, one) for one in loop.rounds]

    def promoted(self, round_: Round) -> str | None:
        """The id of the version that the round promoted; None for one that was not."""
        published = manifests(self.ws, round_)[Stage.PUBLISH].outputs
        return str(published["policy"]) if published["promoted"] else None

    def _held_up(self, loop: Loop, last: Round) -> Loop:
        """While its round is not done: as it is, or ended by a watcher, or waiting for someone to see to it."""
        if last.status is RoundStatus.CANCELLED:
            return self._changed(
                loop, status=RoundStatus.CANCELLED, reason=f"round {last.id} was cancelled"
            )
        if last.status is RoundStatus.FAILED and (stopped := self._watcher(last)):
            return self._changed(loop, status=RoundStatus.DONE, reason=stopped)
        reason = f"round {last.id} is {last.status.value}" + (
            f": {last.error}" if last.error else ""
        )
        return loop if reason == loop.reason else self._changed(loop, reason=reason)

    def _watcher(self, round_: Round) -> str | None:
        """What a watcher said when it stopped the update of this round."""
        config = RoundConfig.model_validate(round_.config)
        if not config.by_rewards:
            return None
        stop = stop_of(self.ws, plan_of(self.ws, recipe_of(config), "planned").id)
        return f"a watcher stopped round {round_.id}: {stop.figure}" if stop else None

    def _over(self, config: LoopConfig, rounds: list[Round]) -> str | None:
        """The rule that ends the loop now."""
        if len(rounds) >= config.rounds:
            return f"all {config.rounds} rounds are done"
        patience = config.stop.rounds_without_gain
        if len(rounds) >= patience and not any(map(self.promoted, rounds[-patience:])):
            return f"no gain in {patience} rounds"
        spent = sum(self._cpu_s(one) for one in rounds)
        if config.stop.cpu_s is not None and spent >= config.stop.cpu_s:
            return f"{spent:.0f} s of work are spent, {config.stop.cpu_s:.0f} s are allowed"
        return None

    def _cpu_s(self, round_: Round) -> float:
        costs = self.ws.records.find(CostEntry, round=round_.id, kind="cpu")
        return sum(one.quantity for one in costs)

    def _changed(self, loop: Loop, **changes: object) -> Loop:
        changed = replace(loop, updated_at=datetime.now(UTC), **changes)  # type: ignore[arg-type]
        self.ws.records.replace(changed)
        return changed


def _as_config(loop: Loop) -> LoopConfig | None:
    try:
        return LoopConfig.model_validate(loop.config)
    except ValueError:
        return None


def advance_all(ws: Workspace) -> None:
    """Carry every running loop on; what a worker does between two rounds."""
    service = LoopService(ws)
    for one in ws.records.find(Loop, project=ws.project, status=RoundStatus.RUNNING):
        service.advance(one.id)
