"""Rows of SpeechJudge-Data (arXiv 2511.07931): two clips of one text and what each rater preferred.

Columns read: index, language_setting (`en2zh`: the text's language comes last), target_text, audioA and audioB
(struct with bytes, or path), rater and naturalness_annotation (lists side by side: `A+2`, `B+1`, `Tie (…)`).
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from trivox.annotation.imports.report import Imported, RefusedRow
from trivox.annotation.imports.rows import Row, made, store
from trivox.annotation.people.audit import By
from trivox.platform.audio.io import decode_audio
from trivox.platform.errors import BadImport, TrivoxError
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Branch,
    Campaign,
    FinishReason,
    JudgeKind,
    Judgement,
    Prompt,
    Rollout,
    Sampling,
    Task,
    TaskKind,
    Tie,
)
from trivox.platform.store import Workspace

COLUMNS = (
    "index",
    "language_setting",
    "target_text",
    "audioA",
    "audioB",
    "rater",
    "naturalness_annotation",
)
TIES = {
    "Tie (both very good)": Tie.BOTH_GOOD,
    "Tie (both not good)": Tie.BOTH_BAD,
    "Tie (missing reason)": Tie.CANNOT_TELL,
}
LANGUAGES = {"en": ("en",), "zh": ("zh",), "mixed": ("zh", "en")}
PUBLISHED = datetime(2025, 11, 11, tzinfo=UTC)
"""Rows have no times of their own."""
_PREFERENCE = re.compile(r"([AB])\+([123])")


def import_speechjudge(
    workspace: Workspace, by: By, path: Path, licence: str = "CC-BY-NC-4.0"
) -> Imported:
    """Take a Parquet file of the data set: audio, prompts, rollouts, tasks in a campaign of their own, judgements.

    Raises BadImport for a file of another form.
    """
    campaign = _campaign(workspace)
    judgements: list[Judgement] = []
    refused: list[RefusedRow] = []
    workspace.records.add(campaign)
    for number, row in enumerate(_rows(path), 1):
        try:
            judgements += _take(workspace, campaign, row, path.parent, licence)
        except (TrivoxError, OSError) as error:
            refused.append(RefusedRow(number, str(error)))
    return store(workspace, by, judgements, refused)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        held = pl.scan_parquet(path)
        missing = [name for name in COLUMNS if name not in held.collect_schema()]
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadImport(f"{path}: no Parquet file: {error}") from None
    if missing:
        raise BadImport(f"{path}: no column {missing[0]!r}: SpeechJudge has {', '.join(COLUMNS)}")
    yield from held.select(COLUMNS).collect().iter_rows(named=True)


def _campaign(workspace: Workspace) -> Campaign:
    return Campaign(
        id=derived_id("cp", workspace.project, "speechjudge"),
        project=workspace.project,
        name="SpeechJudge",
        branch=Branch.TTS,
        guideline="Which clip sounds more natural?",
        guideline_version=1,
        languages=("en", "zh"),
        overlap=2,
        created_at=PUBLISHED,
        budget=0,  # nobody here is asked: the answers are there
    )


def _take(
    workspace: Workspace, campaign: Campaign, row: dict[str, Any], folder: Path, licence: str
) -> list[Judgement]:
    languages = LANGUAGES.get(str(row["language_setting"]).rpartition("2")[2])
    if languages is None or not row["target_text"]:
        raise BadImport(f"language_setting {row['language_setting']!r}: ends in en, zh or mixed")
    answers = _answers(row)
    prompt = Prompt.of(Branch.TTS, languages, text=row["target_text"])
    rollouts = [
        _rollout(workspace, prompt, row, side, place, folder, licence)
        for place, side in enumerate(("audioA", "audioB"))
    ]
    items = tuple(one.id for one in rollouts)
    task = Task(
        id=derived_id("task", campaign.id, prompt.id, *items),
        project=workspace.project,
        campaign=campaign.id,
        kind=TaskKind.COMPARE,
        prompt=prompt.id,
        items=items,
        question="naturalness@1",
        language=languages[0],
        overlap=len(answers),
    )
    workspace.records.add(prompt, task)
    workspace.tables.write(
        rollouts, branch=Branch.TTS, round="speechjudge", part=derived_id("sj", *items)
    )
    return [
        made(
            workspace,
            task,
            Row(task=task.id, judge=judge, answer="import", created_at=PUBLISHED),
            answer,
            items,
            JudgeKind.HUMAN,
        )
        for judge, answer in answers
    ]


def _answers(row: dict[str, Any]) -> list[tuple[str, Answer]]:
    raters, said = row["rater"] or [], row["naturalness_annotation"] or []
    if not raters or len(raters) != len(said):
        raise BadImport(f"{len(raters)} raters and {len(said)} annotations: as many of each")
    return [(str(rater), _answer(word)) for rater, word in zip(raters, said, strict=True)]


def _answer(word: str) -> Answer:
    """`A+2` -> 2 for the first; `B+1` -> -1; the ties by name."""
    if word in TIES:
        return Answer(AnswerKind.TIE, tie=TIES[word])
    match = _PREFERENCE.fullmatch(word)
    if match is None:
        raise BadImport(f"annotation {word!r}: A+1 to B+3, or {', '.join(TIES)}")
    strength = int(match[2])
    return Answer(AnswerKind.COMPARISON, comparison=strength if match[1] == "A" else -strength)


def _rollout(
    workspace: Workspace,
    prompt: Prompt,
    row: dict[str, Any],
    side: str,
    place: int,
    folder: Path,
    licence: str,
) -> Rollout:
    data = _bytes(row[side], folder)
    samples, rate = decode_audio(data, f"{row['index']} {side}")
    audio = workspace.audio.put(
        samples, rate, project=workspace.project, source="speechjudge", licence=licence
    )
    workspace.records.add(audio)
    return Rollout(
        id=derived_id("ro", "speechjudge", workspace.project, prompt.id, audio.id, place),
        project=workspace.project,
        round=None,
        branch=Branch.TTS,
        prompt=prompt.id,
        producer="external:speechjudge",
        seed=0,
        index=place,
        sampling=Sampling(),
        engine="external",
        dtype="none",
        tokens=(),
        segments=(),
        logprobs=(),
        finish_reason=FinishReason.END,
        audio=audio.id,
    )


def _bytes(held: Any, folder: Path) -> bytes:
    """Of `{bytes, path}` as datasets writes it, or of a path below the file's folder."""
    given, path = (held["bytes"], held["path"]) if isinstance(held, dict) else (None, held)
    if given is not None:
        return bytes(given)
    place = (folder / str(path)).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise BadImport(f"audio {path!r} lies outside {folder}")
    return place.read_bytes()
