"""Records as Arrow batches, and batches into SQL: in bulk, with memory bounded by the batch and not by the data.

A batch has a column for each field, in the order of the fields: text, int64, float64, bool, timestamp[us, UTC],
and what is nested as JSON text, written as the database has it. Every value is checked before anything is written.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from pyarrow import csv
from pydantic import TypeAdapter, ValidationError

from trivox.platform.errors import UsageError
from trivox.platform.records import Judgement
from trivox.platform.store.engine import to_json
from trivox.platform.store.faults import sql_errors
from trivox.platform.store.records import Records
from trivox.platform.store.rows import codec_of
from trivox.platform.store.schema import field_types, is_nested, table_of

BATCH = 50_000
"""Rows of one batch, and of one transaction: about 30 MB of judgements."""
_CACHE_KB = 64 << 10
"""Of SQLite's pages while a batch goes in: ids are hashes, so each row touches other pages of the indexes."""


_KINDS: dict[type[Any], pa.Schema] = {}


def schema_of(kind: type[Any]) -> pa.Schema:
    """The Arrow schema of a kind's batches, made once."""
    if kind not in _KINDS:
        fields = field_types(kind).items()
        _KINDS[kind] = pa.schema(
            [pa.field(name, _arrow(hint), optional) for name, (hint, optional) in fields]
        )
    return _KINDS[kind]


def _arrow(hint: Any) -> pa.DataType:
    if is_nested(hint) or issubclass(hint, str):
        return pa.string()
    plain = {
        bool: pa.bool_(),
        int: pa.int64(),
        float: pa.float64(),
        datetime: pa.timestamp("us", "UTC"),
    }
    return plain[hint]


def batch_of(records: Sequence[Any]) -> pa.RecordBatch:
    """Records of one kind, at least one. Raises StoreError, UsageError for what the store cannot keep."""
    kind = type(records[0])
    codec = codec_of(kind)
    rows = [codec.row(one) for one in records]
    for row in rows:
        for name in codec.nested:
            row[name] = None if row[name] is None else to_json(row[name])
    return pa.RecordBatch.from_pylist(rows, schema=schema_of(kind))


def add_batches(records: Records, kind: type[Any], batches: Iterable[pa.RecordBatch]) -> int:
    """Add the rows that are not there yet, a transaction for each batch; returns how many were new.

    What was stopped is started again from the beginning: rows that are there are passed over. Raises UsageError
    that names the column and the first wrong value, StoreError for rows that name what is not in the store; then
    nothing of their batch is added.
    """
    added = 0
    for batch in batches:
        checked = _checked(kind, batch)
        if not len(checked):
            continue

        def insert(rows: pa.RecordBatch = checked) -> int:
            with records.statements(write=True) as connection:
                return _insert(connection, kind, rows)

        added += records.again(insert)
    return added


def _checked(kind: type[Any], batch: pa.RecordBatch) -> pa.RecordBatch:
    schema = schema_of(kind)
    if batch.schema.names != schema.names:
        odd = sorted(set(batch.schema.names) ^ set(schema.names)) or batch.schema.names
        raise UsageError(
            f"{kind.__name__} as columns: {', '.join(odd)} is missing, unknown or out of order"
        )
    try:
        batch = batch.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise UsageError(f"{kind.__name__} as columns: {error}") from error
    for name, (hint, _) in field_types(kind).items():
        _check(f"{kind.__name__}.{name}", batch.column(name), hint)
    return batch


def _check(place: str, column: pa.Array, hint: Any) -> None:
    if is_nested(hint):
        _check_json(place, column, _adapter(hint))
    elif issubclass(hint, Enum):
        known = [one.value for one in hint]
        wrong = pc.unique(
            column.filter(pc.invert(pc.is_in(column, pa.array([*known, None], pa.string()))))
        )
        if len(wrong):
            raise UsageError(f"{place}: {wrong[0].as_py()!r} is none of {', '.join(known)}")
    elif issubclass(hint, str) and pc.any(pc.match_substring(column, "\0")).as_py():
        raise UsageError(
            f"{place} holds the character NUL, which PostgreSQL cannot keep: leave it out"
        )
    elif issubclass(hint, float) and pc.any(pc.invert(pc.is_finite(column))).as_py():
        raise UsageError(f"{place} holds nan or infinity: a figure is finite, or null")


def _check_json(place: str, column: pa.Array, adapter: TypeAdapter[Any]) -> None:
    read = adapter.validator.validate_json
    for text in column.unique().to_pylist():
        if text is None:
            continue
        try:
            read(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            row = pc.index(column, text).as_py()
            raise UsageError(f"{place}: row {row}: {text[:80]!r}: {first['msg']}") from error


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint)


def _insert(connection: sa.Connection, kind: type[Any], batch: pa.RecordBatch) -> int:
    table, place = table_of(kind), f"adding {kind.__name__}"
    names = ", ".join(f'"{name}"' for name in batch.schema.names)
    # Only for judgements is another unique key a sign of the same record.
    same = "" if kind is Judgement else "(id)"
    driver: Any = connection.connection.dbapi_connection
    with sql_errors(place), _driver_errors(connection):
        if connection.dialect.name == "sqlite":
            return _execute_many(driver, table, batch, same)
        return _copy(connection, driver, table, names, batch, same)


def _execute_many(driver: Any, table: sa.Table, batch: pa.RecordBatch, same: str) -> int:
    """Columns of nothing but null are not bound row by row: those without a default are null when left out."""
    named = [
        name
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        if column.null_count < len(column) or table.c[name].server_default is not None
    ]
    names, marks = ", ".join(f'"{name}"' for name in named), ", ".join("?" * len(named))
    into = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks}) ON CONFLICT {same} DO NOTHING'
    (pages,) = driver.execute("PRAGMA cache_size").fetchone()
    driver.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
    try:
        return int(driver.executemany(into, _tuples(batch.select(named))).rowcount)
    finally:
        driver.execute(f"PRAGMA cache_size = {pages}")


def _tuples(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(_for_sqlite(column).to_pylist() for column in batch.columns), strict=True)


def _for_sqlite(column: pa.Array) -> pa.Array:
    """Times as SQLAlchemy writes them: 2030-01-02 03:04:05.678901."""
    if pa.types.is_timestamp(column.type):
        return pc.utf8_slice_codeunits(column.cast(pa.string()), 0, 26)
    return column


def _copy(
    connection: sa.Connection,
    driver: Any,
    table: sa.Table,
    names: str,
    batch: pa.RecordBatch,
    same: str,
) -> int:
    """By COPY into a table of its own, and from there what is new."""
    connection.execute(
        sa.text(
            f'CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {names} FROM "{table.name}" LIMIT 0'
        )
    )
    content = io.BytesIO()
    csv.write_csv(batch, content, csv.WriteOptions(include_header=False))
    with driver.cursor() as cursor:
        with cursor.copy(f"COPY incoming ({names}) FROM STDIN WITH (FORMAT csv)") as into:
            into.write(content.getbuffer())
        cursor.execute(
            f'INSERT INTO "{table.name}" ({names}) SELECT {names} FROM incoming ON CONFLICT {same} DO NOTHING'
        )
        added = int(cursor.rowcount)
        cursor.execute("DROP TABLE incoming")
    return added


@contextmanager
def _driver_errors(connection: sa.Connection) -> Iterator[None]:
    """Errors of the driver as SQLAlchemy's, which `sql_errors` knows."""
    dbapi: Any = connection.dialect.dbapi
    try:
        yield
    except dbapi.Error as error:
        raise sa.exc.DBAPIError.instance("bulk insert", None, error, dbapi.Error) from error
