"""B9: 100,000 judgements in bulk, and single ones that outlive a power cut, against what writes rows alone.

Every side begins with the same Arrow batches and an empty table of its own. The peer that counts is ADBC into the
same table: same columns, keys, indexes, references to 10,000 tasks, every commit on the disk; it checks no value
and passes over nothing. ADBC into a bare table, SQLAlchemy and sqlite3 stand beside it; the limit is the same rows
as Parquet, which knows neither keys nor references. On SQLite, by the processor's time; with
TRIVOX_BENCH_DATABASE=postgresql on a durable PostgreSQL that the bench starts, on the wall.
"""

import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import parquet

from trivox.bench.harness import REPEATS, Clock, Result, Timing, interleaved, ratio
from trivox.bench.store_places import OWN, URL, Place, Places, PostgresPlaces, SqlitePlaces
from trivox.bench.store_rows import judgements
from trivox.platform.errors import ConfigError
from trivox.platform.records import Judgement
from trivox.platform.store import Workspace
from trivox.platform.store.columns import BATCH, _tuples, add_batches, schema_of
from trivox.platform.store.engine import make_engine, writing
from trivox.platform.store.schema import table_of

ROWS, FULL_ROWS = 100_000, 1_000_000
SINGLES = 200
PASSES_AT = 2.0
PEER, BARE, LIMIT = "ADBC, same table", "ADBC, bare table", "limit: Parquet"
_NAMES = ", ".join(f'"{name}"' for name in schema_of(Judgement).names if name != "seq")
_MARKS = ", ".join("?" * (len(table_of(Judgement).c) - 1))


