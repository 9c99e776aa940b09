"""Judgements that were made elsewhere: good rows are taken, the others are told with the reason."""

from trivox.annotation.imports.report import Imported, RefusedRow
from trivox.annotation.imports.rows import import_rows, read_rows
from trivox.annotation.imports.speechjudge import import_speechjudge

__all__ = ["Imported", "RefusedRow", "import_rows", "import_speechjudge", "read_rows"]
