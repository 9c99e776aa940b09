"""Records in SQL as Arrow batches: bulk in and out, with memory bounded by the batch and not by the data.

A batch has a column for each field, in the order of the fields: text, int64, float64, bool, timestamp[us, UTC],
and what is nested as JSON text, written as the database has it. Every value is checked before anything is written.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from functools import cache, partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from pyarrow import csv
from pydantic import TypeAdapter, ValidationError

from trivox.platform.errors import UsageError
from trivox.platform.records import Judgement
from trivox.platform.store.faults import sql_errors
from trivox.platform.store.records import Records
from trivox.platform.store.schema import field_types, is_nested, table_of

BATCH = 50_000
"""Rows of one batch, and of one transaction: about 30 MB of judgements."""


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


def add_batches(records: Records, kind: type[Any], batches: Iterable[pa.RecordBatch]) -> int:
    """Add the rows that are not there yet, a transaction for each batch; returns how many were new.

    What was stopped is started again from the beginning: rows that are there are passed over. Raises UsageError
    that names the column and the first wrong value, StoreError for rows that name what is not in the store; then
    nothing of their batch is added.
    """
    added = 0
    for batch in batches:
        checked = _checked(kind, batch)

        def insert(rows: pa.RecordBatch = checked) -> int:
            with records.statements(write=True) as connection:
                return _insert(connection, kind, rows)

        added += records.again(insert)
    return added


def read_batches(
    records: Records,
    kind: type[Any],
    size: int = BATCH,
    *,
    after: int = 0,
    until: int | None = None,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """All rows in the order of adding, size at a time, each batch with the number (seq) of its last row.

    after, until: only rows whose number is beyond the one and not beyond the other. No transaction is held open
    between batches.
    """
    table, last = table_of(kind), after
    columns = [_as_text(column, records.dialect) for column in table.c if column.name != "seq"]
    while True:
        query = (
            sa.select(table.c.seq, *columns)
            .where(table.c.seq > last)
            .order_by(table.c.seq)
            .limit(size)
        )
        if until is not None:
            query = query.where(table.c.seq <= until)
        rows = records.again(partial(_rows, records, query))
        if not rows:
            return
        last, *_ = rows[-1]
        values = list(zip(*rows, strict=True))[1:]
        schema = schema_of(kind)
        arrays = [
            pa.array(list(column), field.type) for column, field in zip(values, schema, strict=True)
        ]
        yield last, pa.record_batch(arrays, schema=schema)
        if len(rows) < size:
            return


def last_number(records: Records, kind: type[Any]) -> int:
    """The number (seq) up to which every row is there: no transaction that is still open adds one before it."""
    table = table_of(kind)
    with records.statements(write=False) as connection, sql_errors(records.place):
        if connection.dialect.name == "postgresql":
            # Numbers are drawn before they are committed: this waits for those who have drawn one.
            connection.execute(sa.text(f'LOCK TABLE "{table.name}" IN SHARE MODE'))
        return int(
            connection.execute(
                sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0))
            ).scalar_one()
        )


def _rows(records: Records, query: sa.Select[Any]) -> list[Any]:
    with records.statements(write=False) as connection, sql_errors(records.place):
        return list(connection.execute(query).all())


def _as_text(column: sa.Column[Any], dialect: str) -> sa.ColumnElement[Any]:
    """JSON as its text, not read and written again: SQLite keeps no other, PostgreSQL is asked for it."""
    if not isinstance(column.type, sa.JSON):
        return column
    return sa.type_coerce(column, sa.String) if dialect == "sqlite" else sa.cast(column, sa.Text)


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
            marks = ", ".join("?" * batch.num_columns)
            into = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks}) ON CONFLICT {same} DO NOTHING'
            return int(driver.executemany(into, _tuples(batch)).rowcount)
        return _copy(connection, driver, table, names, batch, same)


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
