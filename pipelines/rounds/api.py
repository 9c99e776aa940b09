"""Rounds, and loops of them, over HTTP, for researchers' own scripts: the verbs of the command line, with roles
and the audit log.

Nothing here works on a round: it is enqueued, and `trivox worker` takes it, whatever becomes of who asked.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException
from pydantic import Field

from trivox.annotation.api.common import ANSWERS, Served
from trivox.annotation.api.models import Given
from trivox.annotation.people.principal import Here
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.loops import LoopConfig, LoopService, LoopState
from trivox.pipelines.rounds.service import NotInThisState, RoundService
from trivox.pipelines.rounds.views import Lineage, Plan, RoundDiff, RoundState
from trivox.platform.records import Round

router = APIRouter(tags=["rounds"], responses=ANSWERS)
Name = Annotated[str, Field(min_length=1, max_length=100)]
Verb = Literal["pause", "resume", "retry", "cancel"]


class RoundRow(Given):
    """One round of many. loop: the schedule that it is of."""

    round: str
    branch: str
    algorithm: str
    seed: int
    stage: str
    status: str
    error: str | None
    loop: str | None

    @classmethod
    def of(cls, one: Round) -> "RoundRow":
        return cls(
            round=one.id,
            branch=one.branch.value,
            algorithm=one.algorithm,
            seed=one.seed,
            stage=one.stage.value,
            status=one.status.value,
            error=one.error,
            loop=one.loop,
        )


class RoundRows(Given):
    rounds: list[RoundRow]


def service(workspace: Served, who: Here) -> RoundService:
    return RoundService(workspace, who.by)


class LoopRows(Given):
    loops: list[LoopState]


def loop_service(workspace: Served, who: Here) -> LoopService:
    return LoopService(workspace, who.by)


Service = Annotated[RoundService, Depends(service)]
Loops = Annotated[LoopService, Depends(loop_service)]


@router.get("/api/v1/rounds", operation_id="list_rounds")
def list_rounds(rounds: Service) -> RoundRows:
    """All rounds of the project, the oldest first."""
    return RoundRows(rounds=[RoundRow.of(one) for one in rounds.rounds()])


@router.post("/api/v1/rounds/plan", operation_id="plan_round")
def plan_round(config: RoundConfig, rounds: Service) -> Plan:
    """What a round of this configuration would make; nothing is written."""
    return rounds.plan(config)


@router.post("/api/v1/rounds", operation_id="enqueue_round")
def enqueue_round(config: RoundConfig, rounds: Service) -> RoundState:
    """Leave a round to the workers; the same configuration again is the same round, as it is."""
    return rounds.status(rounds.enqueue(config).id)


@router.get("/api/v1/rounds/{round}", operation_id="show_round")
def show_round(round: Name, rounds: Service) -> RoundState:
    """How far it is. `last` is the newest."""
    return rounds.status(round)


@router.get("/api/v1/rounds/{round}/lineage", operation_id="round_lineage")
def round_lineage(round: Name, rounds: Service) -> Lineage:
    """Where everything of it came from, and what came of it."""
    return rounds.lineage(round)


@router.get("/api/v1/rounds/{round}/diff/{other}", operation_id="diff_rounds")
def diff_rounds(round: Name, other: Name, rounds: Service) -> RoundDiff:
    """What two rounds were told differently, and how what they made differs."""
    return rounds.diff(round, other)


@router.post("/api/v1/rounds/{round}/{verb}", operation_id="change_round")
def change_round(round: Name, verb: Verb, rounds: Service) -> RoundState:
    """Pause, resume, retry or cancel; 409 where its state does not allow that."""
    verbs = {
        "pause": rounds.pause,
        "resume": rounds.resume,
        "retry": rounds.retry,
        "cancel": rounds.cancel,
    }
    try:
        return rounds.status(verbs[verb](round).id)
    except NotInThisState as error:
        raise HTTPException(409, str(error)) from None


@router.get("/api/v1/loops", operation_id="list_loops")
def list_loops(loops: Loops) -> LoopRows:
    """All loops of the project, the oldest first."""
    return LoopRows(loops=[loops.status(one.id) for one in loops.loops()])


@router.post("/api/v1/loops", operation_id="start_loop")
def start_loop(config: LoopConfig, loops: Loops) -> LoopState:
    """Leave a schedule of rounds to the workers; the same configuration again is the same loop."""
    return loops.status(loops.start(config).id)


@router.get("/api/v1/loops/{loop}", operation_id="show_loop")
def show_loop(loop: Name, loops: Loops) -> LoopState:
    """Its rounds, and why it ended or what holds it up. `last` is the newest."""
    return loops.status(loop)


@router.post("/api/v1/loops/{loop}/cancel", operation_id="cancel_loop")
def cancel_loop(loop: Name, loops: Loops) -> LoopState:
    """No further round; the one at work ends by itself. 409 for a loop that has ended."""
    try:
        return loops.status(loops.cancel(loop).id)
    except NotInThisState as error:
        raise HTTPException(409, str(error)) from None
