"""`trivox data describe`: clips of a prompt set, folder or manifest, and the folder of descriptions made of them.

`manifest.jsonl` with `audio/` is for `trivox data import`; `measures.jsonl` has the prosody of each clip,
`dropped.jsonl` what has no description, and why; `voices.json` the medians that the words refer to.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from trivox.pipelines.descriptions.annotate import (
    DescriptionConfig,
    Descriptions,
    Recognise,
    SpokenClip,
    annotate,
)
from trivox.pipelines.descriptions.inline import TimedWord
from trivox.pipelines.imports.layouts import Layout, detect, read_rows
from trivox.pipelines.imports.rows import EncodedAudio, Refusal, Row, RowRefused, clean_text
from trivox.platform.audio.io import Samples, decode_audio, read_audio, write_wav
from trivox.platform.errors import BadImport, ConfigError, NotFound
from trivox.platform.progress import progress
from trivox.platform.records import Audio, Prompt, PromptItem, PromptSet, Speaker
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically

MANIFEST = "manifest.jsonl"
Times = Mapping[str, tuple[TimedWord, ...]]


@dataclass(frozen=True)
class Source:
    """A clip with what its manifest row repeats: language, licence, group, split; refusal: why there is none."""

    clip: SpokenClip | None
    row: dict[str, Any]
    refusal: Refusal | None = None


@dataclass(frozen=True)
class DescribedFolder:
    """dropped: clips without description by reason, rows that no clip could be made of among them."""

    manifest: Path
    descriptions: Descriptions
    dropped: dict[str, int]


def from_source(source: str, times: Times, language: str) -> Iterator[Source]:
    """Clips of a folder, manifest or dataset in a layout that `trivox data import` knows. language: of rows that
    name none. Raises NotFound, BadImport."""
    root = Path(source) if Path(source).is_dir() else Path(source).parent
    for read in read_rows(source, detect(source, Layout.AUTO)):
        if isinstance(read, Refusal):
            yield Source(None, {}, read)
        elif isinstance(read, Row):
            yield _of_row(read, root, times, language)


def from_prompt_set(ws: Workspace, prompt_set: PromptSet, times: Times) -> Iterator[Source]:
    """Clips of the prompts that have a recording and its text; the others are refused."""
    for item in prompt_set.items:
        prompt = ws.records.get(Prompt, item.prompt)
        try:
            yield _of_prompt(ws, prompt_set.name, prompt, item, times)
        except RowRefused as refused:
            yield Source(None, {}, refused.of(prompt.id))


def read_ctm(path: Path) -> dict[str, tuple[TimedWord, ...]]:
    """Word times by clip, of a file in NIST's CTM form: `clip channel begin duration word [confidence]`, seconds.

    Raises NotFound for no such file, ConfigError for a line of another form.
    """
    if not path.is_file():
        raise NotFound(f"{path}: no such file: give word times, one word a line")
    found: dict[str, list[TimedWord]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith(";;"):
            continue
        name, word = _ctm_word(path, number, line)
        found.setdefault(name, []).append(word)
    return {name: tuple(sorted(words, key=lambda w: w.begin_s)) for name, words in found.items()}


def describe_folder(
    sources: Iterable[Source],
    out: Path,
    config: DescriptionConfig,
    recognise: Recognise | None = None,
) -> DescribedFolder:
    """Describe the clips and write the folder.

    Raises ConfigError when out holds a manifest already, BadImport when no clip is described, DiskFull.
    """
    if (out / MANIFEST).exists():
        raise ConfigError(f"{out} holds descriptions already: give another folder")
    read = list(sources)
    clips = {one.clip.name: one for one in read if one.clip}
    found = annotate(
        (one.clip for one in progress(read, "describing") if one.clip), config, recognise
    )
    refused = [one.refusal for one in read if one.refusal]
    reasons = Counter([*("refused" for _ in refused), *(d.failure.kind for d in found.dropped)])
    if not found.described:
        counted = ", ".join(f"{count} {kind}" for kind, count in reasons.items()) or "no clips"
        raise BadImport(f"no clip could be described: {counted}: give clips with texts and voices")
    _write(out, found, clips, refused)
    return DescribedFolder(out / MANIFEST, found, dict(reasons))


def _of_row(row: Row, root: Path, times: Times, language: str) -> Source:
    try:
        text = clean_text(row.reference_text or row.text or "")
        if row.audio is None:
            raise RowRefused("no recording", "name one, or leave the row out")
    except RowRefused as refused:
        return Source(None, {}, refused.of(row.label))
    name = _name(row, root)
    clip = SpokenClip(
        name,
        text,
        row.speaker or root.name,
        partial(_read, row.audio),
        times.get(name),
        row.language or language,
    )
    split = row.split.value if row.split else None
    return Source(clip, {"group": row.group, "split": split, "licence": row.licence})


def _of_prompt(ws: Workspace, name: str, prompt: Prompt, item: PromptItem, times: Times) -> Source:
    audio, text = prompt.reference_audio or prompt.audio, prompt.text or prompt.reference_text
    if audio is None or not text:
        missing = "recording" if audio is None else "text"
        raise RowRefused(f"the prompt has no {missing}", "describe prompts that were recorded")
    record = ws.records.get(Audio, audio)
    speaker = ws.records.get(Speaker, record.speaker) if record.speaker else None
    if speaker and speaker.revoked_at is not None:
        raise RowRefused(f"speaker {speaker.name!r} revoked consent", "leave the recording out")
    clip = SpokenClip(
        prompt.id,
        text,
        speaker.name if speaker else name,
        partial(ws.audio.read, audio),
        times.get(prompt.id),
        prompt.languages[0],
    )
    licence = item.licence or record.licence
    return Source(clip, {"group": item.group, "split": item.split.value, "licence": licence})


def _name(row: Row, root: Path) -> str:
    """The recording's path below root without its suffix."""
    if not isinstance(row.audio, Path):
        return row.label
    return row.audio.resolve().relative_to(root.resolve()).with_suffix("").as_posix()


