"""Carrying out a round: lease it, run its stages one after the other, write a manifest after each."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from trivox import __version__
from trivox.pipelines.rounds.context import Outcome, RoundContext, Stopped, Waiting, stage_run_id
from trivox.pipelines.rounds.finding import manifests
from trivox.pipelines.rounds.lease import Lease, changed, kept, released, take
from trivox.pipelines.rounds.metering import Meter
from trivox.pipelines.rounds.order import stages_of
from trivox.pipelines.rounds.stages import STAGES
from trivox.pipelines.rounds.telling import told
from trivox.pipelines.rounds.upgrades import check_version
from trivox.platform.errors import BudgetSpent, StageFailed, StoreError, TrivoxError
from trivox.platform.observability.logs import bound
from trivox.platform.observability.memory import peak_bytes
from trivox.platform.progress import say
from trivox.platform.records import Round, RoundStatus, Stage, StageRun
from trivox.platform.store import Workspace


def run_round(ws: Workspace, round_id: str) -> Round:
    """Carry a round on as far as it goes: to its end, to a failure, until it waits for people or is paused.

    Raises UsageError when another worker has it, OtherVersion when another version of Trivox began it and this one
    cannot go on, and the error of the stage that failed.
    """
    found = ws.records.get(Round, round_id)
    check_version(found, manifests(ws, found))
    leased = take(ws, round_id)
    with bound(round=round_id), kept(ws, leased) as lease:
        try:
            return _run_stages(ws, leased, lease)
        except Stopped:
            stopped = released(ws, leased, RoundStatus.QUEUED)
            say(f"round {round_id} is {stopped.status.value}: this worker leaves it")
            return stopped


def _run_stages(ws: Workspace, round_: Round, lease: Lease) -> Round:
    done = manifests(ws, round_)
    stages = stages_of(RoundContext.of(ws, round_).config)
    for number, stage in enumerate(stages, 1):
        if stage in done:
            continue
        round_ = changed(ws, round_, stage=stage, status=RoundStatus.RUNNING, error=None)
        try:
            RoundContext.of(ws, round_).go_on()
            say(f"{number}/{len(stages)} {stage.value}")
            outcome = _worked_on(ws, round_, stage, lease)
        except BudgetSpent as error:
            say(str(error))
            return released(ws, round_, RoundStatus.PAUSED, error=str(error))
        if isinstance(outcome, Waiting):
            say(outcome.message)
            return released(ws, round_, RoundStatus.WAITING)
    return released(ws, round_, RoundStatus.DONE)


def _worked_on(ws: Workspace, round_: Round, stage: Stage, lease: Lease) -> Outcome | Waiting:
    started, meter = datetime.now(UTC), Meter.begin(ws, round_, stage)
    with told(round_, stage), _failure_recorded(ws, round_), meter.running():
        outcome = STAGES[stage](RoundContext.of(ws, round_, meter.checking(lease.check)))
        if isinstance(outcome, Outcome):
            meter.end(_manifest(round_, stage, outcome, started))
    return outcome


def _manifest(round_: Round, stage: Stage, outcome: Outcome, started: datetime) -> StageRun:
    return StageRun(
        id=stage_run_id(round_.id, stage),
        project=round_.project,
        round=round_.id,
        stage=stage,
        inputs=outcome.inputs,
        outputs=outcome.outputs,
        code_version=__version__,
        seed=round_.seed,
        started_at=started,
        finished_at=datetime.now(UTC),
        peak_memory_mb=peak_bytes() / 2**20,
    )


@contextmanager
def _failure_recorded(ws: Workspace, round_: Round) -> Iterator[None]:
    """What ends a stage early is stored with the round: a failure with its cause, an interruption as queued."""
    try:
        yield
    except (Stopped, BudgetSpent):
        raise
    except TrivoxError as error:
        _let_go(ws, round_, RoundStatus.FAILED, str(error))
        raise
    except KeyboardInterrupt:
        _let_go(ws, round_, RoundStatus.QUEUED)
        raise
    except Exception as error:
        message = f"round {round_.id}, stage {round_.stage.value}: {error!r}"
        _let_go(ws, round_, RoundStatus.FAILED, message)
        raise StageFailed(message) from error


def _let_go(ws: Workspace, round_: Round, status: RoundStatus, error: str | None = None) -> None:
    """Where the store itself does not answer the round stays as it is: it is free once its worker is gone, and the
    error that tells why is the first one."""
    try:
        released(ws, round_, status, error=error)
    except StoreError as fault:
        say(f"round {round_.id}: that it stopped could not be stored: {fault}")
