"""Readers of manifests of speech: NeMo's, lhotse's, and Common Voice's tables.

NeMo: `{"audio_filepath", "text", "duration", "offset", "lang", "speaker"}` a line. lhotse: MonoCuts as JSON
lines, or a folder of `recordings*.jsonl(.gz)` and `supervisions*.jsonl(.gz)`. Common Voice: `clips/` beside
`train.tsv`, `dev.tsv`, `test.tsv`, or `validated.tsv` alone.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from trivox.pipelines.imports.rows import (
    EncodedAudio,
    Lines,
    Read,
    Refusal,
    Row,
    RowRefused,
    inside,
    is_split,
    placed_lines,
    split_named,
)
from trivox.platform.audio.io import read_audio
from trivox.platform.errors import BadImport, BrokenAudio

_TABLES = ("train", "dev", "test")
_SLACK_S = 0.05
"""How much longer than its file a stretch may be said to be: durations are rounded."""


def read_nemo(path: Path, audio_root: Path | None = None) -> Iterator[Read]:
    """Paths are relative to audio_root, by default the manifest's folder."""
    root = audio_root or path.parent
    for label, values, place in _objects(path):
        if isinstance(values, Refusal):
            yield values
            continue
        try:
            yield _nemo_row(root, label, values)
        except RowRefused as refused:
            yield refused.of(label, place)


def _nemo_row(root: Path, label: str, values: dict[str, Any]) -> Row:
    audio = inside(root, _text(values, "audio_filepath"))
    offset, duration = _seconds(values, "offset"), _seconds(values, "duration")
    language = values.get("lang") or values.get("language")
    speaker = values.get("speaker") if isinstance(values.get("speaker"), str) else None
    held = stretch(audio, offset, duration, label) if offset else audio
    return Row(
        label,
        text=_text(values, "text"),
        audio=held,
        language=language if isinstance(language, str) else None,
        speaker=speaker,
    )


def read_lhotse(path: Path, audio_root: Path | None = None) -> Iterator[Read]:
    """One row a supervision. Raises BadImport for a folder without both manifests."""
    if path.is_file():
        root = audio_root or path.parent
        for label, values, place in _objects(path):
            yield from _each(label, values, place, lambda cut, label: _cut_rows(root, label, cut))
        return
    recordings: dict[str, dict[str, Any]] = {}
    for file in _manifests(path, "recordings"):
        yield from _recordings(file, recordings)
    root = audio_root or path
    for file in _manifests(path, "supervisions"):
        for label, values, place in _objects(file):
            yield from _each(
                label, values, place, lambda one, label: [_segment(root, label, recordings, one)]
            )


def _each(label: str, values: Any, place: Lines, make: Any) -> Iterator[Read]:
    if isinstance(values, Refusal):
        yield values
        return
    try:
        yield from make(values, label)
    except RowRefused as refused:
        yield refused.of(label, place)


def _recordings(file: Path, into: dict[str, dict[str, Any]]) -> Iterator[Refusal]:
    """Enters the recordings of a manifest by id; yields what is none, or is another of the same id."""
    for label, values, place in _objects(file):
        if isinstance(values, Refusal):
            yield values
        elif into.setdefault(str(values.get("id")), values) != values:
            reason = f"recording {values.get('id')!r} is there already with other content"
            yield Refusal(label, reason, "give each recording an id of its own", place)


def _manifests(path: Path, name: str) -> list[Path]:
    found = sorted(one for one in path.glob(f"{name}*.jsonl*") if one.is_file())
    if not found:
        raise BadImport(
            f"{path}: no {name}*.jsonl: give lhotse's recordings and supervisions, or cuts"
        )
    return found


def _cut_rows(root: Path, label: str, cut: dict[str, Any]) -> list[Row]:
    recording, spoken = cut.get("recording"), cut.get("supervisions")
    if not isinstance(recording, dict) or not isinstance(spoken, list):
        raise RowRefused("no recording and supervisions", "write MonoCuts, with their recordings")
    start = _seconds(cut, "start") or 0.0
    rows = []
    for number, one in enumerate(spoken):
        name = f"{label}#{number}" if len(spoken) > 1 else label
        if not isinstance(one, dict):
            raise RowRefused("a supervision is no object", "write its text, start and duration")
        begin = start + (_seconds(one, "start") or 0.0)
        length = _seconds(one, "duration") or _seconds(cut, "duration")
        row = _spoken(root, name, recording, one, begin, length)
        rows.append(replace(row, id=_id(cut, f"#{number}" if len(spoken) > 1 else "")))
    return rows