def run(full: bool = False) -> Result:
    """full: a million rows as the largest size instead of 100,000."""
    rows = FULL_ROWS if full else ROWS
    with tempfile.TemporaryDirectory() as folder, _places(Path(folder)) as places:
        desk = _Desk(Path(folder), places, list(judgements(rows, BATCH)))
        clock: Clock = "cpu" if places.name == "SQLite" else "wall"
        timed = interleaved(desk.sides(), REPEATS, clock)
        growth = {size: desk.ours_seconds(size) for size in (rows // 100, rows // 10, rows)}
        single, flush = desk.durable_s()
        return _result(places.name, rows, timed, growth, single, flush)


@contextmanager
def _places(folder: Path) -> Iterator[Places]:
    named = os.environ.get(URL)
    if named not in (None, OWN):
        raise ConfigError(
            f"{URL}={named}: this bench makes databases: set it to {OWN}, or unset it"
        )
    if named is None:
        yield SqlitePlaces(folder)
        return
    from trivox.bench.servers import postgres

    with postgres(durable=True) as server:
        yield PostgresPlaces(folder, server)


class _Desk:
    """Each side gets a database of its own, made before the clock runs."""

    def __init__(self, folder: Path, places: Places, batches: list[pa.RecordBatch]) -> None:
        self._folder, self._places, self._batches = folder, places, batches
        self._table = pa.Table.from_batches(batches)

    def sides(self) -> dict[str, Callable[[], object]]:
        limit = self._folder / "limit.parquet"
        here: dict[str, Callable[[], object]] = {
            "ours": lambda: self._ours(self._places.next(), self._batches),
            PEER: lambda: self._adbc("append"),
            BARE: lambda: self._adbc("create"),
            "SQLAlchemy Core": self._core,
            "SQLAlchemy ORM": self._orm,
            LIMIT: lambda: parquet.write_table(self._table, limit),
        }
        if self._places.name == "SQLite":
            here["sqlite3"] = self._sqlite3
        databases = len(here) - 1
        self._places.prepare((REPEATS + 1) * databases)
        return here

    def ours_seconds(self, rows: int) -> float:
        """By the clock of the process on SQLite, on the wall elsewhere."""
        batches = pa.Table.from_batches(self._batches).slice(0, rows).to_batches(BATCH)
        self._places.prepare(1)
        clock = time.process_time if self._places.name == "SQLite" else time.perf_counter
        place, begin = self._places.next(), clock()
        self._ours(place, batches)
        return clock() - begin

    def durable_s(self) -> tuple[float, float]:
        """Wall seconds of one judgement that is on the disk when add returns, and of one fsync alone."""
        self._places.prepare(1)
        with Workspace.open(self._places.next().root) as ws:
            add_batches(ws.records, Judgement, self._batches[:1])
            found = ws.records.find(Judgement, judge="pe_0")[:SINGLES]
            with ws.records.statements(write=True) as connection:
                connection.execute(sa.delete(table_of(Judgement)))
            begin = time.perf_counter()
            for one in found:
                ws.records.add(one)
            single = (time.perf_counter() - begin) / len(found)
        return single, self._flush_s()

    def _flush_s(self) -> float:
        with (self._folder / "flush").open("wb") as file:
            begin = time.perf_counter()
            for _ in range(SINGLES):
                file.write(bytes(1000))
                file.flush()
                os.fsync(file.fileno())
            return (time.perf_counter() - begin) / SINGLES

    def _ours(self, place: Place, batches: list[pa.RecordBatch]) -> None:
        with Workspace.open(place.root) as ws:
            assert add_batches(ws.records, Judgement, batches) == sum(map(len, batches))

    def _adbc(self, mode: str) -> None:
        with self._places.next().adbc() as connection:
            with connection.cursor() as cursor:
                table = "judgement" if mode == "append" else "bare"
                cursor.adbc_ingest(table, self._table, mode=mode)
            connection.commit()

    def _sqlite3(self) -> None:
        into = f"INSERT INTO judgement ({_NAMES}) VALUES ({_MARKS})"
        connection = sqlite3.connect(self._places.next().root / "trivox.db")
        connection.execute("PRAGMA foreign_keys = ON")
        with connection:
            for batch in self._batches:
                connection.executemany(into, _tuples(batch))
        connection.close()

    def _core(self) -> None:
        self._rows(
            lambda connection, rows: connection.execute(sa.insert(table_of(Judgement)), rows)
        )

    def _orm(self) -> None:
        from sqlalchemy.orm import Session, registry

        class Row:
            pass

        registry().map_imperatively(Row, table_of(Judgement))

        def add(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
            with Session(connection) as session:
                made = [Row() for _ in rows]
                for one, values in zip(made, rows, strict=True):
                    for name, value in values.items():
                        setattr(one, name, value)
                session.add_all(made)
                session.flush()

        self._rows(add)

    def _rows(self, insert: Callable[[sa.Connection, list[dict[str, Any]]], object]) -> None:
        nested = [c.name for c in table_of(Judgement).c if isinstance(c.type, sa.JSON)]
        engine = make_engine(sa.make_url(self._places.next().url))
        with writing(engine).begin() as connection:
            for batch in self._batches:
                rows = batch.to_pylist()
                for row in rows:
                    row |= {name: json.loads(row[name]) for name in nested}
                insert(connection, rows)
        engine.dispose()


def _result(
    database: str,
    rows: int,
    timed: dict[str, Timing],
    growth: dict[int, float],
    single: float,
    flush: float,
) -> Result:
    ours = timed["ours"]
    peers = {name: ratio(timed[name], ours) for name in timed if name not in ("ours", LIMIT)}
    slower = ratio(ours, timed[PEER])
    figures = {f"rows_per_s {name}": rows / one.median for name, one in timed.items()}
    figures |= {f"times {PEER}": slower, f"times {BARE}": 1 / peers[BARE]}
    figures |= {f"us_per_row at {size}": 1e6 * seconds / size for size, seconds in growth.items()}
    figures |= {
        "durable single ms": 1000 * single,
        "fsync ms": 1000 * flush,
        "single over fsync": single / flush,
    }
    measured = "the CPU time" if database == "SQLite" else "the time on the wall"
    return Result(
        name="store-ingest",
        ratio_to_peer=peers,
        ratio_to_limit=ratio(ours, timed[LIMIT]),
        passed=slower <= PASSES_AT,
        threshold=f"at most {PASSES_AT}x {measured} of raw ADBC into the same table, on {database}",
        terms={"parquet_s": timed[LIMIT].median, "fsync_s": flush},
        sizes={
            "rows": rows,
            "columns": len(table_of(Judgement).c) - 1,
            "batch": BATCH,
            "singles": SINGLES,
            "database": database,
        },
        sides=timed,
        figures=figures,
        notes=(
            "ours checks every value and passes over what is there already, in a transaction for each batch",
            "the same table: keys, references held, every commit on the disk; the bare one has neither",
        ),
    )
