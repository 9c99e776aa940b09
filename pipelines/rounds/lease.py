"""Who works on a round: taken by a lease in the database, renewed while it is worked on, freed when its owner
died.

Two things free a round whose worker is gone. On the worker's own machine it is seen at once that the process lives
no more (`owner`); from any other machine its lease runs out, `LEASE_S` after the last renewal.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from trivox.pipelines.rounds.context import Stopped
from trivox.pipelines.rounds.owner import is_dead, worker_name
from trivox.platform.errors import StageFailed, StoreError, UsageError
from trivox.platform.records import Round, RoundStatus
from trivox.platform.store import Workspace

LEASE_S = 120.0
LOOK_S = 1.0
"""How often a worker looks whether somebody paused or cancelled its round."""
STOPPING = (RoundStatus.PAUSED, RoundStatus.CANCELLED)
_mine: set[str] = set()
"""Rounds that a thread of this process works on."""


def take(ws: Workspace, round_id: str) -> Round:
    """The round, running and leased to this process. Raises UsageError, which names who has it."""
    free_of_dead(ws, round_id)
    leased = ws.records.lease_round(worker_name(), LEASE_S, round_id)
    if leased is None:
        current = ws.records.get(Round, round_id)
        raise UsageError(
            f"round {round_id} is {current.status.value}"
            + (f", held by {current.worker}" if current.worker else "")
            + ": nothing to run here"
        )
    return leased


def abandoned(round_: Round) -> bool:
    """Whether its worker certainly does not work on it any more, whatever its lease says."""
    if round_.worker is None:
        return False
    here = round_.worker == worker_name()
    return (here and round_.id not in _mine) or (not here and is_dead(round_.worker))


def free_of_dead(ws: Workspace, round_id: str) -> None:
    """Queue a running round whose worker is gone; what it left unfinished is made again by the next one."""
    if not abandoned(ws.records.get(Round, round_id)):
        return
    with ws.records.transaction():
        current = ws.records.get(Round, round_id)
        if abandoned(current):
            running = current.status is RoundStatus.RUNNING
            status = RoundStatus.QUEUED if running else current.status
            _put(ws, current, status=status, worker=None, lease_until=None)


@dataclass
class Lease:
    """This worker's hold on a round. check: raises Stopped once the round is paused or cancelled, or another's."""

    ws: Workspace
    round: str
    _wish: RoundStatus | None = None
    _lost: str | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        if self._lost is not None:
            raise _taken(self.round, self._lost)
        if self._wish is not None:
            raise Stopped

    def keep(self) -> None:
        """Look and renew until the work ends; runs in a thread of its own."""
        last = 0.0
        while not self._ended.wait(min(LOOK_S, LEASE_S / 4)):
            last += min(LOOK_S, LEASE_S / 4)
            # The database may be away for a while: the lease lasts longer than most such whiles.
            with suppress(StoreError):
                self._look()
                if last >= LEASE_S / 4:
                    self.ws.records.renew_lease(self.round, worker_name(), LEASE_S)
                    last = 0.0

    def end(self) -> None:
        self._ended.set()

    def _look(self) -> None:
        current = self.ws.records.get(Round, self.round)
        self._lost = None if current.worker == worker_name() else current.worker or "another worker"
        self._wish = current.status if current.status in STOPPING else None


@contextmanager
def kept(ws: Workspace, round_: Round) -> Iterator[Lease]:
    """Renew the lease in the background while the round is worked on."""
    lease = Lease(ws, round_.id)
    thread = threading.Thread(target=lease.keep, name=f"lease-{round_.id}", daemon=True)
    _mine.add(round_.id)
    thread.start()
    try:
        yield lease
    finally:
        lease.end()
        thread.join()
        _mine.discard(round_.id)


def changed(ws: Workspace, round_: Round, **changes: Any) -> Round:
    """The round with changes, over what the database holds now: a renewed lease is kept.

    Raises StageFailed when the lease is no longer this worker's: the round is then another's to change. Raises
    Stopped when somebody paused or cancelled it meanwhile.
    """
    with ws.records.transaction():
        current = _held(ws, round_.id)
        if current.status in STOPPING:
            raise Stopped
        return _put(ws, current, **changes)


def released(ws: Workspace, round_: Round, status: RoundStatus, error: str | None = None) -> Round:
    """Nobody's any more. What somebody asked for meanwhile stands: a cancelled round stays so, and a paused one
    unless it ended by itself."""
    with ws.records.transaction():
        current = _held(ws, round_.id)
        ended = status in (RoundStatus.DONE, RoundStatus.FAILED)
        if current.status is RoundStatus.CANCELLED or (
            current.status is RoundStatus.PAUSED and not ended
        ):
            status, error = current.status, current.error
        return _put(ws, current, status=status, error=error, worker=None, lease_until=None)


def _held(ws: Workspace, round_id: str) -> Round:
    current = ws.records.get(Round, round_id)
    if current.worker != worker_name():
        raise _taken(round_id, current.worker or "another worker")
    return current


def _taken(round_id: str, by: str) -> StageFailed:
    return StageFailed(f"round {round_id}: {by} has taken its lease; this one stops")


def _put(ws: Workspace, current: Round, **changes: Any) -> Round:
    made = replace(current, updated_at=datetime.now(UTC), **changes)
    ws.records.replace(made)
    return made
