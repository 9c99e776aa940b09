"""`trivox worker`: takes runnable rounds from the database, one after the other."""

import time
from datetime import UTC, datetime

from trivox.annotation.waiting import waiting_tasks
from trivox.pipelines.rounds.runner import run_round
from trivox.platform.errors import TrivoxError, UsageError
from trivox.platform.progress import say
from trivox.platform.records import Round, RoundStatus
from trivox.platform.store import Workspace

IDLE_S = 2.0


def work(ws: Workspace, *, once: bool = False, idle_s: float = IDLE_S) -> int:
    """Run queued rounds, and waiting ones whose comparisons are all judged; returns how many were worked on.

    once: stop when nothing is runnable. Otherwise it goes on until interrupted. A round that fails is stored
    as failed and the worker goes on.
    """
    worked = 0
    while True:
        runnable = next_round(ws)
        if runnable is not None:
            worked += _attempt(ws, runnable)
        elif once:
            return worked
        else:
            time.sleep(idle_s)


def next_round(ws: Workspace) -> Round | None:
    """The oldest round that can go on now."""
    for one in ws.records.find(Round, status=RoundStatus.QUEUED):
        return one
    for one in ws.records.find(Round, status=RoundStatus.RUNNING):
        if one.lease_until is None or one.lease_until < datetime.now(UTC):
            return one
    for one in ws.records.find(Round, status=RoundStatus.WAITING):
        if not waiting_tasks(ws, one.id):
            return one
    return None


def _attempt(ws: Workspace, round_: Round) -> int:
    try:
        run_round(ws, round_.id)
    except UsageError as error:
        say(str(error))
    except TrivoxError as error:
        say(f"round {round_.id} failed: {error}")
    return 1
