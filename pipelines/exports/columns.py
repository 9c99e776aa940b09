"""Records of any kind as Parquet rows and JSON lines, and back."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from trivox.pipelines.datasets.digests import adapter_of
from trivox.platform.records import SCHEMA_VERSION, Rollout, Score
from trivox.platform.store.parquet import SCHEMAS, from_row, to_arrow
from trivox.platform.store.rows import codec_of
from trivox.platform.store.schema import field_types, is_nested

_TYPES: dict[type[Any], pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", "UTC"),
}


def schema_of(kind: type[Any]) -> pa.Schema:
    """Scalars as they are, nested fields as JSON text; rollouts and scores as the store has them."""
    if kind in SCHEMAS:
        return SCHEMAS[kind]
    made = [
        pa.field(name, pa.string() if is_nested(hint) else _TYPES.get(hint, pa.string()), optional)
        for name, (hint, optional) in field_types(kind).items()
    ]
    return pa.schema(made)


def to_table(records: Sequence[Any]) -> pa.Table:
    """Records of one kind, at least one."""
    kind = type(records[0])
    about = {"schema_version": str(SCHEMA_VERSION), "kind": kind.__name__}
    if kind in (Rollout, Score):
        return to_arrow(list(records), SCHEMA_VERSION)
    codec = codec_of(kind)
    rows = [codec.row(one) for one in records]
    for row in rows:
        for name in codec.nested:
            row[name] = None if row[name] is None else json.dumps(row[name], ensure_ascii=False)
    return pa.Table.from_pylist(rows, schema=schema_of(kind).with_metadata(about))


def from_columns(kind: type[Any], row: dict[str, Any]) -> Any:
    """The record of a row; raises pydantic's ValidationError and ValueError."""
    if kind in (Rollout, Score):
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
