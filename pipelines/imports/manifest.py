"""Reader of JSONL manifests: one JSON object a line.

| key            | meaning                                                                          |
|----------------|----------------------------------------------------------------------------------|
| id             | the row's own name, once in the file; for reports only                           |
| text           | asr: what is said. tts: what is to be said. realtime: what the user says          |
| audio          | path of the recording, relative to the manifest's folder; asr: required;         |
|                | realtime: the reply                                                              |
| language       | BCP-47, such as `zh-CN`; otherwise the import's                                   |
| speaker        | name of the voice                                                                |
| licence        | SPDX name or free text; otherwise the import's                                   |
| group          | rows of one group never fall in two splits                                       |
| split          | train, validation or test; otherwise divided by the import                       |
| instruction    | how it should be said or written                                                 |
| inline_instructions | tts: list of [start, end, directive] in characters of text                  |
| reference_text | the reference answer; asr: otherwise text; realtime: the words of the reply      |
| voice          | tts: path of a recording of the voice to speak in; needs consent to clone         |
| voice_speaker  | tts: whose voice that is; otherwise speaker                                       |
| persona        | realtime: `name` or `name@version` of a registered persona                        |
| turns          | realtime: list of {"role": "user" or "assistant", "text", "audio", "speaker"},    |
|                | the last the user's; otherwise text is the one turn                               |

All are optional. A key that looks like a misspelt one of these refuses its row; others are listed in the
report and not read.
"""

import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from trivox.pipelines.imports.rows import (
    EncodedAudio,
    Read,
    Refusal,
    Remark,
    Row,
    RowRefused,
    RowTurn,
    inside,
    placed_lines,
    split_named,
)


class ManifestTurn(BaseModel):
    """One turn of `turns`; a key that is not one of these refuses its row."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["user", "assistant"]
    text: str | None = None
    audio: str | None = None
    speaker: str | None = None


class ManifestRow(BaseModel):
    """The schema; see the module's table."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    id: str | None = None
    text: str | None = None
    audio: str | None = None
    language: str | None = None
    speaker: str | None = None
    licence: str | None = None
    group: str | None = None
    split: str | None = None
    instruction: str | None = None
    inline_instructions: tuple[tuple[int, int, str], ...] | None = None
    reference_text: str | None = None
    voice: str | None = None
    voice_speaker: str | None = None
    persona: str | None = None
    turns: tuple[ManifestTurn, ...] = ()


def read_manifest(path: Path, audio_root: Path | None = None) -> Iterator[Read]:
    """Rows of a manifest; audio paths must lie below audio_root, by default the manifest's folder."""
    root = audio_root or path.parent
    unread: Counter[str] = Counter()
    for number, line, place in placed_lines(path):
        label = f"{path.name}:{number}"
        if isinstance(line, Refusal):
            yield line
            continue
        try:
            values = mended(_object(line))
            unread.update(unread_keys(values))
            yield to_row(validated_row(values), label, root)
        except RowRefused as refused:
            yield refused.of(label, place)
    yield from unread_remark(unread)


def mended(values: dict[str, Any]) -> dict[str, Any]:
    """The keys of a row; of a line of a quarantine those that stand in `values`."""
    if {"row", "reason", "remedy"} <= values.keys():
        held = values.get("values")
        if not isinstance(held, dict):
            raise RowRefused(
                "a refused row that is not mended", "write its keys and values under `values`"
            )
        named = {k: v["file"] for k, v in held.items() if isinstance(v, dict) and "file" in v}
        return held | named
    return values


def validated_row(values: Mapping[str, Any]) -> ManifestRow:
    """The values by the schema; RowRefused names the first wrong one."""
    try:
        return ManifestRow.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        remedy = (
            "write it as `trivox data import` describes it" if "." in key else "write it as text"
        )
        raise RowRefused(f"{key}: {first['msg']}", remedy) from None


def to_row(row: ManifestRow, label: str, root: Path, audio: EncodedAudio | None = None) -> Row:
    """A row of the schema with its paths and split understood; RowRefused."""
    named = inside(root, row.audio) if row.audio else None
    return Row(
        label,
        text=row.text,
        audio=audio or named,
        language=row.language,
        speaker=row.speaker,
        licence=row.licence,
        group=row.group,
        split=split_named(row.split) if row.split else None,
        instruction=row.instruction,
        inline_instructions=row.inline_instructions or (),
        reference_text=row.reference_text,
        voice=inside(root, row.voice) if row.voice else None,
        voice_speaker=row.voice_speaker,
        persona=row.persona,
        turns=tuple(_turn(turn, root) for turn in row.turns),
        id=row.id,
    )


def _turn(turn: ManifestTurn, root: Path) -> RowTurn:
    audio = inside(root, turn.audio) if turn.audio else None
    return RowTurn(turn.role, turn.text, audio, turn.speaker)


def unread_keys(values: Mapping[str, Any]) -> list[str]:
    """Keys outside the schema; RowRefused when one looks like a misspelt key of it."""
    known = list(ManifestRow.model_fields)
    unknown = [key for key in values if key not in known]
    for key in unknown:
        near = difflib.get_close_matches(
            key, [name for name in known if name not in values], 1, 0.8
        )
        if near:
            raise RowRefused(f"unknown key {key!r}", f"write {near[0]!r}")
    return unknown


def unread_remark(unread: Counter[str]) -> Iterator[Remark]:
    if unread:
        listed = ", ".join(f"{key} ({count} rows)" for key, count in sorted(unread.items()))
        known = ", ".join(ManifestRow.model_fields)
        yield Remark(f"keys that were not read: {listed}; those that are: {known}")


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = f"not JSON ({str(error).splitlines()[0]})"
        raise RowRefused(reason, "write one JSON object a line") from None
    if not isinstance(value, dict):
        raise RowRefused(f"a JSON {type(value).__name__}", "write one JSON object a line")
    return value
