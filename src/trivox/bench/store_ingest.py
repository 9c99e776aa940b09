"""B9: 100,000 judgements in bulk, and single ones that outlive a power cut, against what writes rows alone.

Every side begins with the same Arrow batches. The peer that counts is ADBC into the same table: same columns,
keys, indexes and references, nothing checked and nothing passed over. ADBC into a bare table, SQLAlchemy and
sqlite3 stand beside it; the limit is the same rows as Parquet, which knows neither keys nor references.
"""

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from pyarrow import parquet

from trivox.bench.harness import REPEATS, Result, Timing, interleaved, ratio
from trivox.bench.store_rows import judgements, with_tasks
from trivox.platform.records import Judgement
from trivox.platform.store import Workspace
from trivox.platform.store.columns import BATCH, _tuples, add_batches, schema_of
from trivox.platform.store.engine import make_engine, writing
from trivox.platform.store.schema import table_of

ROWS, FULL_ROWS = 100_000, 1_000_000
SINGLES = 200
PASSES_AT = 2.0
_NAMES = ", ".join(f'"{name}"' for name in schema_of(Judgement).names if name != "seq")
_MARKS = ", ".join("?" * (len(table_of(Judgement).c) - 1))


def run(full: bool = False) -> Result:
    """full: a million rows as the largest size instead of 100,000."""
    rows = FULL_ROWS if full else ROWS
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty"
        with_tasks(empty).close()
        batches = list(judgements(rows, BATCH))
        desk = _Desk(Path(folder), empty, batches)
        timed = interleaved(desk.sides(), REPEATS, "cpu")
        growth = {size: desk.ours_seconds(size) for size in (rows // 100, rows // 10, rows)}
        single, flush = desk.durable_s()
    return _result(rows, timed, growth, single, flush)


class _Desk:
    """Each side gets a fresh copy of the same workspace, which is made outside the clock's sight by `copy`."""

    def __init__(self, folder: Path, empty: Path, batches: list[pa.RecordBatch]) -> None:
        self._folder, self._empty, self._batches = folder, empty, batches
        self._table = pa.Table.from_batches(batches)

    def sides(self) -> dict[str, Callable[[], object]]:
        return {
            "ours": lambda: self._ours(self._batches),
            "ADBC, same table": self._adbc,
            "ADBC, bare table": self._adbc_bare,
            "sqlite3": self._sqlite3,
            "SQLAlchemy Core": self._core,
            "SQLAlchemy ORM": self._orm,
            "limit: Parquet": lambda: parquet.write_table(
                self._table, self._folder / "limit.parquet"
            ),
        }

    def ours_seconds(self, rows: int) -> float:
        batches = pa.Table.from_batches(self._batches).slice(0, rows).to_batches(BATCH)
        begin = time.process_time()
        self._ours(batches)
        return time.process_time() - begin

    def durable_s(self) -> tuple[float, float]:
        """Wall seconds of one judgement that is on the disk when add returns, and of one fsync alone."""
        with Workspace.open(self._copy()) as ws:
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
        import os

        with (self._folder / "flush").open("wb") as file:
            begin = time.perf_counter()
            for _ in range(SINGLES):
                file.write(bytes(1000))
                file.flush()
                os.fsync(file.fileno())
            return (time.perf_counter() - begin) / SINGLES

    def _copy(self) -> Path:
        target = self._folder / "ws"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self._empty, target)
        return target

    def _ours(self, batches: list[pa.RecordBatch]) -> int:
        with Workspace.open(self._copy()) as ws:
            return add_batches(ws.records, Judgement, batches)

    def _adbc(self) -> None:
        import adbc_driver_sqlite.dbapi

        with adbc_driver_sqlite.dbapi.connect(str(self._copy() / "trivox.db")) as connection:
            with connection.cursor() as cursor:
                cursor.executescript("PRAGMA foreign_keys = ON")
                cursor.adbc_ingest("judgement", self._table, mode="append")
            connection.commit()

    def _adbc_bare(self) -> None:
        import adbc_driver_sqlite.dbapi

        path = self._copy() / "bare.db"
        with adbc_driver_sqlite.dbapi.connect(str(path)) as connection:
            with connection.cursor() as cursor:
                cursor.adbc_ingest("judgement", self._table, mode="create")
            connection.commit()

    def _sqlite3(self) -> None:
        into = f"INSERT INTO judgement ({_NAMES}) VALUES ({_MARKS})"
        connection = sqlite3.connect(self._copy() / "trivox.db")
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
        import json

        nested = [c.name for c in table_of(Judgement).c if isinstance(c.type, sa.JSON)]
        engine = make_engine(sa.make_url(f"sqlite:///{self._copy() / 'trivox.db'}"))
        with writing(engine).begin() as connection:
            for batch in self._batches:
                rows = batch.to_pylist()
                for row in rows:
                    row |= {name: json.loads(row[name]) for name in nested}
                insert(connection, rows)
        engine.dispose()


def _result(
    rows: int, timed: dict[str, Timing], growth: dict[int, float], single: float, flush: float
) -> Result:
    ours, peer = timed["ours"], timed["ADBC, same table"]
    peers = {
        name: ratio(timed[name], ours) for name in timed if name not in ("ours", "limit: Parquet")
    }
    slower = ratio(ours, peer)
    figures = {f"rows_per_s {name}": rows / one.median for name, one in timed.items()}
    figures |= {
        "times ADBC, same table": slower,
        "times ADBC, bare table": 1 / peers["ADBC, bare table"],
    }
    figures |= {f"us_per_row at {size}": 1e6 * seconds / size for size, seconds in growth.items()}
    figures |= {
        "durable single ms": 1000 * single,
        "fsync ms": 1000 * flush,
        "single over fsync": single / flush,
    }
    return Result(
        name="store-ingest",
        ratio_to_peer=peers,
        ratio_to_limit=ratio(ours, timed["limit: Parquet"]),
        passed=slower <= PASSES_AT,
        threshold=f"at most {PASSES_AT}x the CPU time of raw ADBC into the same table",
        terms={"parquet_s": timed["limit: Parquet"].median, "fsync_s": flush},
        sizes={
            "rows": rows,
            "columns": len(table_of(Judgement).c) - 1,
            "batch": BATCH,
            "singles": SINGLES,
        },
        sides=timed,
        figures=figures,
        notes=(
            "ours checks every value, references and keys, passes over what is there",
            "a copy of an empty workspace and its opening are in the time of every side alike",
        ),
    )
