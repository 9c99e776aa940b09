"""What the operating system and the database report, as the errors of Trivox."""

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from trivox.platform.errors import DatabaseBusy, DatabaseLost, DiskFull, StoreError, TrivoxError

_FULL_ERRNO = {errno.ENOSPC, errno.EDQUOT}
_FULL_TEXT = ("database or disk is full", "no space left on device", "could not extend file")
_FULL_STATE = {"53100"}
# PostgreSQL: connection exceptions, server shut down or starting, too many connections.
_LOST_STATE = ("08", "57P01", "57P02", "57P03", "53300")
_BUSY_STATE = {"55P03", "40001", "40P01"}
RETRIES = 5
PAUSE_S = 0.1
"""Before the first repetition; each later one waits twice as long."""

T = TypeVar("T")


@contextmanager
def file_errors(place: Path | str) -> Iterator[None]:
    """OSError inside becomes DiskFull or StoreError naming place; FileNotFoundError passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _FULL_ERRNO:
            raise disk_full(place) from error
        raise StoreError(f"{place}: {error.strerror or error}") from error


@contextmanager
def sql_errors(place: str) -> Iterator[None]:
    """Errors of the database inside become DiskFull, DatabaseLost, DatabaseBusy or StoreError naming place."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _named(error, place) from error
    except TrivoxError:
        raise
    except ValueError as error:  # of psycopg, where SQLAlchemy has not prepared the value itself
        raise StoreError(f"{place}: a value cannot be kept: {error}") from error


def _named(error: SQLAlchemyError, place: str) -> StoreError:
    cause = error.orig if isinstance(error, StatementError) else error
    text = " ".join(str(cause).split())
    state = str(getattr(cause, "sqlstate", None) or "")
    if state in _FULL_STATE or any(sign in text.lower() for sign in _FULL_TEXT):
        return disk_full(place)
    if isinstance(error, IntegrityError):
        return StoreError(f"{place}: the record contradicts what is stored: {text}")
    if state in _BUSY_STATE or "database is locked" in text or isinstance(error, PoolTimeout):
        return DatabaseBusy(
            f"{place}: another process holds what this one waits for: {text}: try again"
        )
    if _is_lost(error, state):
        return DatabaseLost(
            f"{place}: no connection to the database: {text}: what was not committed is undone; try again when "
            "the server answers"
        )
    return StoreError(f"{place}: {text}")


def _is_lost(error: SQLAlchemyError, state: str) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    # psycopg gives a broken connection no state: nothing came from the server.
    stateless = type(error.orig).__name__ == "OperationalError" and not state
    remote = type(error.orig).__module__.startswith("psycopg")
    return error.connection_invalidated or state.startswith(_LOST_STATE) or (stateless and remote)


def retried(work: Callable[[], T], retries: int = RETRIES, pause_s: float = PAUSE_S) -> T:
    """work, done again while the connection is lost or the store is busy; raises what it raised the last time.

    work must leave nothing behind when it fails, and may have happened before it failed: a commit whose answer is
    lost. With 5 retries of 0.1 s and double each time that is 3.1 s of waiting.
    """
    for attempt in range(retries):
        try:
            return work()
        except (DatabaseLost, DatabaseBusy):
            time.sleep(pause_s * 2**attempt)
    return work()


def retried_io(work: Callable[[], T], retries: int = 3, pause_s: float = PAUSE_S) -> T:
    """work, done again while a server does not answer; FileNotFoundError and a full disk are answers."""
    for attempt in range(retries):
        try:
            return work()
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in _FULL_ERRNO:
                raise
            time.sleep(pause_s * 2**attempt)
    return work()


def disk_full(place: Path | str) -> DiskFull:
    return DiskFull(f"{place}: no room left on the disk: free some space and run the same again")