def _read(audio: Path | EncodedAudio) -> tuple[Samples, int]:
    if isinstance(audio, EncodedAudio):
        return decode_audio(audio.data, audio.name)
    return read_audio(audio)


def _ctm_word(path: Path, number: int, line: str) -> tuple[str, TimedWord]:
    fields = line.split()
    try:
        name, _, begin, duration, word = fields[:5]
        begin_s, duration_s = float(begin), float(duration)
        if not (begin_s >= 0 and duration_s >= 0):
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{path}:{number}: {line[:60]!r}: write `clip channel begin duration word`, in seconds"
        ) from None
    return name, TimedWord(word, begin_s, begin_s + duration_s)


def _write(
    out: Path, found: Descriptions, sources: Mapping[str, Source], refused: list[Refusal]
) -> None:
    """The manifest is written last: its presence says that the folder is complete."""
    (out / "audio").mkdir(parents=True, exist_ok=True)
    rows, measures = list[dict[str, Any]](), list[dict[str, Any]]()
    for index, one in enumerate(found.described):
        audio = f"audio/{index:06d}.wav"
        write_wav(out / audio, *one.clip.read())
        row = {
            "id": one.clip.name,
            "text": one.directed.text,
            "audio": audio,
            "language": one.clip.language,
            "speaker": one.clip.voice,
            "instruction": one.instruction or None,
            "inline_instructions": one.directed.spans or None,
            **sources[one.clip.name].row,
        }
        rows.append({key: value for key, value in row.items() if value is not None})
        measured = asdict(replace(one.prosody, failures=dict(one.prosody.failures)))
        measures.append({"id": one.clip.name, "error_rate": one.error_rate, **measured})
    dropped = [{"id": d.clip.name, **asdict(d.failure)} for d in found.dropped]
    dropped += [
        {"id": r.row, "kind": "refused", "message": f"{r.reason}: {r.remedy}"} for r in refused
    ]
    voices = {name: asdict(one) for name, one in found.voices.items()}
    write_atomically(out / "voices.json", json.dumps(voices, ensure_ascii=False, indent=2).encode())
    for name, lines in (("measures.jsonl", measures), ("dropped.jsonl", dropped), (MANIFEST, rows)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_atomically(out / name, text.encode())
