"""Reader of Hugging Face datasets: a folder of `save_to_disk`, Parquet, an audio folder, or a hub id.

Columns are taken by their usual names. Audio is decoded here, not by `datasets`, which would need torchcodec.
"""

import csv
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trivox.pipelines.imports.manifest import (
    ManifestRow,
    to_row,
    unread_remark,
    validated_row,
)
from trivox.pipelines.imports.rows import (
    EncodedAudio,
    Read,
    Refusal,
    Row,
    RowRefused,
    is_split,
    split_named,
)
from trivox.pipelines.imports.tables import read_table
from trivox.platform.errors import BadImport
from trivox.platform.records import Split

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "transcription", "transcript", "normalized_text", "prompt"),
    "audio": ("audio", "speech", "file_name"),
    "language": ("language", "locale", "lang"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "licence": ("licence", "license"),
    "id": ("id",),
    "group": ("group",),
    "split": ("split",),
    "instruction": ("instruction",),
    "reference_text": ("reference_text",),
}
"""Field of a row -> the column names it is taken from, the first that is there."""


def read_hub(source: str) -> Iterator[Read]:
    """Rows of a dataset by local path, else by hub id.

    Raises BadImport when it cannot be loaded, the hub cannot be reached, or no column can be used.
    """
    path = Path(source)
    if (path / "metadata.csv").is_file():
        yield from _audio_folder(path)
        return
    if path.suffix == ".parquet" or _shards(path):
        yield from _parquet_rows(path)
        return
    with tempfile.TemporaryDirectory() as cache, _quiet():
        unread: Counter[str] = Counter()
        for name, part in _load(source, path, cache).items():
            yield from _rows(part, name, _audio_root(path), unread)
        yield from unread_remark(unread)


def _shards(path: Path) -> list[Path]:
    """Parquet files of a folder that `save_to_disk` did not write."""
    markers = ("state.json", "dataset_dict.json")
    if not path.is_dir() or any((path / marker).is_file() for marker in markers):
        return []
    order = {Split.TRAIN: 0, Split.VALIDATION: 1, Split.TEST: 2}

    def place(file: Path) -> tuple[int, str]:
        name = file.name.partition(".")[0].partition("-")[0]
        return (order[split_named(name)] if is_split(name) else 3, file.as_posix())

    return sorted(path.rglob("*.parquet"), key=place)


def _parquet_rows(path: Path) -> Iterator[Read]:
    """File by file and a batch at a time, so that a damaged file costs no other. The split is that of the file's
    name. Raises BadImport where no file has a column to use."""
    files = _shards(path) or [path]
    unread: Counter[str] = Counter()
    for file in files:
        for row in read_table(file, "parquet"):
            if isinstance(row, Refusal):
                if len(files) == 1 and row.row.endswith(":1"):
                    raise BadImport(
                        f"{file}: cannot be loaded as a Hugging Face dataset ({row.reason}): {row.remedy}"
                    )
                yield row
                continue
            columns = _columns(list(row.values))
            unread.update(name for name in row.values if name not in columns.values())
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            label = f"{name}:{row.label.rpartition(':')[2]}"
            try:
                yield _row(row.values, columns, label, row.split or "", _audio_root(path))
            except RowRefused as refused:
                yield refused.of(label, row.values)
    yield from unread_remark(unread)


def _audio_root(path: Path) -> Path:
    """Where recordings that a dataset names by path must lie."""
    import datasets

    if not path.exists():
        return Path(datasets.config.HF_CACHE_HOME)
    return path if path.is_dir() else path.parent


def _load(source: str, path: Path, cache: str) -> dict[str, Any]:
    """Its parts by name; a dataset without parts is one part without a name."""
    try:
        loaded = _from_disk(path, cache) if path.exists() else _from_hub(source)
    except Exception as error:  # whatever a damaged file or the hub makes pyarrow or datasets raise
        cause = " ".join(str(error.__cause__ or error).split())[:300]
        if path.exists():
            raise BadImport(
                f"{source}: cannot be loaded as a Hugging Face dataset ({cause}): give a folder of"
                " save_to_disk, or Parquet files"
            ) from None
        raise BadImport(
            f"{source}: no such file or folder here, and not to be had from the Hugging Face hub"
            f" ({cause}): download it where there is a network and give its folder"
        ) from None
    return dict(loaded) if isinstance(loaded, dict) else {"": loaded}


def _from_disk(path: Path, cache: str) -> Any:
    import datasets

    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return datasets.load_from_disk(str(path))
    if path.is_file():
        return datasets.load_dataset("parquet", data_files=str(path), cache_dir=cache)["train"]
    return datasets.load_dataset(str(path), cache_dir=cache)


def _from_hub(source: str) -> Any:
    import datasets
    from huggingface_hub import constants, get_session

    if not constants.HF_HUB_OFFLINE:
        # Fails at once where datasets would try for half a minute and write about each time.
        get_session().head(constants.ENDPOINT, timeout=5)
    return datasets.load_dataset(source)


def _rows(part: Any, name: str, root: Path, unread: Counter[str]) -> Iterator[Read]:
    import datasets

    columns = _columns(part.column_names)
    audio = columns.get("audio")
    if audio and isinstance(part.features[audio], datasets.Audio):
        part = part.cast_column(audio, datasets.Audio(decode=False))
    unread.update({c: len(part) for c in part.column_names if c not in columns.values()})
    for index, values in enumerate(part):
        label = f"{name}[{index}]"
        try:
            yield _row(values, columns, label, name, root)
        except RowRefused as refused:
            yield refused.of(label, values)


def _columns(names: list[str]) -> dict[str, str]:
    chosen = {
        field: next((name for name in usual if name in names), "")
        for field, usual in COLUMNS.items()
    }
    found = {field: name for field, name in chosen.items() if name}
    if not found.keys() & {"text", "audio", "reference_text"}:
        raise BadImport(
            f"no column to take text or audio from among {', '.join(names)}: rename one to 'text',"
            " and the recordings' to 'audio'"
        )
    return found


def _row(values: dict[str, Any], columns: dict[str, str], label: str, part: str, root: Path) -> Row:
    fields = {field: values[column] for field, column in columns.items() if field != "audio"}
    fields.setdefault("split", part if is_split(part) else None)
    row: ManifestRow = validated_row(fields)
    stored = values[columns["audio"]] if "audio" in columns else None
    if isinstance(stored, dict) and stored.get("bytes") is not None:
        name = f"{label} {Path(stored.get('path') or '').name}".strip()
        return to_row(row, label, root, EncodedAudio(name, stored["bytes"]))
    path = stored.get("path") if isinstance(stored, dict) else stored
    if path is not None and not isinstance(path, str):
        raise RowRefused(f"audio is a {type(path).__name__}", "store it as an Audio column")
    return to_row(row.model_copy(update={"audio": path}), label, root)


def _audio_folder(root: Path) -> Iterator[Read]:
    """`metadata.csv` with a column file_name, recordings beside it."""
    path = root / "metadata.csv"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            columns = _columns(list(table.fieldnames or ()))
            for values in table:
                label = f"metadata.csv:{table.line_num}"
                try:
                    yield _row(dict(values), columns, label, "", root)
                except RowRefused as refused:
                    yield refused.of(label, dict(values))
    except (csv.Error, UnicodeDecodeError) as error:
        raise BadImport(f"{path}: not a CSV table in UTF-8 ({error}): save it again") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars of `datasets`: imports have their own."""
    import datasets

    shown = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
