"""Judgements of tasks that are in the store, as CSV or JSONL."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from trivox.annotation.imports.report import Imported, RefusedRow
from trivox.annotation.people.audit import By, note
from trivox.annotation.work.states import recount
from trivox.platform.errors import BadImport
from trivox.platform.hashing import derived_id
from trivox.platform.records import Answer, AnswerKind, JudgeKind, Judgement, Task, TaskKind, Tie
from trivox.platform.store import Workspace

Name = Annotated[str, Field(min_length=1, max_length=200)]
STRENGTHS = ("3", "2", "1", "-1", "-2", "-3")


class Row(BaseModel):
    """answer: 3, 2, 1 (the task's first item is better), -1, -2, -3, or both_good, both_bad, cannot_tell, skip.

    judge: a name of its own for each person. shown_first: 1 or 2, which of the task's items was heard first.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    task: Name
    judge: Name
    answer: Name
    created_at: AwareDatetime
    shown_first: Literal["1", "2"] = "1"
    reasons: str = ""
    comment: Annotated[str, Field(max_length=4000)] = ""


def read_rows(text: str, form: Literal["csv", "jsonl"]) -> list[dict[str, Any] | str]:
    """The rows of a file; one that cannot be read is the reason why. Raises BadImport for no rows."""
    plain = text.removeprefix("\ufeff")
    try:
        rows = list(_csv(plain) if form == "csv" else _jsonl(plain))
    except csv.Error as error:
        raise BadImport(f"no CSV: {error}") from None
    if not rows:
        raise BadImport(f"no rows: give {form} with {', '.join(Row.model_fields)}")
    return rows


def _csv(text: str) -> Iterator[dict[str, Any] | str]:
    for row in csv.DictReader(io.StringIO(text)):
        whole = None not in row and None not in row.values()
        told = "another number of fields than the first line"
        yield {name: value for name, value in row.items() if value} if whole else told


def _jsonl(text: str) -> Iterator[dict[str, Any] | str]:
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield f"no JSON: {error}"
            continue
        yield row if isinstance(row, dict) else "no JSON object"


def import_rows(
    workspace: Workspace,
    by: By,
    rows: Sequence[dict[str, Any] | str],
    kind: JudgeKind = JudgeKind.HUMAN,
) -> Imported:
    """Take what is good; the same rows again take nothing. kind: who judged, for all rows."""
    good, refused = [], []
    for number, row in enumerate(rows, 1):
        taken = _judgement(workspace, row, kind)
        if isinstance(taken, Judgement):
            good.append(taken)
        else:
            refused.append(RefusedRow(number, taken))
    return store(workspace, by, good, refused)


def store(
    workspace: Workspace, by: By, good: Sequence[Judgement], refused: Sequence[RefusedRow]
) -> Imported:
    """Add judgements and put the counts of their tasks right."""
    with workspace.records.exclusive("audit"):
        taken = workspace.records.add(*good) if good else 0
        recount(workspace, {one.task for one in good})
        note(
            workspace, by, "import judgements", "Project", workspace.project,
            taken=taken, refused=len(refused),
        )  # fmt: skip
    return Imported(taken, len(good) - taken, tuple(refused))


def _judgement(workspace: Workspace, raw: dict[str, Any] | str, kind: JudgeKind) -> Judgement | str:
    """The judgement of a row, or why there is none."""
    if isinstance(raw, str):
        return raw
    try:
        row = Row.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the row'}: {first['msg']}"
    found = workspace.records.find(Task, id=row.task, project=workspace.project)
    if not found or found[0].kind is not TaskKind.COMPARE:
        return f"task {row.task!r} is no comparison of this project"
    answer = answer_of(row.answer)
    if answer is None:
        return f"answer {row.answer!r}: one of {', '.join((*STRENGTHS, *Tie, 'skip'))}"
    items = found[0].items if row.shown_first == "1" else found[0].items[::-1]
    return made(workspace, found[0], row, answer, items, kind)


def answer_of(word: str) -> Answer | None:
    if word in STRENGTHS:
        return Answer(AnswerKind.COMPARISON, comparison=int(word))
    if word in set(Tie):
        return Answer(AnswerKind.TIE, tie=Tie(word))
    return Answer(AnswerKind.ABSTENTION, abstention="skipped") if word == "skip" else None


def made(
    workspace: Workspace,
    task: Task,
    row: Row,
    answer: Answer,
    items: tuple[str, ...],
    kind: JudgeKind,
) -> Judgement:
    """Named by what it says, so that a second import of the same row is the same judgement."""
    moment = row.created_at.astimezone(UTC)
    label = f"{kind.value}:imported:{row.judge}"
    name = derived_id("jd", "import", workspace.project, task.id, label, moment.isoformat())
    return Judgement(
        id=name,
        project=workspace.project,
        task=task.id,
        judge_kind=kind,
        judge=label,
        answer=answer,
        presentation=items,
        idempotency_key=name,
        created_at=moment,
        reasons=tuple(row.reasons.split()),
        comment=row.comment or None,
        ui_version="import@1",
    )
