"""Readers of folders of recordings: LJSpeech, LibriSpeech, and any folder with texts beside the audio."""

from collections.abc import Iterator
from pathlib import Path

from trivox.pipelines.imports.rows import (
    Read,
    Refusal,
    Row,
    RowRefused,
    decoded_lines,
    inside,
    placed_lines,
)

AUDIO_SUFFIXES = frozenset(
    ".wav .flac .mp3 .ogg .oga .opus .m4a .aac .aiff .aif .au .g722 .webm .mp4 .wma .w64 .caf".split()
)


def read_ljspeech(root: Path) -> Iterator[Read]:
    """`metadata.csv` with lines `id|text` or `id|text|normalised text`, recordings in `wavs/`.

    The normalised text is taken where there is one.
    """
    for number, line, place in placed_lines(root / "metadata.csv"):
        label = f"metadata.csv:{number}"
        if isinstance(line, Refusal):
            yield line
            continue
        try:
            yield _ljspeech_row(root, label, line)
        except RowRefused as refused:
            yield refused.of(label, place)


def _ljspeech_row(root: Path, label: str, line: str) -> Row:
    fields = line.split("|")
    if len(fields) not in (2, 3) or not fields[0].strip():
        raise RowRefused(
            f"{len(fields)} fields between bars where 2 or 3 are expected",
            "write id|text or id|text|normalised text",
        )
    text = next((field for field in reversed(fields[1:]) if field.strip()), "")
    name = fields[0].strip()
    return Row(label, text=text, audio=recording(root, f"wavs/{name}"), id=name)


def read_librispeech(root: Path) -> Iterator[Read]:
    """`speaker/chapter/*.trans.txt` with lines `utterance TEXT`, recordings `utterance.flac` beside them.

    Its texts are all in capitals, which says nothing; they are taken in lower case.
    """
    for listing in sorted(root.rglob("*.trans.txt")):
        name = listing.relative_to(root).as_posix()
        for number, line, place in placed_lines(listing):
            label = f"{name}:{number}"
            if isinstance(line, Refusal):
                yield Refusal(label, line.reason, line.remedy, place)
                continue
            try:
                yield _librispeech_row(root, listing, label, line)
            except RowRefused as refused:
                yield refused.of(label, place)


def _librispeech_row(root: Path, listing: Path, label: str, line: str) -> Row:
    utterance, _, text = line.strip().partition(" ")
    folder = listing.parent.relative_to(root)
    return Row(
        label,
        text=text.lower() if text.isupper() else text,
        audio=recording(root, (folder / utterance).as_posix()),
        speaker=utterance.partition("-")[0],
        group=utterance,
        id=utterance,
    )


def read_folder(root: Path) -> Iterator[Read]:
    """Recordings at any depth, each with its text in a file of the same name and the suffix `.txt`."""
    files = sorted(
        path for path in root.rglob("*") if not path.is_dir() and not _hidden(path, root)
    )
    stems = {path.with_suffix("") for path in files if path.suffix.lower() in AUDIO_SUFFIXES}
    for path in files:
        label = path.relative_to(root).as_posix()
        if path.suffix.lower() in AUDIO_SUFFIXES:
            try:
                text = _text_beside(root, path)
                yield Row(label, text=text, audio=inside(root, label))
            except RowRefused as refused:
                yield refused.of(label, {"audio": label})
        elif path.suffix == ".txt" and path.with_suffix("") not in stems:
            remedy = f"add {path.stem}.wav or delete it"
            # Named, not copied: it may be a link out of the folder.
            yield Refusal(label, "no recording of that name", remedy, {"file": label})


def _hidden(path: Path, root: Path) -> bool:
    """Such as the `._a.wav` that macOS leaves beside `a.wav`."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _text_beside(root: Path, audio: Path) -> str:
    path = audio.with_suffix(".txt")
    if not path.is_file():
        raise RowRefused(f"no text {path.name} beside it", "write what is said into that file")
    inside(root, path.relative_to(root).as_posix())
    lines = [line for _, line in decoded_lines(path)]
    for line in lines:
        if isinstance(line, Refusal):
            raise RowRefused(f"{path.name}: {line.reason}", line.remedy)
    return " ".join(line for line in lines if isinstance(line, str))


def recording(root: Path, stem: str) -> Path:
    """The file stem.SUFFIX below root, whichever suffix of audio it has."""
    usual = (".wav", ".flac")
    for suffix in (*usual, *sorted(AUDIO_SUFFIXES.difference(usual))):
        path = inside(root, stem + suffix)
        if path.is_file():
            return path
    raise RowRefused(f"no recording {stem}{usual[0]} or {usual[1]}", "add it, or delete the row")
