"""What judgements come to: the yield before anyone commits, preference sets, judgements to take along."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trivox.annotation.aggregation import Method, Yield, aggregate, preview, standing
from trivox.annotation.imports.rows import Row
from trivox.annotation.leads.campaigns import campaign_of
from trivox.annotation.leads.hours import plain
from trivox.annotation.people.audit import By, note
from trivox.annotation.work.report import counted, every_judgement, voided
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import (
    JudgeKind,
    Judgement,
    PreferenceSet,
    Purpose,
    Task,
)
from trivox.platform.store import Workspace
from trivox.platform.store.rows import codec_of

COUNTED = (Purpose.JUDGE, Purpose.ADJUDICATE)
CSV_HEAD = tuple(Row.model_fields)


@dataclass(frozen=True)
class Wanted:
    """How judgements become preferences; see `aggregate`."""

    method: Method
    min_margin: float
    min_confidence: float
    heard_only: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for thresholds that nothing could reach."""
        for name, most in (("min_margin", 3), ("min_confidence", 1)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise UsageError(f"{name} is {value}: give 0 to {most}")


def method_named(name: str) -> Method:
    """Raises UsageError that lists those there are."""
    if name not in set(Method):
        raise UsageError(f"method is {name!r}: one of {', '.join(Method)}")
    return Method(name)


def _given(workspace: Workspace, id: str) -> tuple[list[Task], list[Judgement]]:
    """Comparisons of a campaign without controls, and people's judgements that stand, an expert's among them."""
    campaign = campaign_of(workspace, id)
    tasks = counted(workspace, campaign).comparisons
    every = standing(every_judgement(workspace, campaign), voided(workspace, campaign))
    people = [one for one in every if one.judge_kind is JudgeKind.HUMAN]
    return tasks, [one for one in people if one.purpose in COUNTED]


def yields(workspace: Workspace, campaign: str) -> list[Yield]:
    """How many preferences each method keeps at each threshold; nothing is stored. Raises NotFound."""
    return preview(*_given(workspace, campaign))


def commit(workspace: Workspace, by: By, campaign: str, wanted: Wanted) -> PreferenceSet:
    """Store the preferences of a campaign; the same judgements and thresholds again are the same set.

    Raises NotFound.
    """
    tasks, judgements = _given(workspace, campaign)
    made = aggregate(
        tasks,
        judgements,
        project=workspace.project,
        round=campaign_of(workspace, campaign).round,
        min_margin=wanted.min_margin,
        min_confidence=wanted.min_confidence,
        method=wanted.method,
        heard_only=wanted.heard_only,
    )
    with workspace.records.exclusive("audit"):
        if workspace.records.add(made):
            note(
                workspace, by, "commit preferences", "PreferenceSet", made.id,
                campaign=campaign, method=made.method, preferences=len(made.preferences),
            )  # fmt: skip
    return made


def sets(workspace: Workspace) -> list[PreferenceSet]:
    """The preference sets of the project, the oldest first."""
    return workspace.records.find(PreferenceSet, project=workspace.project)


def set_of(workspace: Workspace, id: str) -> PreferenceSet:
    found = workspace.records.find(PreferenceSet, id=id, project=workspace.project)
    if not found:
        raise NotFound(f"no preference set {id!r} in project {workspace.project}")
    return found[0]


def to_jsonl(workspace: Workspace, campaign: str) -> Iterator[str]:
    """Every judgement of a campaign in full, a JSON object a line, oldest first.

    counts: whether it stands, superseded by none and not struck out. Checks of the judge are among them.
    """
    held = campaign_of(workspace, campaign)
    every, struck = every_judgement(workspace, held), voided(workspace, held)
    replaced = {one.supersedes for one in every} | struck
    codec = codec_of(Judgement)
    return (
        json.dumps({**codec.row(one), "counts": one.id not in replaced}, default=str, ensure_ascii=False) + "\n"
        for one in every
    )  # fmt: skip


def to_csv(workspace: Workspace, campaign: str) -> str:
    """People's judgements of comparisons that stand, with the columns that an import takes."""
    tasks, judgements = _given(workspace, campaign)
    known = {task.id: task for task in tasks}
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(CSV_HEAD)
    for one in judgements:
        if one.task in known:
            row = _row(known[one.task], one)
            writer.writerow([row[name] for name in CSV_HEAD])
    return file.getvalue()


def _row(task: Task, one: Judgement) -> dict[str, str]:
    said = one.answer
    tie = said.tie.value if said.tie is not None else "skip"
    return {
        "task": one.task,
        "judge": one.judge,
        "answer": tie if said.comparison is None else str(said.comparison),
        "created_at": one.created_at.isoformat(),
        "shown_first": "1" if one.presentation == task.items else "2",
        "reasons": " ".join(one.reasons),
        "comment": plain(one.comment or ""),
    }


def write_judgements(workspace: Workspace, campaign: str, file: Path) -> int:
    """Write them as the file's ending says, .csv or .jsonl; how many. Raises UsageError for another ending."""
    if file.suffix == ".csv":
        text = to_csv(workspace, campaign)
        file.write_text(text, encoding="utf-8", newline="")
        return sum(1 for _ in csv.reader(io.StringIO(text))) - 1
    if file.suffix != ".jsonl":
        raise UsageError(f"{file}: end the file's name in .csv or .jsonl")
    lines = list(to_jsonl(workspace, campaign))
    file.write_text("".join(lines), encoding="utf-8")
    return len(lines)
