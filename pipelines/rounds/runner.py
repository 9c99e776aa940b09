"""Carrying out a round: lease it, run its stages one after the other, write a manifest after each."""

import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from trivox import __version__
from trivox.pipelines.rounds.context import Outcome, RoundContext, Waiting, stage_run_id
from trivox.pipelines.rounds.service import manifests
from trivox.pipelines.rounds.stages import STAGES
from trivox.platform.errors import StageFailed, StoreError, TrivoxError, UsageError
from trivox.platform.progress import say
from trivox.platform.records import CostEntry, Round, RoundStatus, Stage, StageRun
from trivox.platform.store import Workspace

LEASE_S = 120.0


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def run_round(ws: Workspace, round_id: str) -> Round:
    """Carry a round on as far as it goes: to its end, to a failure, or until it waits for people.

    Raises UsageError when another worker has it, and the error of the stage that failed.
    """
    leased = ws.records.lease_round(worker_name(), LEASE_S, round_id)
    if leased is None:
        current = ws.records.get(Round, round_id)
        raise UsageError(
            f"round {round_id} is {current.status.value}"
            + (f", held by {current.worker}" if current.worker else "")
            + ": nothing to run here"
        )
    with _lease_kept(ws, leased):
        return _run_stages(ws, leased)


def _run_stages(ws: Workspace, round_: Round) -> Round:
    done = manifests(ws, round_)
    for number, (stage, run) in enumerate(STAGES.items(), 1):
        if stage in done:
            continue
        round_ = _changed(ws, round_, stage=stage, status=RoundStatus.RUNNING, error=None)
        say(f"{number}/{len(STAGES)} {stage.value}")
        started = datetime.now(UTC)
        with _failure_recorded(ws, round_):
            outcome = run(RoundContext.of(ws, round_))
            if isinstance(outcome, Outcome):
                _record(ws, round_, stage, outcome, started)
        if isinstance(outcome, Waiting):
            say(outcome.message)
            return _released(ws, round_, RoundStatus.WAITING)
    return _released(ws, round_, RoundStatus.DONE)


def _record(
    ws: Workspace, round_: Round, stage: Stage, outcome: Outcome, started: datetime
) -> None:
    """The manifest and the cost of a stage, in one transaction."""
    finished = datetime.now(UTC)
    run = StageRun(
        id=stage_run_id(round_.id, stage),
        project=round_.project,
        round=round_.id,
        stage=stage,
        inputs=outcome.inputs,
        outputs=outcome.outputs,
        code_version=__version__,
        seed=round_.seed,
        started_at=started,
        finished_at=finished,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )
    cost = CostEntry(
        id=f"{run.id}:cpu",
        project=round_.project,
        round=round_.id,
        campaign=None,
        kind="cpu",
        quantity=(finished - started).total_seconds(),
        unit="s",
        price=None,
        currency=None,
        created_at=finished,
        note={"stage": stage.value},
    )
    ws.records.add(run, cost)


@contextmanager
def _failure_recorded(ws: Workspace, round_: Round) -> Iterator[None]:
    """What ends a stage early is stored with the round: a failure with its cause, an interruption as queued."""
    try:
        yield
    except TrivoxError as error:
        _released(ws, round_, RoundStatus.FAILED, error=str(error))
        raise
    except KeyboardInterrupt:
        _released(ws, round_, RoundStatus.QUEUED)
        raise
    except Exception as error:
        message = f"round {round_.id}, stage {round_.stage.value}: {error!r}"
        _released(ws, round_, RoundStatus.FAILED, error=message)
        raise StageFailed(message) from error


@contextmanager
def _lease_kept(ws: Workspace, round_: Round) -> Iterator[None]:
    """Renew the lease in the background while the round is worked on; a lost one shows at the next change."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE_S / 4):
            with suppress(StoreError):
                ws.records.renew_lease(round_.id, worker_name(), LEASE_S)

    thread = threading.Thread(target=renew, name=f"lease-{round_.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _changed(ws: Workspace, round_: Round, **changes: Any) -> Round:
    """The round with changes, over what the database holds now: a renewed lease is kept.

    Raises StageFailed when the lease is no longer this worker's: the round is then another's to change.
    """
    with ws.records.transaction():
        current = ws.records.get(Round, round_.id)
        if current.worker != worker_name():
            raise StageFailed(
                f"round {round_.id}: {current.worker or 'another worker'} has taken its lease; this one stops"
            )
        changed = replace(current, updated_at=datetime.now(UTC), **changes)
        ws.records.replace(changed)
    return changed


def _released(ws: Workspace, round_: Round, status: RoundStatus, error: str | None = None) -> Round:
    return _changed(ws, round_, status=status, error=error, worker=None, lease_until=None)
