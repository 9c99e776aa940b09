"""`trivox worker`: takes runnable rounds from the database, one after the other."""

import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from trivox.annotation.waiting import waiting_tasks
from trivox.pipelines.rounds.lease import abandoned
from trivox.pipelines.rounds.loops import advance_all
from trivox.pipelines.rounds.runner import run_round
from trivox.pipelines.rounds.upgrades import OtherVersion
from trivox.platform.errors import StoreError, TrivoxError, UsageError
from trivox.platform.progress import say
from trivox.platform.records import Round, RoundStatus
from trivox.platform.store import Workspace

IDLE_S = 2.0


def work(ws: Workspace, *, once: bool = False, idle_s: float = IDLE_S) -> int:
    """Run queued rounds, and waiting ones whose comparisons are all judged; returns how many were worked on.

    once: stop when nothing is runnable. Otherwise it goes on until interrupted, also while the database is away. A
    round that fails is stored as failed and the worker goes on; one that another version of Trivox has to finish
    is named once and left alone.
    """
    worked, refused = 0, set[str]()
    while True:
        runnable = _looked_for(ws, refused, once)
        if runnable is not None:
            worked += _attempt(ws, runnable, refused)
        elif once:
            return worked
        else:
            time.sleep(idle_s)


def next_round(ws: Workspace, without: Collection[str] = ()) -> Round | None:
    """The oldest round that can go on now."""
    runnable = (one for one in _runnable(ws) if one.id not in without)
    return next(runnable, None)


def _runnable(ws: Workspace) -> Iterator[Round]:
    find, now = ws.records.find, datetime.now(UTC)
    yield from find(Round, status=RoundStatus.QUEUED)
    for one in find(Round, status=RoundStatus.RUNNING):
        if one.lease_until is None or one.lease_until < now or abandoned(one):
            yield one
    for one in find(Round, status=RoundStatus.WAITING):
        if not waiting_tasks(ws, one.id):
            yield one


def _looked_for(ws: Workspace, refused: Collection[str], once: bool) -> Round | None:
    try:
        advance_all(ws)
        return next_round(ws, refused)
    except StoreError as error:
        if once:
            raise
        say(f"the database does not answer, waiting for it: {error}")
        return None


def _attempt(ws: Workspace, round_: Round, refused: set[str]) -> int:
    try:
        run_round(ws, round_.id)
    except OtherVersion as error:
        refused.add(round_.id)
        say(str(error))
        return 0
    except UsageError as error:
        say(str(error))
    except TrivoxError as error:
        say(f"round {round_.id} failed: {error}")
    return 1
