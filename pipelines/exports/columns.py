"""Records of any kind as Parquet rows and JSON lines, and back."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from trivox.pipelines.datasets.digests import adapter_of
from trivox.platform.records import SCHEMA_VERSION
from trivox.platform.store import columns
from trivox.platform.store.parquet import SCHEMAS, from_row, to_arrow
from trivox.platform.store.rows import codec_of


def schema_of(kind: type[Any]) -> pa.Schema:
    """As the store has rollouts and scores in Parquet, and what it keeps in SQL as batches."""
    return SCHEMAS[kind] if kind in SCHEMAS else columns.schema_of(kind)


def to_table(records: Sequence[Any]) -> pa.Table:
    """Records of one kind, at least one."""
    kind = type(records[0])
    if kind in SCHEMAS:
        return to_arrow(list(records), SCHEMA_VERSION)
    about = {"schema_version": str(SCHEMA_VERSION), "kind": kind.__name__}
    batch = columns.batch_of(records)
    return pa.Table.from_batches([batch]).replace_schema_metadata(about)


def from_columns(kind: type[Any], row: dict[str, Any]) -> Any:
    """The record of a row; raises pydantic's ValidationError and ValueError."""
    if kind in SCHEMAS:
        return from_row(kind, row)
    held = dict(row)
    for name in codec_of(kind).nested:
        if isinstance(held.get(name), str):
            held[name] = json.loads(held[name])
    return adapter_of(kind).validate_python(held)


def to_line(record: Any) -> bytes:
    """One line of JSON, without its end."""
    return bytes(adapter_of(type(record)).dump_json(record))


def from_line(kind: type[Any], line: bytes) -> Any:
    """The record of a line; raises pydantic's ValidationError."""
    return adapter_of(kind).validate_json(line)
