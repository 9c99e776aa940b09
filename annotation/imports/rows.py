"""Judgements of tasks that are in the store, as CSV or JSONL."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from trivox.annotation.imports.report import AGAIN, TOLD, Imported, RefusedRow
from trivox.annotation.people.audit import By, note
from trivox.annotation.work.states import recount
from trivox.platform.errors import BadImport
from trivox.platform.hashing import derived_id
from trivox.platform.records import Answer, AnswerKind, JudgeKind, Judgement, Task, TaskKind, Tie
from trivox.platform.store import Workspace

Name = Annotated[str, Field(min_length=1, max_length=200)]
Form = Literal["csv", "jsonl"]
STRENGTHS = ("3", "2", "1", "-1", "-2", "-3")
BATCH = 1000
"""Rows in memory at once."""


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


@dataclass(frozen=True)
class Unread:
    """Why a row cannot be read, and what to do about it."""

    reason: str
    remedy: str = AGAIN


@dataclass(frozen=True)
class Raw:
    """A row as it was read; held: where it stands, as its reader knows it, to find what was refused."""

    values: dict[str, Any] | Unread
    held: Any = None


Keep = Callable[[RefusedRow, Raw], None]


def read_rows(text: str, form: Form) -> list[Raw]:
    """The rows of a text. Raises BadImport for no rows."""
    lines = io.StringIO(text.removeprefix("\ufeff"))  # by \n alone: a comment may hold U+2028
    return list(rows_of(((line, None) for line in lines), form))


def rows_of(lines: Iterable[tuple[str | Unread, Any]], form: Form) -> Iterator[Raw]:
    """The rows of lines, each with what its source holds of it, one at a time; that of a CSV row of several lines
    is a list. Raises BadImport for no rows."""
    found = False
    for found_row in _csv(iter(lines)) if form == "csv" else _jsonl(lines):
        found = True
        yield found_row
    if not found:
        raise BadImport(f"no rows: give {form} with {', '.join(Row.model_fields)}")


class _Feed:
    """Lines as csv wants them; what was consumed since the last row is remembered."""

    def __init__(self, lines: Iterator[tuple[str | Unread, Any]]) -> None:
        self._lines = lines
        self.held: list[Any] = []
        self.bad: list[Raw] = []

    def __iter__(self) -> Iterator[str]:
        for line, held in self._lines:
            if isinstance(line, Unread):
                self.bad.append(Raw(line, [held]))
                continue
            self.held.append(held)
            yield line if line.endswith("\n") else f"{line}\n"

    def taken(self) -> list[Any]:
        held, self.held = self.held, []
        return held

    def unread(self) -> list[Raw]:
        bad, self.bad = self.bad, []
        return bad


def _csv(lines: Iterator[tuple[str | Unread, Any]]) -> Iterator[Raw]:
    """A field beyond csv's limit (128 kB: a quote that is not closed) is refused with its lines, and reading goes
    on after them."""
    feed = _Feed(lines)
    head: Sequence[str] | None = None
    while True:
        reader = csv.DictReader(iter(feed), fieldnames=head)
        try:
            head = reader.fieldnames
            feed.taken()
            for row in reader:
                yield from feed.unread()
                yield Raw(_whole(row), feed.taken())
            yield from feed.unread()
            return
        except csv.Error as error:
            yield from feed.unread()
            yield Raw(Unread(f"no CSV: {error}", "close the quotes of the row"), feed.taken())
            if head is None:
                return


def _whole(row: dict[str, Any]) -> dict[str, Any] | Unread:
    if None in row or None in row.values():
        told = "another number of fields than the first line"
        return Unread(told, "give each field of the first line, empty ones too")
    return {name: value for name, value in row.items() if value}


def _jsonl(lines: Iterable[tuple[str | Unread, Any]]) -> Iterator[Raw]:
    """A row of a quarantine is what stands there as `values`, mended."""
    for line, held in lines:
        if isinstance(line, Unread):
            yield Raw(line, held)
            continue
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Raw(Unread(f"no JSON: {error}", "write one JSON object a line"), held)
            continue
        if isinstance(row, dict) and "reason" in row and isinstance(row.get("values"), dict):
            row = row["values"]
        bad = Unread("no JSON object", "write {…} with the keys of a judgement")
        yield Raw(row if isinstance(row, dict) else bad, held)


def import_rows(
    workspace: Workspace,
    by: By,
    rows: Iterable[dict[str, Any] | Raw],
    kind: JudgeKind = JudgeKind.HUMAN,
    *,
    size: int = BATCH,
    keep: Keep = lambda refused, raw: None,
) -> Imported:
    """Take what is good, size rows at a time, so that memory is bounded by that; the same rows again take nothing.
    kind: who judged, for all rows. keep: is given each refused row as it was read."""
    taken = repeated = number = refusals = 0
    listed: list[RefusedRow] = []
    source = iter(rows)
    while some := list(islice(source, size)):
        good, refused = _sorted(workspace, some, number, kind, keep)
        told = store(workspace, by, good, refused)
        taken, repeated = taken + told.taken, repeated + told.repeated
        listed += refused[: max(0, TOLD - len(listed))]
        number, refusals = number + len(some), refusals + len(refused)
    return Imported(taken, repeated, tuple(listed), refusals - len(listed))


def _sorted(
    workspace: Workspace,
    rows: Sequence[dict[str, Any] | Raw],
    before: int,
    kind: JudgeKind,
    keep: Keep,
) -> tuple[list[Judgement], list[RefusedRow]]:
    good, refused = list[Judgement](), list[RefusedRow]()
    for number, row in enumerate(rows, before + 1):
        raw = row if isinstance(row, Raw) else Raw(row)
        taken = _judgement(workspace, raw.values, kind)
        if isinstance(taken, Judgement):
            good.append(taken)
            continue
        refused.append(RefusedRow(number, taken.reason, taken.remedy))
        keep(refused[-1], raw)
    return good, refused


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


def _judgement(
    workspace: Workspace, raw: dict[str, Any] | Unread, kind: JudgeKind
) -> Judgement | Unread:
    """The judgement of a row, or why there is none."""
    if isinstance(raw, Unread):
        return raw
    try:
        row = Row.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the row"
        return Unread(f"{where}: {first['msg']}", f"give {', '.join(Row.model_fields)}")
    found = workspace.records.find(Task, id=row.task, project=workspace.project)
    if not found or found[0].kind is not TaskKind.COMPARE:
        remedy = "name a task of a campaign of this project that compares two replies"
        return Unread(f"task {row.task!r} is no comparison of this project", remedy)
    answer = answer_of(row.answer)
    if answer is None:
        words = ", ".join((*STRENGTHS, *Tie, "skip"))
        return Unread(f"answer {row.answer!r} is none of {words}", "write one of those")
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
