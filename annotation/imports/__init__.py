"""Judgements that were made elsewhere: good rows are taken, the others are told with the reason."""

from trivox.annotation.imports.report import Imported, RefusedRow
from trivox.annotation.imports.rows import Raw, Unread, import_rows, read_rows, rows_of
from trivox.annotation.imports.speechjudge import import_speechjudge

__all__ = [
    "Imported",
    "Raw",
    "RefusedRow",
    "Unread",
    "import_rows",
    "import_speechjudge",
    "read_rows",
    "rows_of",
]
