"""All records of a kind, or all rollouts, into one Parquet file and back, a batch in memory at a time.

The same records give the same bytes, whatever database they come from and however often they travel.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from trivox.platform.errors import CorruptObject
from trivox.platform.hashing import sha256_file
from trivox.platform.records import SCHEMA_VERSION, Branch
from trivox.platform.store.columns import BATCH, add_batches, last_number, read_batches, schema_of
from trivox.platform.store.faults import file_errors
from trivox.platform.store.parquet import SCHEMAS
from trivox.platform.store.workspace import Workspace


def export_file(ws: Workspace, kind: type[Any], path: Path, size: int = BATCH) -> str:
    """Write every record of a kind to path, whole or not at all; returns the sha256 of the file.

    Rows lie in the order of adding, those of rollouts and scores by branch, round and part. Raises DiskFull.
    """
    schema = SCHEMAS[kind] if kind in SCHEMAS else schema_of(kind)
    about = {"schema_version": str(SCHEMA_VERSION), "kind": kind.__name__}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with file_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with parquet.ParquetWriter(
                unfinished, schema.with_metadata(about), compression="zstd"
            ) as into:
                for rows in _even(_rows(ws, kind, size), size, schema):
                    into.write_table(rows, row_group_size=size)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    return sha256_file(path)


def import_file(ws: Workspace, kind: type[Any], path: Path, size: int = BATCH) -> int:
    """Add what such a file holds and the workspace does not have yet; returns how many records of SQL were new, or
    how many rollouts or scores were read.

    Raises CorruptObject for a file that is none or is cut off, UsageError for wrong values.
    """
    try:
        with parquet.ParquetFile(path) as file:
            batches = file.iter_batches(size)
            if kind not in SCHEMAS:
                return add_batches(ws.records, kind, batches)
            return sum(_parts(ws, kind, number, batch) for number, batch in enumerate(batches))
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptObject(f"{path}: not a whole Parquet file: {error}") from error


def _rows(ws: Workspace, kind: type[Any], size: int) -> Iterator[pa.Table]:
    if kind in SCHEMAS:
        for path in ws.tables.paths(kind):
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(size):
                    yield pa.Table.from_batches([batch]).cast(SCHEMAS[kind])
        return
    for _, batch in read_batches(ws.records, kind, size, until=last_number(ws.records, kind)):
        yield pa.Table.from_batches([batch])


def _even(tables: Iterator[pa.Table], size: int, schema: pa.Schema) -> Iterator[pa.Table]:
    """The same rows, size at a time: how they were cut before must not show in the bytes."""
    held = schema.empty_table()
    for table in tables:
        held = pa.concat_tables([held, table.replace_schema_metadata(held.schema.metadata)])
        while len(held) >= size:
            yield held.slice(0, size).combine_chunks()
            held = held.slice(size)
    if len(held):
        yield held.combine_chunks()


def _parts(ws: Workspace, kind: type[Any], number: int, batch: pa.RecordBatch) -> int:
    """Each round of a batch becomes a part named by the batch, so that order stays and repeating adds none."""
    table = pa.Table.from_batches([batch])
    keys = table.select([name for name in ("branch", "round") if name in table.schema.names])
    for key in keys.group_by(keys.schema.names).aggregate([]).to_pylist():
        chosen = [pc.equal(table[name], value) for name, value in key.items()]
        mask = chosen[0] if len(chosen) == 1 else pc.and_(*chosen)
        branch = Branch(key.get("branch", Branch.TTS.value))
        part = table.filter(mask)
        ws.tables.write_columns(
            kind, part, branch=branch, round=key["round"], part=f"import-{number:06}"
        )
    return len(table)