def _id(one: dict[str, Any], part: str = "") -> str | None:
    return f"{one['id']}{part}" if isinstance(one.get("id"), str | int) else None


def _segment(root: Path, label: str, recordings: dict[str, Any], one: dict[str, Any]) -> Row:
    recording = recordings.get(str(one.get("recording_id")))
    if recording is None:
        raise RowRefused(
            f"recording {one.get('recording_id')!r} is not in the manifest", "add it to recordings"
        )
    begin = _seconds(one, "start") or 0.0
    row = _spoken(root, label, recording, one, begin, _seconds(one, "duration"))
    return replace(row, id=_id(one))


def _spoken(
    root: Path,
    label: str,
    recording: dict[str, Any],
    one: dict[str, Any],
    begin: float,
    length: float | None,
) -> Row:
    audio = _source(root, recording)
    whole = _seconds(recording, "duration") or 0.0
    full = begin <= _SLACK_S and (length is None or length >= whole - _SLACK_S)
    _check_rate(audio, recording)
    return Row(
        label,
        text=_text(one, "text"),
        audio=audio if full else stretch(audio, begin, length, label),
        language=_language(one.get("language")),
        speaker=one.get("speaker") if isinstance(one.get("speaker"), str) else None,
        group=str(recording.get("id")),
    )


def _language(value: Any) -> str | None:
    """lhotse's recipes write English names as often as codes."""
    named = {
        "english": "en",
        "chinese": "zh",
        "mandarin": "zh",
        "japanese": "ja",
        "german": "de",
        "french": "fr",
        "spanish": "es",
    }
    return named.get(value.lower(), value) if isinstance(value, str) and value else None


def _source(root: Path, recording: dict[str, Any]) -> Path:
    sources = recording.get("sources")
    if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
        raise RowRefused("not one source of the recording", "give one file for all channels")
    if sources[0].get("type") != "file":
        kind = sources[0].get("type")
        raise RowRefused(f"a source of type {kind!r}", "save the recording as a file")
    return inside(root, _text(sources[0], "source"))


def _check_rate(audio: Path, recording: dict[str, Any]) -> None:
    """A file of another rate than its manifest says was changed since, and its times may be wrong."""
    import soundfile

    said = recording.get("sampling_rate")
    try:
        rate = soundfile.info(audio).samplerate
    except (soundfile.LibsndfileError, OSError, TypeError):
        return  # other formats, and files that cannot be read: told where they are decoded
    if said is not None and said != rate:
        raise RowRefused(
            f"the recording is at {rate} Hz, its manifest says {said} Hz", "make the manifest anew"
        )


def stretch(path: Path, start: float, length: float | None, label: str) -> EncodedAudio:
    """[start, start + length) of a recording, in seconds, to its end for None; RowRefused where it does not lie
    in it."""
    import soundfile

    if not path.is_file():
        raise RowRefused(f"{path.name}: no such file", "add it, or delete the row")
    try:
        samples, rate = read_audio(path)
    except BrokenAudio as error:
        raise RowRefused(str(error), "record it again, or delete the row") from None
    seconds = len(samples) / rate
    end = seconds if length is None else start + length
    if not 0 <= start < end <= seconds + _SLACK_S:
        told = f"{start:g} s to {end:g} s of {seconds:g} s"
        raise RowRefused(f"the stretch {told} does not lie in {path.name}", "put its times right")
    held = io.BytesIO()
    part = samples[round(start * rate) : round(end * rate)]
    soundfile.write(held, part, rate, format="FLAC", subtype="PCM_16")
    return EncodedAudio(f"{label} {path.stem}.flac", held.getvalue())


def read_common_voice(root: Path) -> Iterator[Read]:
    """Splits are those of the tables' names; raises BadImport for none."""
    tables = [root / f"{name}.tsv" for name in _TABLES]
    found = [one for one in tables if one.is_file()] or [root / "validated.tsv"]
    for path in found:
        if not path.is_file():
            raise BadImport(f"{root}: no train.tsv, dev.tsv, test.tsv or validated.tsv")
        yield from _common_voice_table(root, path)


