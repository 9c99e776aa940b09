"""Rows of JSONL, Parquet and saved Hugging Face data sets as plain columns, a batch in memory at a time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivox.pipelines.imports.rows import Lines, Refusal, placed_lines
from trivox.platform.errors import BadImport, NotFound

BATCH = 200
_SUFFIXES = {
    "jsonl": (".jsonl", ".json", ".jsonl.gz"),
    "parquet": (".parquet", ".tar"),
    "hf": (".arrow", ".parquet"),
}


@dataclass(frozen=True)
class Table:
    """One row. label: its file and number; split: that the file, or its folder, is named after."""

    label: str
    values: dict[str, Any]
    split: str | None


def read_table(source: Path, container: str) -> Iterator[Table | Refusal]:
    """Rows of a file, or of all files of that kind in a folder and its splits' folders, in order of name.

    A file that cannot be read on is one refusal from where it breaks off. Raises NotFound and BadImport.
    """
    for path in _files(source, container):
        if path.suffix in (".parquet", ".tar"):
            yield from _parquet(path, source)
        elif path.suffix == ".arrow":
            yield from _arrow(path, source)
        else:
            yield from _jsonl(path, source)


def _files(source: Path, container: str) -> list[Path]:
    if not source.exists():
        raise NotFound(f"{source}: no such file or folder")
    if source.is_file():
        return [source]
    suffixes = _SUFFIXES[container]
    found = sorted(
        path
        for path in (*source.glob("*"), *source.glob("*/*"))
        if path.name.endswith(suffixes)
        and path.is_file()
        and not path.name.startswith(".")
        and path.name not in ("dataset_dict.json", "dataset_info.json", "state.json", "export.json")
        and not path.name.startswith(("utt2parquet", "spk2parquet"))
    )
    if not found:
        raise BadImport(f"{source}: no file that ends in {' or '.join(suffixes)}: name the file")
    return found


def _label(path: Path, source: Path, number: int) -> str:
    name = path.relative_to(source).as_posix() if source.is_dir() else path.name
    return f"{name}:{number}"


def _split(path: Path) -> str:
    return (
        path.parent.name
        if path.suffix == ".arrow"
        else path.name.partition(".")[0].partition("-")[0]
    )


def _parquet(path: Path, source: Path) -> Iterator[Table | Refusal]:
    from pyarrow import ArrowException, parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield Table(_label(path, source, number), row, _split(path))
    except (OSError, ArrowException) as error:
        yield _broken(path, source, number, error)


def _arrow(path: Path, source: Path) -> Iterator[Table | Refusal]:
    from pyarrow import ArrowException, ipc, memory_map

    number = 0
    try:
        with memory_map(str(path)) as mapped, ipc.open_stream(mapped) as stream:
            for batch in stream:
                for start in range(0, len(batch), BATCH):
                    for row in batch.slice(start, BATCH).to_pylist():
                        number += 1
                        yield Table(_label(path, source, number), row, _split(path))
    except (OSError, ArrowException) as error:
        yield _broken(path, source, number, error)


def _broken(path: Path, source: Path, number: int, error: Exception) -> Refusal:
    cause = " ".join(str(error).split())[:200]
    reason = f"the file cannot be read from row {number + 1} on ({cause})"
    held = Lines(path, 0, path.stat().st_size)
    return Refusal(_label(path, source, number + 1), reason, "copy the file again", held)


def _jsonl(path: Path, source: Path) -> Iterator[Table | Refusal]:
    for number, line, place in placed_lines(path):
        label = _label(path, source, number)
        if isinstance(line, Refusal):
            yield Refusal(label, line.reason, line.remedy, place)
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = f"not JSON ({str(error).splitlines()[0]})"
            yield Refusal(label, reason, "write one JSON object a line", place)
            continue
        if not isinstance(values, dict):
            reason = f"a JSON {type(values).__name__}"
            yield Refusal(label, reason, "write one JSON object a line", place)
            continue
        yield Table(label, values, _split(path))
