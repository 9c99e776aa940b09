"""Ids on disk: what has been seen, and which part of a set each id belongs to."""

import sqlite3
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

_ASKED = 500
"""Ids in one query; SQLite takes at most 999 variables."""


class Members:
    """(part, id) -> digest in a temporary SQLite file, so that memory does not grow with the ids."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="trivox-members-")
        self._db = sqlite3.connect(Path(self._folder.name) / "members.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(
            "CREATE TABLE member (part TEXT, id TEXT, digest TEXT, PRIMARY KEY (part, id)) WITHOUT ROWID"
        )
        self._db.execute("BEGIN")

    def add(self, part: str, rows: Iterable[tuple[str, str]]) -> int:
        """Rows of (id, digest); the first of an id stays. Returns how many were new."""
        before = self._db.total_changes
        given = ((part, id, digest) for id, digest in rows)
        self._db.executemany("INSERT OR IGNORE INTO member VALUES (?, ?, ?)", given)
        return self._db.total_changes - before

    def known(self, part: str, ids: Collection[str]) -> dict[str, str]:
        """Those of ids that are in the part, with their digests."""
        found: dict[str, str] = {}
        asked = list(dict.fromkeys(ids))
        for start in range(0, len(asked), _ASKED):
            some = asked[start : start + _ASKED]
            marks = ",".join("?" * len(some))
            query = f"SELECT id, digest FROM member WHERE part = ? AND id IN ({marks})"
            found.update(self._db.execute(query, (part, *some)))
        return found

    def has(self, part: str, id: str) -> bool:
        return bool(self.known(part, [id]))

    def count(self, part: str) -> int:
        query = "SELECT count(*) FROM member WHERE part = ?"
        return int(self._db.execute(query, (part,)).fetchone()[0])

    def rows(self, part: str, size: int) -> Iterator[list[tuple[str, str]]]:
        """All (id, digest) of a part in order of id, at most size at a time."""
        last = ""
        query = "SELECT id, digest FROM member WHERE part = ? AND id > ? ORDER BY id LIMIT ?"
        while found := self._db.execute(query, (part, last, size)).fetchall():
            yield found
            last = found[-1][0]

    def under(self, part: str, prefix: str) -> list[tuple[str, str]]:
        """All (id, digest) whose id begins so, in order."""
        query = "SELECT id, digest FROM member WHERE part = ? AND id >= ? AND id < ? ORDER BY id"
        beyond = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return self._db.execute(query, (part, prefix, beyond)).fetchall()

    def close(self) -> None:
        self._db.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
