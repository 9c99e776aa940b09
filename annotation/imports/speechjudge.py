"""Rows of SpeechJudge-Data (arXiv 2511.07931): two clips of one text and what each rater preferred.

Columns read: index, language_setting (`en2zh`: the text's language comes last), target_text, audioA and audioB
(struct with bytes, or path), rater and naturalness_annotation (lists side by side: `A+2`, `B+1`, `Tie (…)`).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, parquet

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
from trivox.platform.store.budgets import storage_check

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
BATCH = 100
"""Rows in memory at once, with their two clips."""
Keep = Callable[[RefusedRow, dict[str, Any] | None], None]
_PREFERENCE = re.compile(r"([AB])\+([123])")


def import_speechjudge(
    workspace: Workspace,
    by: By,
    source: Path,
    licence: str = "CC-BY-NC-4.0",
    *,
    size: int = BATCH,
    keep: Keep = lambda refused, values: None,
) -> Imported:
    """Take a Parquet file of the data set, or all of a folder: audio, prompts, rollouts, tasks in a campaign of
    their own, judgements. The same again takes nothing. Memory is bounded by size.

    keep: is given each refused row with its values (None: a file, from that row on). Raises BadImport for nothing
    that has SpeechJudge's columns, BudgetSpent (storage): what was taken by then stays.
    """
    taking = _Taking(workspace, _campaign(workspace), source, licence, keep)
    workspace.records.add(taking.campaign)
    taken = repeated = 0
    check_room = storage_check(workspace)
    for rows in _batches(source, size, taking.refuse):
        check_room()
        before = len(taking.refused)
        found = taking.take(rows)
        told = store(workspace, by, found, taking.refused[before:])
        taken, repeated = taken + told.taken, repeated + told.repeated
    return Imported(taken, repeated, tuple(taking.refused))


@dataclass(frozen=True)
class _Numbered:
    """row: counted from 1 through all files."""

    row: int
    values: dict[str, Any]


def _batches(source: Path, size: int, refuse: Keep) -> Iterator[list[_Numbered]]:
    """Rows of all files, size at a time. A file that cannot be read on costs no other, if one can be read."""
    files = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
    number, errors = 0, list[str]()
    for path in files:
        try:
            for rows in _rows(path, size):
                yield [_Numbered(number + place, row) for place, row in enumerate(rows, 1)]
                number += len(rows)
        except BadImport as error:
            errors.append(str(error))
            refuse(RefusedRow(number + 1, errors[-1]), None)
        except (OSError, ArrowException) as error:
            told = " ".join(str(error).split())[:200]
            errors.append(f"{path}: not a whole Parquet file ({told}): copy it again")
            refuse(RefusedRow(number + 1, errors[-1]), None)
    if not number:
        raise BadImport(errors[0] if errors else f"{source}: no rows: give SpeechJudge's Parquet")


def _rows(path: Path, size: int) -> Iterator[list[dict[str, Any]]]:
    with parquet.ParquetFile(path, buffer_size=1 << 20) as file:
        missing = [name for name in COLUMNS if name not in file.schema_arrow.names]
        if missing:
            raise BadImport(
                f"{path}: no column {missing[0]!r}: SpeechJudge has {', '.join(COLUMNS)}"
            )
        for batch in file.iter_batches(size, columns=list(COLUMNS)):
            yield batch.to_pylist()


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


@dataclass
class _Taking:
    workspace: Workspace
    campaign: Campaign
    source: Path
    licence: str
    keep: Keep
    refused: list[RefusedRow] = field(default_factory=list)

    def refuse(self, one: RefusedRow, values: dict[str, Any] | None) -> None:
        self.refused.append(one)
        self.keep(one, values)

    def take(self, rows: list[_Numbered]) -> list[Judgement]:
        """The judgements of rows, whose rollouts are one part of the round. They are stored before their tasks: a
        task that is there has its rollouts."""
        found: list[Judgement] = []
        new: dict[str, tuple[Prompt, Task, list[Rollout]]] = {}
        for one in rows:
            try:
                prompt, task, rollouts = self._question(one.values)
                found += [self._judgement(task, *said) for said in _answers(one.values)]
            except (TrivoxError, OSError, TypeError) as error:
                self.refuse(RefusedRow(one.row, str(error)), one.values)
                continue
            if not self.workspace.records.find(Task, id=task.id):
                new[task.id] = prompt, task, rollouts
        self._store(list(new.values()))
        return found

    def _store(self, new: list[tuple[Prompt, Task, list[Rollout]]]) -> None:
        if not new:
            return
        rollouts = {one.id: one for *_, both in new for one in both}
        part = derived_id("sj", *rollouts)
        self.workspace.tables.write(
            list(rollouts.values()), branch=Branch.TTS, round="speechjudge", part=part
        )
        prompts = {prompt.id: prompt for prompt, *_ in new}
        self.workspace.records.add(*prompts.values(), *(task for _, task, _ in new))

    def _question(self, row: dict[str, Any]) -> tuple[Prompt, Task, list[Rollout]]:
        languages = LANGUAGES.get(str(row["language_setting"]).rpartition("2")[2])
        if languages is None:
            raise BadImport(
                f"language_setting {row['language_setting']!r}: ends in en, zh or mixed"
            )
        if not row["target_text"] or not isinstance(row["target_text"], str):
            raise BadImport(f"target_text {row['target_text']!r}: write the text that is spoken")
        answers = len(_answers(row))
        prompt = Prompt.of(Branch.TTS, languages, text=row["target_text"])
        rollouts = [
            self._rollout(prompt, row, side, place)
            for place, side in enumerate(("audioA", "audioB"))
        ]
        items = tuple(one.id for one in rollouts)
        task = Task(
            id=derived_id("task", self.campaign.id, prompt.id, *items),
            project=self.workspace.project,
            campaign=self.campaign.id,
            kind=TaskKind.COMPARE,
            prompt=prompt.id,
            items=items,
            question="naturalness@1",
            language=languages[0],
            overlap=answers,
        )
        return prompt, task, rollouts

    def _judgement(self, task: Task, judge: str, answer: Answer) -> Judgement:
        row = Row(task=task.id, judge=judge, answer="import", created_at=PUBLISHED)
        return made(self.workspace, task, row, answer, task.items, JudgeKind.HUMAN)

    def _rollout(self, prompt: Prompt, row: dict[str, Any], side: str, place: int) -> Rollout:
        root = self.source if self.source.is_dir() else self.source.parent
        ws = self.workspace
        samples, rate = decode_audio(_bytes(row[side], root), f"{row['index']} {side}")
        audio = ws.audio.put(
            samples, rate, project=ws.project, source="speechjudge", licence=self.licence
        )
        ws.records.add(audio)
        return Rollout(
            id=derived_id("ro", "speechjudge", ws.project, prompt.id, audio.id, place),
            project=ws.project,
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


def _bytes(held: Any, folder: Path) -> bytes:
    """Of `{bytes, path}` as datasets writes it, or of a path below the file's folder."""
    given, path = (held["bytes"], held["path"]) if isinstance(held, dict) else (None, held)
    if given is not None:
        return bytes(given)
    try:
        place = (folder / str(path)).resolve()
    except ValueError:
        raise BadImport(f"audio {path!r} is not a path: name a file beside the table") from None
    if not place.is_relative_to(folder.resolve()):
        raise BadImport(f"audio {path!r} lies outside {folder}: copy it there")
    if not place.is_file():
        raise BadImport(f"audio {path!r}: no such file: copy it beside the table")
    return place.read_bytes()
