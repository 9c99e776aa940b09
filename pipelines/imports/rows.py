"""What readers hand on: rows that might be taken, and refusals that say why not."""

import gzip
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

from trivox.platform.records import Split

LONGEST_LINE = 1 << 20
"""Bytes; a longer line is no row but a damaged file."""
LONGEST_TEXT = 5000
"""Characters of one prompt."""

_SPLITS = {
    "train": Split.TRAIN, "training": Split.TRAIN,
    "validation": Split.VALIDATION, "valid": Split.VALIDATION, "val": Split.VALIDATION,
    "dev": Split.VALIDATION, "test": Split.TEST,
}  # fmt: skip


@dataclass(frozen=True)
class EncodedAudio:
    """A recording as the bytes of an audio file; name is for errors and carries the suffix."""

    name: str
    data: bytes


@dataclass(frozen=True)
class RowTurn:
    """One turn of a dialogue; role is user or assistant. speaker: whose voice, None for that of the row."""

    role: str
    text: str | None = None
    audio: Path | None = None
    speaker: str | None = None


@dataclass(frozen=True)
class Row:
    """One row of a source, before anything was checked but its form.

    label: what people find the row by: `manifest.jsonl:12`, `wavs/LJ001-0001.wav`. id: its own name, once in a
    file. None: not said by the source, so the import's own setting holds.
    """

    label: str
    text: str | None = None
    audio: Path | EncodedAudio | None = None
    language: str | None = None
    speaker: str | None = None
    licence: str | None = None
    group: str | None = None
    split: Split | None = None
    instruction: str | None = None
    inline_instructions: tuple[tuple[int, int, str], ...] = ()
    reference_text: str | None = None
    voice: Path | None = None
    voice_speaker: str | None = None
    persona: str | None = None
    turns: tuple[RowTurn, ...] = ()
    id: str | None = None


@dataclass(frozen=True)
class Lines:
    """A stretch of a file, in bytes; of the text within where it is gzipped."""

    path: Path
    start: int
    length: int

    def open(self) -> IO[bytes]:
        """The file at its start; the caller closes it."""
        file = _opened(self.path)
        file.seek(self.start)
        return file

    def read(self) -> bytes:
        with self.open() as file:
            return file.read(self.length)


Held: TypeAlias = Lines | Mapping[str, Any]
"""What was refused: where it stands in its file, or its keys and values."""


@dataclass(frozen=True)
class Refusal:
    """A row that was not taken. held: what it was, so that it can be kept and mended."""

    row: str
    reason: str
    remedy: str
    held: Held | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.row}: {self.reason}: {self.remedy}"


@dataclass(frozen=True)
class Remark:
    """What a reader has to say about the source as a whole."""

    text: str


Read: TypeAlias = Row | Refusal | Remark


class RowRefused(Exception):
    """Raised where one row turns out unusable; caught where its label is known."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason, self.remedy = reason, remedy

    def of(self, label: str, held: Held | None = None) -> Refusal:
        return Refusal(label, self.reason, self.remedy, held)


def clean_text(text: str) -> str:
    """Composed (NFC), white space collapsed; any script. RowRefused when there is nothing to say."""
    cleaned = " ".join(unicodedata.normalize("NFC", text).split())
    if not cleaned:
        raise RowRefused("the text is empty", "write a text, or delete the row")
    strange = [c for c in cleaned if c == "\ufffd" or unicodedata.category(c) in ("Cc", "Cs")]
    if strange:
        raise RowRefused(
            f"the text holds U+{ord(strange[0]):04X}, a control character or a wrongly decoded one",
            "save the source as UTF-8 text",
        )
    if len(cleaned) > LONGEST_TEXT:
        raise RowRefused(
            f"the text has {len(cleaned)} characters, the limit is {LONGEST_TEXT}",
            "cut it into sentences",
        )
    return cleaned


def checked_spans(
    spans: tuple[tuple[int, int, str], ...], text: str, written: str
) -> tuple[tuple[int, int, str], ...]:
    """Spans of directives in text as it was written; RowRefused where they do not lie in it."""
    if spans and text != written:
        raise RowRefused(
            "the text is not in the form in which inline_instructions count its characters",
            "write it composed (NFC), without white space at its ends or twice in a row",
        )
    for start, end, directive in spans:
        if not 0 <= start <= end <= len(text) or not directive.strip():
            raise RowRefused(
                f"inline instruction [{start}, {end}, {directive!r}] does not lie in the text's "
                f"{len(text)} characters",
                "give 0 <= start <= end, and a directive",
            )
    return spans


def split_named(name: str) -> Split:
    """The split of a name in common use; RowRefused for others."""
    if name.lower() not in _SPLITS:
        raise RowRefused(f"split {name!r} is unknown", "write train, validation or test")
    return _SPLITS[name.lower()]


def is_split(name: str) -> bool:
    return name.lower() in _SPLITS


def inside(root: Path, name: str) -> Path:
    """The path that name means below root; RowRefused when it, or what it links to, lies elsewhere."""
    try:
        resolved = (root / name).resolve()
    except (OSError, ValueError, RuntimeError):
        raise RowRefused(f"{name!r} is not a path", "name a file of the source") from None
    if not resolved.is_relative_to(root.resolve()):
        raise RowRefused(
            f"{name!r} leads out of {root}",
            "copy the recording into the folder and name it relative to the folder",
        )
    return resolved


def decoded_lines(path: Path) -> Iterator[tuple[int, str | Refusal]]:
    """Number from 1 and text of each line that is not blank; memory is bounded by LONGEST_LINE."""
    for number, line, _ in placed_lines(path):
        yield number, line


def placed_lines(path: Path) -> Iterator[tuple[int, str | Refusal, Lines]]:
    """As decoded_lines, with the place of each line. A file that breaks off ends in a refusal."""
    with _opened(path) as file:
        number, start = 0, 0
        while raw := _next(file):
            number += 1
            if isinstance(raw, str):
                yield (
                    number,
                    Refusal(f"{path.name}:{number}", raw, "copy the file again"),
                    Lines(path, start, 0),
                )
                return
            whole = raw.endswith(b"\n") or len(raw) < LONGEST_LINE
            length = len(raw) + (0 if whole else _skip_line(file))
            place = Lines(path, start, length)
            line = (
                _decoded(raw, number, path.name, place)
                if whole
                else _too_long(number, path.name, place)
            )
            start += length
            if isinstance(line, Refusal) or line.strip():
                yield number, line, place


def _next(file: IO[bytes]) -> bytes | str:
    """A line, or why a compressed file cannot be read on."""
    try:
        return file.readline(LONGEST_LINE)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"the file cannot be read from here on ({error})"


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _skip_line(file: IO[bytes]) -> int:
    """The rest of the line; returns its length in bytes."""
    skipped = 0
    while part := file.readline(LONGEST_LINE):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _decoded(raw: bytes, number: int, name: str, place: Lines) -> str | Refusal:
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        reason = f"byte {error.start + 1} is not UTF-8"
        return Refusal(f"{name}:{number}", reason, "save the file as UTF-8", place)


def _too_long(number: int, name: str, place: Lines) -> Refusal:
    reason = f"the line is longer than {LONGEST_LINE} bytes"
    return Refusal(f"{name}:{number}", reason, "write one row a line", place)
