"""The files that tables are made of: which there are, and by which version they were written."""

import os
from collections.abc import Iterator
from typing import TypeAlias

from trivox.platform.errors import CorruptObject

Mark: TypeAlias = tuple[int, int, int]
"""Time of change (ns), size (bytes) and number of a file."""


def parts_below(folder: str, *names: str | None) -> Iterator[tuple[str, Mark]]:
    """Files below folder in order of folders and name, each with what tells whether it has changed.

    names: of the folders between, None for all. Listed by hand: globbing takes longer than many a question.
    """
    if names and names[0] is not None:
        yield from parts_below(f"{folder}/{names[0]}", *names[1:])
        return
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda one: one.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for one in entries:
        if names:
            yield from parts_below(one.path, *names[1:])
        elif one.name.endswith(".parquet"):
            about = one.stat()
            yield one.path, (about.st_mtime_ns, about.st_size, about.st_ino)


def version_of(path: str) -> int:
    """The schema version of a part; raises CorruptObject."""
    from pyarrow import ArrowInvalid, parquet

    try:
        return int((parquet.read_metadata(path).metadata or {})[b"schema_version"])
    except (ArrowInvalid, KeyError, ValueError) as error:
        raise CorruptObject(f"{path}: not a Parquet file of Trivox: {error}") from error
