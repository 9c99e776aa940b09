"""The database connection."""

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from trivox.platform.errors import ConfigError

BUSY_TIMEOUT_S = 30


def make_engine(url: sa.URL) -> sa.Engine:
    """An engine; on SQLite in WAL mode, with foreign keys held and writers waiting for each other.

    Begin writes on `writing(engine)`. Raises ConfigError when no driver is installed.
    """
    try:
        engine = sa.create_engine(url, json_serializer=_to_json)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        shown = url.render_as_string(hide_password=True)
        raise ConfigError(f"database {shown!r} cannot be opened here: {error}") from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def writing(engine: sa.Engine, durable: bool = True) -> sa.Engine:
    """The same engine, whose transactions take SQLite's write lock at once.

    A reader that turns writer halfway fails when another wrote meanwhile, whatever the timeout. Not durable: a
    transaction outlives the process but is not waited for on the disk, and a power cut may undo the last ones.
    """
    synchronous = "FULL" if durable else "NORMAL"
    return engine.execution_options(trivox_begin="BEGIN IMMEDIATE", trivox_sync=synchronous)


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN comes too late for DDL and for reads: SQLAlchemy's is used instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if "trivox_sync" in options:
        connection.exec_driver_sql(f"PRAGMA synchronous = {options['trivox_sync']}")
    connection.exec_driver_sql(options.get("trivox_begin", "BEGIN"))
