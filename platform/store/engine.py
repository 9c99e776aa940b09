"""The database connection: SQLite in a file, or PostgreSQL through psycopg 3, behind the same SQLAlchemy code."""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_seed

BUSY_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10
POOL, POOL_MORE = 5, 15
"""Connections to PostgreSQL that one process keeps, and how many more it may open for a while."""


def make_engine(url: sa.URL) -> sa.Engine:
    """An engine. SQLite: in WAL mode, with foreign keys held and writers waiting for each other. PostgreSQL: in
    UTC, with connections that are looked at before use, for the server may have been restarted.

    Begin writes on `writing(engine)`. Raises ConfigError when no driver is installed.
    """
    try:
        engine = sa.create_engine(url, json_serializer=to_json, **_options(url))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        shown = url.render_as_string(hide_password=True)
        raise ConfigError(
            f"database {shown!r} cannot be opened here: {error}{_remedy(url)}"
        ) from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name == "postgresql":
        sa.event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _options(url: sa.URL) -> dict[str, Any]:
    if url.get_backend_name() != "postgresql":
        return {}
    connect = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT_S}
    return {
        "pool_pre_ping": True,
        "pool_size": POOL,
        "max_overflow": POOL_MORE,
        "connect_args": connect,
    }


def _remedy(url: sa.URL) -> str:
    postgres = url.get_backend_name().startswith("postgres")
    return ": pip install 'trivox[postgres]'" if postgres else ""


def writing(engine: sa.Engine, durable: bool = True) -> sa.Engine:
    """The same engine, whose transactions take SQLite's write lock at once.

    A reader that turns writer halfway fails when another wrote meanwhile, whatever the timeout. Not durable: a
    transaction outlives the process but is not waited for on the disk, and a power cut may undo the last ones.
    """
    synchronous = "FULL" if durable else "NORMAL"
    return engine.execution_options(trivox_begin="BEGIN IMMEDIATE", trivox_sync=synchronous)


def lock(connection: sa.Connection, name: str) -> None:
    """Wait until no other transaction holds the lock of this name, and hold it to the end of this one.

    On SQLite every writing transaction is alone already. Waits BUSY_TIMEOUT_S at most.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(derived_seed("lock", name))))


def to_json(value: Any) -> str:
    """As JSON columns have it. Raises ValueError for what JSON does not know."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN comes too late for DDL and for reads: SQLAlchemy's is used instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    # Times before year 1 in another zone would not come back; who waits is told at some point.
    connection.execute("SET TIME ZONE 'UTC'")
    connection.execute(f"SET lock_timeout = '{BUSY_TIMEOUT_S}s'")
    connection.commit()


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if "trivox_sync" in options:
        connection.exec_driver_sql(f"PRAGMA synchronous = {options['trivox_sync']}")
    connection.exec_driver_sql(options.get("trivox_begin", "BEGIN"))
