"""The one door to what is stored: figures are asked for here, by pages and by the command line alike.

What was asked before is answered from memory until the data changes; whether it has is seen from row numbers,
sizes and times of files, without reading what is in them.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import polars as pl
import sqlalchemy as sa

from trivox.dashboards.queries.judgements import Mirror
from trivox.dashboards.queries.pairs import SOUNDS
from trivox.dashboards.queries.rollups import Rollups
from trivox.dashboards.queries.shards import Partition, partitions
from trivox.platform.hashing import content_hash
from trivox.platform.records import (
    Audio,
    Campaign,
    CostEntry,
    Decision,
    Evaluation,
    Inquiry,
    Judgement,
    PolicyVersion,
    PreferenceSet,
    PromptSet,
    RewardModelVersion,
    Round,
    StageRun,
    Task,
    TaskLease,
    TaskState,
    Voided,
    WorkPause,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

T = TypeVar("T")
FOLDER = "cache/dashboards"
REMEMBERED = 256
COUNTED_S = 600.0
FETCHED_S = 30.0
_APPENDED = (
    Task, Judgement, TaskLease, TaskState, Voided, StageRun, Evaluation, Decision, CostEntry, PreferenceSet,
    PromptSet, RewardModelVersion, Audio,
)  # fmt: skip
_CHANGED: dict[type[Any], tuple[str, ...]] = {
    Round: ("id", "status", "stage", "updated_at"),
    PolicyVersion: ("id", "status"),
    Campaign: ("id", "status", "guideline_version", "overlap", "budget"),
    WorkPause: ("id", "lifted_at"),
    Inquiry: ("id", "answered_at"),
}
"""Small tables whose rows change, with the columns that do."""


class Source:
    """A workspace as its dashboards see it. Threads may share one."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        folder = ws.root / FOLDER
        self.mirror = Mirror(ws, folder)
        self.rollups = Rollups(folder, self.mirror)
        self.version = ""
        self.parts: dict[str, list[Partition]] = {"rollout": [], "score": []}
        self._counted, self._mine = (-math.inf, (-1, -1)), [0, 0]
        self._fetched = self._looked = -math.inf
        self._lock = threading.RLock()
        self._known: OrderedDict[Any, tuple[str, Any]] = OrderedDict()
        self._digests: dict[str, tuple[str, Any]] = {}

    def look(
        self, say: Callable[[int, int], None] = lambda done, total: None, *, within_s: float = 0.0
    ) -> str:
        """See what is new and take it in; returns the version of the data. say: done and total, where that takes
        a while. within_s: what was seen so shortly before will do."""
        with self._lock:
            if self.version and time.monotonic() - self._looked < within_s:
                return self.version
            self.parts = self._partitions()
            marks = [
                (one.kind, one.key, one.fingerprint) for kind in self.parts.values() for one in kind
            ]
            rows = self._rows()
            version = content_hash([marks, rows])
            if version != self.version:
                self.mirror.refresh(rows["judgement"][0], rows["judgement"][1])
                self.rollups.refresh(self.parts["rollout"], self.parts["score"], self._sounds, say)
                self.version = version
            self._looked = time.monotonic()
            return version

    def known(self, key: Any, make: Callable[[], T]) -> T:
        """What make gives, from memory while the data is the same."""
        with self._lock:
            held = self._known.get(key)
            if held is not None and held[0] == self.version:
                self._known.move_to_end(key)
                return held[1]  # type: ignore[no-any-return]
            made = make()
            self._known[key] = (self.version, made)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return made

    def digest(self, name: str, make: Callable[[], T]) -> T:
        """As known, of what no pick narrows: read once for all the answers that are made of it."""
        with self._lock:
            held = self._digests.get(name)
            if held is None or held[0] != self.version:
                self._digests[name] = held = (self.version, make())
            return held[1]

    def forget(self) -> None:
        """As for a question that nobody asked yet: the next answer is made anew, from rollups and digests."""
        with self._lock:
            self._known.clear()

    def part(self, kind: str, branch: str, round_: str) -> Partition | None:
        """The files of one round."""
        found = [one for one in self.parts[kind] if one.key == (branch, round_)]
        return found[0] if found else None

    def frame(self, query: sa.Select[Any], schema: dict[str, Any]) -> pl.DataFrame:
        """Rows of a query as columns of `schema`, in its order."""
        with self.ws.records.statements(write=False) as connection:
            rows = connection.execute(query).all()
        return pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row")

    def _partitions(self) -> dict[str, list[Partition]]:
        """An object store, which answers for every part, is asked every FETCHED_S; its copies here each time."""
        fetch = time.monotonic() - self._fetched > FETCHED_S
        found = {kind: partitions(self.ws, kind, fetch=fetch) for kind in self.parts}
        if fetch:
            self._fetched = time.monotonic()
        return found

    def _rows(self) -> dict[str, list[Any]]:
        """What tells whether a table changed: its last row, and of judgements also how many there are."""
        found: dict[str, list[Any]] = {}
        with self.ws.records.statements(write=False) as connection:
            for kind in _APPENDED:
                table = table_of(kind)
                found[table.name] = [connection.scalar(sa.select(sa.func.max(table.c.seq))) or 0]
            decided = found[table_of(Decision).name][0]
            found["judgement"] = self._judgements(connection, decided)
            for kind, columns in _CHANGED.items():
                table = table_of(kind)
                rows = connection.execute(sa.select(*(table.c[name] for name in columns))).all()
                found[table.name] = [content_hash([list(map(str, row)) for row in rows])]
        return found

    def _judgements(self, connection: sa.Connection, decided: int) -> list[int]:
        """The last row and how many there are. A million take a while to count, and only forgetting changes
        their number without a new row: it ends with a decision. decided: the last row of those."""
        judged = table_of(Judgement).c
        mine = judged.project == self.ws.project
        last = connection.scalar(sa.select(sa.func.max(judged.seq))) or 0
        at, seen = self._counted
        if seen != (last, decided) or time.monotonic() - at > COUNTED_S:
            newest = connection.scalar(sa.select(sa.func.max(judged.seq)).where(mine)) or 0
            count = connection.scalar(sa.select(sa.func.count()).where(mine)) or 0
            self._counted, self._mine = (time.monotonic(), (last, decided)), [newest, count]
        return self._mine

    def _sounds(self, ids: Sequence[str]) -> pl.DataFrame:
        table = table_of(Audio).c
        parts = [pl.DataFrame(schema=SOUNDS)]
        for begin in range(0, len(ids), 500):
            some = list(ids[begin : begin + 500])
            query = sa.select(table.id, table.duration_s, table.loudness_lufs).where(
                table.id.in_(some)
            )
            parts.append(self.frame(query, SOUNDS))
        return pl.concat(parts)
