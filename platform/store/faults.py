"""What the operating system and the database report, as the errors of Trivox."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import IntegrityError, SQLAlchemyError, StatementError

from trivox.platform.errors import DiskFull, StoreError

_FULL_ERRNO = {errno.ENOSPC, errno.EDQUOT}
_FULL_TEXT = ("database or disk is full", "no space left on device", "could not extend file")


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
    """Errors of the database inside become DiskFull or StoreError naming place."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, StatementError) else error
        text = " ".join(str(cause).split())
        if any(sign in text.lower() for sign in _FULL_TEXT):
            raise disk_full(place) from error
        if isinstance(error, IntegrityError):
            raise StoreError(f"{place}: the record contradicts what is stored: {text}") from error
        raise StoreError(f"{place}: {text}") from error


def disk_full(place: Path | str) -> DiskFull:
    return DiskFull(f"{place}: no room left on the disk: free some space and run the same again")
