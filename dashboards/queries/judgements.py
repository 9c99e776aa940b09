"""Judgements as columns: an immutable mirror in Parquet beside the database, of which only what is new is read.

Judgements are append-only, so a row once mirrored stays as it is; which of them count (superseded, voided) is
told at the time of asking.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from trivox.platform.records import Campaign, Judgement, Task, Voided
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically
from trivox.platform.store.schema import table_of

CHUNK = 100_000
MOST_FILES = 12
SCHEMA: dict[str, Any] = {
    "seq": pl.Int64, "id": pl.String, "task": pl.String, "campaign": pl.String, "round": pl.String,
    "branch": pl.String, "kind": pl.String, "question": pl.String, "prompt": pl.String, "first": pl.String,
    "second": pl.String, "judge_kind": pl.String, "judge": pl.String, "purpose": pl.String, "strength": pl.Int8,
    "abstained": pl.Boolean, "shown_first": pl.Boolean, "taken_s": pl.Float64,
    "created_at": pl.Datetime("us", "UTC"), "supersedes": pl.String,
}  # fmt: skip
"""strength: -3..3 for the first of the task's items, 0 a tie, null for what compares nothing. shown_first: whether
the first of the task's items was shown first."""
COUNTED = ("judge", "adjudicate")


class Mirror:
    """The judgements of a workspace's project in columns."""

    def __init__(self, ws: Workspace, folder: Path) -> None:
        self._ws, self._folder = ws, folder / "judgements"

    def refresh(self, newest: int, count: int) -> None:
        """Take in what came since, up to row `newest`; start anew where rows have gone (forgotten ones)."""
        last, mirrored = self._last()
        if last == newest and mirrored == count:
            return
        if last > newest or mirrored > count or (last == newest and mirrored != count):
            self._clear()
            last = 0
        for rows in self._new(last, newest):
            self._write(rows)
        self._compact()

    def scan(self) -> pl.LazyFrame:
        """Every judgement, counted or not."""
        paths = self._paths()
        return pl.scan_parquet(paths) if paths else pl.DataFrame(schema=SCHEMA).lazy()

    def marked(self) -> pl.LazyFrame:
        """Every judgement with `counts`: superseded by none, not voided, no check of the judge."""
        rows = self.scan()
        said = rows.filter(pl.col("supersedes").is_not_null()).select("supersedes").collect()
        gone = pl.concat([said.to_series(), pl.Series(self._voided(), dtype=pl.String)])
        counted = pl.col("purpose").is_in(COUNTED)
        return rows.with_columns(counts=counted & ~pl.col("id").is_in(gone.implode()))

    def standing(self) -> pl.LazyFrame:
        """Judgements that count."""
        return self.marked().filter("counts").drop("counts")

    def _voided(self) -> list[str]:
        voided = table_of(Voided).c
        query = sa.select(voided.judgement).where(voided.project == self._ws.project)
        with self._ws.records.statements(write=False) as connection:
            return [row[0] for row in connection.execute(query)]

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("*.parquet"))

    def _last(self) -> tuple[int, int]:
        """The last row mirrored and how many are."""
        names = [path.stem.split("-") for path in self._paths()]
        return max((int(end) for _, end, _ in names), default=0), sum(int(n) for *_, n in names)

    def _clear(self) -> None:
        for path in self._paths():
            path.unlink()

    def _write(self, rows: pl.DataFrame) -> None:
        """Named by its first and last row and how many there are."""
        first, last = int(rows["seq"][0]), int(rows["seq"][-1])
        name = f"{first:012}-{last:012}-{len(rows)}.parquet"
        write_atomically(self._folder / name, parquet(rows))

    def _compact(self) -> None:
        """One file instead of many small ones."""
        paths = self._paths()
        small = [path for path in paths if int(path.stem.split("-")[2]) < CHUNK // 2]
        if len(small) < MOST_FILES:
            return
        rows = pl.concat([pl.read_parquet(path) for path in small]).sort("seq")
        self._write(rows)
        for path in small:
            path.unlink()

    def _new(self, last: int, newest: int) -> Iterator[pl.DataFrame]:
        while last < newest:
            with self._ws.records.statements(write=False) as connection:
                rows = connection.execute(_selection(self._ws.project, last, newest)).all()
            if not rows:
                return
            made = pl.DataFrame([_flat(row) for row in rows], schema=SCHEMA, orient="row")
            last = int(rows[-1].seq)
            yield made


def parquet(rows: pl.DataFrame) -> bytes:
    import io

    file = io.BytesIO()
    rows.write_parquet(file)
    return file.getvalue()


def _selection(project: str, after: int, until: int) -> sa.Select[Any]:
    one, task, campaign = table_of(Judgement).c, table_of(Task).c, table_of(Campaign).c
    joined = table_of(Judgement).join(table_of(Task), one.task == task.id)
    joined = joined.join(table_of(Campaign), task.campaign == campaign.id)
    columns = [
        one.seq, one.id, one.task, task.campaign, task.round, campaign.branch, task.kind, task.question,
        task.prompt, sa.cast(task["items"], sa.Text).label("given"), one.judge_kind, one.judge, one.purpose,
        sa.cast(one.answer, sa.Text).label("answer"), sa.cast(one.presentation, sa.Text).label("shown"),
        one.taken_s, one.created_at, one.supersedes,
    ]  # fmt: skip
    query = sa.select(*columns).select_from(joined)
    wanted = query.where(one.project == project, one.seq > after, one.seq <= until)
    return wanted.order_by(one.seq).limit(CHUNK)


def _flat(row: Any) -> tuple[Any, ...]:
    items, shown, answer = json.loads(row.given), json.loads(row.shown), json.loads(row.answer)
    first, second = (items[0], items[1]) if len(items) == 2 else (None, None)
    strength = 0 if answer.get("tie") is not None else answer.get("comparison")
    return (
        row.seq, row.id, row.task, row.campaign, row.round, row.branch, row.kind, row.question, row.prompt, first,
        second, row.judge_kind, row.judge, row.purpose, strength, answer.get("abstention") is not None,
        bool(shown) and shown[0] == first, row.taken_s, row.created_at, row.supersedes,
    )  # fmt: skip
