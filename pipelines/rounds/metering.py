"""What a stage takes of the machine that drives it, booked while it works and however it ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from trivox.pipelines.rounds.owner import worker_name
from trivox.platform.errors import StoreError
from trivox.platform.observability.usage import Usage
from trivox.platform.progress import say
from trivox.platform.records import CostEntry, Round, Stage, StageRun
from trivox.platform.records.budgets import CostKind
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import book

BOOK_S = 30.0
"""Seconds of work after which a long stage books what it has taken so far, so that a budget stops it in the midst,
and no more than that is lost with a process that is killed."""


@dataclass
class Meter:
    """One attempt at a stage, by this process; workers' units are booked apart (`RoundContext.book_unit`)."""

    ws: Workspace
    round: Round
    stage: Stage
    attempt: int
    _usage: Usage = field(default_factory=Usage.begin)
    _booked: dict[CostKind, float] = field(default_factory=dict)
    _parts: int = 0
    _last: float = field(default_factory=time.monotonic)
    _ended: bool = False

    @classmethod
    def begin(cls, ws: Workspace, round_: Round, stage: Stage) -> "Meter":
        """attempt: counts from 1 over all that booked anything."""
        entries = (one.note for one in ws.records.find(CostEntry, round=round_.id))
        before = (note.get("attempt", 1) for note in entries if _of_driver(note, stage))
        return cls(ws, round_, stage, max(before, default=0) + 1)

    def checking(self, check: Callable[[], None]) -> Callable[[], None]:
        """The check of a stage between two units of work: it books too, now and then."""

        def checked() -> None:
            if time.monotonic() - self._last >= BOOK_S:
                self.book()
            check()

        return checked

    @contextmanager
    def running(self) -> Iterator[None]:
        """Whatever ends the work inside, what it took is booked. Where the store does not answer it is said what
        is not; the error that tells why is the first one."""
        try:
            yield
        finally:
            if not self._ended:
                self._book_politely()

    def end(self, run: StageRun) -> None:
        """The manifest of the stage and the last of what it cost, in one transaction."""
        self.book(run)
        self._ended = True

    def book(self, *records: StageRun) -> None:
        """What was taken since the last time, in one transaction with the records."""
        taken = self._usage.so_far()
        with self.ws.records.transaction():
            self.ws.records.add(*records)
            for kind, seconds in taken.items():
                self._book(kind, seconds - self._booked.get(kind, 0.0))
        self._booked, self._parts, self._last = taken, self._parts + 1, time.monotonic()

    def _book(self, kind: CostKind, seconds: float) -> None:
        if seconds <= 0:
            return
        book(
            self.ws.records,
            project=self.round.project,
            round=self.round.id,
            kind=kind,
            quantity=seconds,
            key=("stage", self.stage.value, worker_name(), self.attempt, self._parts),
            note={"stage": self.stage.value, "attempt": self.attempt},
        )

    def _book_politely(self) -> None:
        try:
            self.book()
        except StoreError as fault:
            taken = {kind.value: round(s, 1) for kind, s in self._usage.so_far().items()}
            say(f"round {self.round.id}, {self.stage.value}: {taken} s are not booked: {fault}")


def _of_driver(note: dict[str, object], stage: Stage) -> bool:
    return note.get("stage") == stage.value and "part" not in note
