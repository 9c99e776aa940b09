"""Which layout a source has, and the reader of each."""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from trivox.pipelines.imports.folders import (
    AUDIO_SUFFIXES,
    read_folder,
    read_librispeech,
    read_ljspeech,
)
from trivox.pipelines.imports.hub import read_hub
from trivox.pipelines.imports.manifest import read_manifest
from trivox.pipelines.imports.rows import Read
from trivox.pipelines.imports.speech_manifests import (
    manifest_kind,
    read_common_voice,
    read_lhotse,
    read_nemo,
    read_verl,
)
from trivox.pipelines.imports.texts import read_text_lines
from trivox.platform.errors import BadImport, NotFound


class Layout(StrEnum):
    AUTO = "auto"
    LJSPEECH = "ljspeech"
    LIBRISPEECH = "librispeech"
    FOLDER = "folder"
    JSONL = "jsonl"
    HF = "hf"
    TEXT = "text"
    NEMO = "nemo"
    LHOTSE = "lhotse"
    COMMON_VOICE = "commonvoice"
    VERL = "verl"


_BY_SUFFIX = {
    ".jsonl": Layout.JSONL,
    ".ndjson": Layout.JSONL,
    ".json": Layout.JSONL,
    ".gz": Layout.JSONL,
    ".txt": Layout.TEXT,
    ".parquet": Layout.HF,
}
_FOLDERS = (Layout.LJSPEECH, Layout.LIBRISPEECH, Layout.FOLDER, Layout.COMMON_VOICE)
_FILES = (Layout.JSONL, Layout.TEXT, Layout.NEMO)
_HUB_ID = re.compile(r"[\w-]+/[\w.-]+")


def detect(source: str, wanted: Layout) -> Layout:
    """The layout wanted, checked against the kind of source, or the one that auto finds.

    Raises NotFound when nothing is there, BadImport when the source fits no layout or not the one wanted.
    """
    path = Path(source)
    if not path.exists():
        if wanted == Layout.HF or (wanted == Layout.AUTO and _could_be_hub_id(source)):
            return Layout.HF
        raise NotFound(f"{source}: no such file or folder")
    if wanted != Layout.AUTO:
        _check_kind(path, wanted)
        return wanted
    return _of_folder(path) if path.is_dir() else _of_file(path)


def read_rows(source: str, layout: Layout, audio_root: Path | None = None) -> Iterator[Read]:
    """The rows of a source in the layout that detect found; audio_root: see read_manifest."""
    path = Path(source)
    match layout:
        case Layout.LJSPEECH:
            return read_ljspeech(path)
        case Layout.LIBRISPEECH:
            return read_librispeech(path)
        case Layout.FOLDER:
            return read_folder(path)
        case Layout.JSONL:
            return read_manifest(path, audio_root)
        case Layout.TEXT:
            return read_text_lines(path)
        case Layout.NEMO:
            return read_nemo(path, audio_root)
        case Layout.LHOTSE:
            return read_lhotse(path, audio_root)
        case Layout.COMMON_VOICE:
            return read_common_voice(path)
        case Layout.VERL:
            return read_verl(path)
        case _:
            return read_hub(source)


def _could_be_hub_id(source: str) -> bool:
    named_file = Path(source).suffix.lower() in AUDIO_SUFFIXES | _BY_SUFFIX.keys() | {".csv"}
    below_folder = Path(source).parent.is_dir()
    return bool(_HUB_ID.fullmatch(source)) and not named_file and not below_folder


def _check_kind(path: Path, wanted: Layout) -> None:
    if wanted in _FOLDERS and not path.is_dir():
        raise BadImport(
            f"{path}: layout {wanted.value} is a folder, this is a file: give its folder"
        )
    if wanted in _FILES and not path.is_file():
        raise BadImport(f"{path}: layout {wanted.value} is a file, this is none: name the file")
    if wanted == Layout.LJSPEECH and not (path / "metadata.csv").is_file():
        raise BadImport(
            f"{path}: layout ljspeech needs metadata.csv in it: give the folder above wavs/"
        )
    if wanted in _FILES and not path.stat().st_size:
        raise BadImport(f"{path}: the file is empty: write one prompt a line")


def _of_file(path: Path) -> Layout:
    suffix = path.suffix.lower()
    if suffix in AUDIO_SUFFIXES:
        raise BadImport(
            f"{path}: is a single recording: give its folder, with texts beside the audio"
        )
    if suffix not in _BY_SUFFIX:
        raise BadImport(
            f"{path}: suffix {suffix!r} fits no layout: name it .jsonl, .txt or .parquet, or give"
            " --layout"
        )
    found = _BY_SUFFIX[suffix]
    _check_kind(path, found)
    kind = manifest_kind(path) if found is Layout.JSONL else None
    return Layout(kind) if kind else found


def _of_folder(path: Path) -> Layout:
    markers = ("state.json", "dataset_dict.json")
    if any((path / marker).is_file() for marker in markers) or any(path.rglob("*.parquet")):
        return Layout.HF
    if any((path / f"{name}.tsv").is_file() for name in ("train", "test", "validated")):
        return Layout.COMMON_VOICE
    if any(path.glob("supervisions*.jsonl*")):
        return Layout.LHOTSE
    if (path / "metadata.csv").is_file():
        return Layout.LJSPEECH if (path / "wavs").is_dir() else Layout.HF
    if any(path.rglob("*.trans.txt")):
        return Layout.LIBRISPEECH
    if any(file.suffix.lower() in AUDIO_SUFFIXES for file in path.rglob("*")):
        return Layout.FOLDER
    raise BadImport(
        f"{path}: holds no audio and fits no layout: give a folder in LJSpeech or LibriSpeech layout,"
        " recordings with texts, Common Voice, lhotse's manifests, a saved dataset, or name a .jsonl or .txt file"
    )