def _common_voice_table(root: Path, path: Path) -> Iterator[Read]:
    names: list[str] = []
    for number, line, place in placed_lines(path):
        label = f"{path.name}:{number}"
        if isinstance(line, Refusal):
            yield line
        elif not names:
            names = line.split("\t")
            if not {"path", "sentence"} <= set(names):
                raise BadImport(
                    f"{path}: no columns path and sentence: it is no table of Common Voice"
                )
        else:
            try:
                yield _common_voice_row(root, path, label, names, line.split("\t"))
            except RowRefused as refused:
                yield refused.of(label, place)


def _common_voice_row(
    root: Path, path: Path, label: str, names: list[str], fields: list[str]
) -> Row:
    if len(fields) != len(names):
        raise RowRefused(f"{len(fields)} fields where {len(names)} are named", "write as many")
    values = dict(zip(names, fields, strict=True))
    clip = inside(root, f"clips/{values['path']}")
    return Row(
        label,
        text=values["sentence"],
        audio=clip,
        language=values.get("locale") or None,
        speaker=values.get("client_id") or None,
        split=split_named(path.stem) if is_split(path.stem) else None,
        id=values["path"],
    )


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Any] | Refusal, Lines]]:
    for number, line, place in placed_lines(path):
        label = f"{path.name}:{number}"
        if isinstance(line, Refusal):
            yield label, line, place
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = f"not JSON ({str(error).splitlines()[0]})"
            yield label, Refusal(label, reason, "write one JSON object a line", place), place
            continue
        if isinstance(values, dict):
            yield label, values, place
        else:
            reason = f"a JSON {type(values).__name__}"
            yield label, Refusal(label, reason, "write one JSON object a line", place), place


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value:
        told = "missing" if value is None else f"a {type(value).__name__}, not text"
        raise RowRefused(f"{name} is {told}", f"write {name} as text")
    return value


def _seconds(values: dict[str, Any], name: str) -> float | None:
    value = values.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise RowRefused(f"{name} is {value!r}, not a time", "write seconds from 0")
    return float(value)


def manifest_kind(path: Path) -> str | None:
    """ "nemo" or "lhotse" by the keys of the first line; None for others."""
    for _, values, _ in _objects(path):
        if isinstance(values, Refusal):
            return None
        if "audio_filepath" in values:
            return "nemo"
        return "lhotse" if "supervisions" in values or "recording" in values else None
    return None


def read_verl(path: Path) -> Iterator[Read]:
    """Prompts of verl's Parquet files: what the user is asked, the instruction, the ground truth as reference."""
    from trivox.pipelines.imports.tables import read_table

    for row in read_table(path, "parquet"):
        if isinstance(row, Refusal):
            yield row
            continue
        try:
            yield _verl_row(row.label, row.values, row.split)
        except RowRefused as refused:
            yield refused.of(row.label, row.values)


def _verl_row(label: str, values: dict[str, Any], split: str | None) -> Row:
    messages, info = values.get("prompt"), values.get("extra_info") or {}
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise RowRefused("prompt is no list of messages", "write role and content of each")
    said = {
        role: [m.get("content") for m in messages if m.get("role") == role]
        for role in ("system", "user")
    }
    if len(said["user"]) != 1 or not isinstance(said["user"][0], str):
        raise RowRefused("not one message of the user", "dialogues are imported as a manifest")
    truth = (values.get("reward_model") or {}).get("ground_truth")
    text, named = said["user"][0], info.get("split") or split
    return Row(
        label,
        text=text,
        language=_verl_language(info.get("trivox")),
        group=info.get("group"),
        split=split_named(named) if named and is_split(named) else None,
        instruction=said["system"][0] if said["system"] else None,
        reference_text=truth if isinstance(truth, str) and truth != text else None,
    )


def _verl_language(held: Any) -> str | None:
    """Of a row that was exported here."""
    try:
        return str(json.loads(held)["records"]["prompt"]["languages"][0])
    except (TypeError, ValueError, KeyError, IndexError):
        return None
