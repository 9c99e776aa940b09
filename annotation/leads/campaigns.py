"""Campaigns as leads make and change them, and the tasks and controls in them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
from ulid import ULID

from trivox.annotation.comparisons import OVERALL, make_comparisons
from trivox.annotation.leads import guidelines
from trivox.annotation.people.audit import By, note
from trivox.annotation.work.questions import ENGLISH, question
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Answer,
    Branch,
    Campaign,
    CampaignStatus,
    Control,
    Judgement,
    Prompt,
    Purpose,
    Rollout,
    Round,
    Task,
    TaskKind,
    WorkPlan,
)
from trivox.platform.store import Workspace

ITEMS = {TaskKind.COMPARE: (2, 2), TaskKind.RANK: (2, 20)}
CHECKS = (Purpose.TRAINING, Purpose.GOLD, Purpose.TRAP)


@dataclass(frozen=True)
class NewCampaign:
    """What a lead decides on. guideline and warning: language -> text, English always there in the guideline."""

    name: str
    branch: Branch
    languages: tuple[str, ...]
    guideline: dict[str, str]
    warning: dict[str, str] = field(default_factory=dict)
    overlap: int = 1
    budget: int | None = None
    round: str | None = None
    plan: WorkPlan = WorkPlan()


@dataclass(frozen=True)
class NewTask:
    """A question about items, ids of rollouts (none for a transcription of the prompt's own speech)."""

    kind: TaskKind
    prompt: str
    items: tuple[str, ...]
    question: str
    language: str
    overlap: int | None = None


def create(workspace: Workspace, by: By, wanted: NewCampaign) -> Campaign:
    """A new campaign, open, without tasks yet. Raises UsageError, NotFound for a round there is none of."""
    if wanted.round is not None:
        held = workspace.records.get(Round, wanted.round)
        if held.branch is not wanted.branch:
            raise UsageError(
                f"round {held.id} is of branch {held.branch.value}, the campaign of {wanted.branch.value}: "
                "make it of the round's branch"
            )
    campaign = Campaign(
        id=str(ULID()),
        project=workspace.project,
        name=wanted.name,
        branch=wanted.branch,
        guideline=wanted.guideline.get(ENGLISH, ""),
        guideline_version=1,
        languages=wanted.languages,
        overlap=wanted.overlap,
        created_at=datetime.now(UTC),
        round=wanted.round,
        budget=wanted.budget,
        plan=wanted.plan,
    )
    written = guidelines.first(campaign, by, wanted.guideline, wanted.warning)
    with workspace.records.exclusive("audit"):
        workspace.records.add(campaign, written)
        note(workspace, by, "create campaign", "Campaign", campaign.id, name=wanted.name)
    return campaign


def campaign_of(workspace: Workspace, id: str) -> Campaign:
    """A campaign of the project; NotFound for any other."""
    found = workspace.records.find(Campaign, id=id, project=workspace.project)
    if not found:
        raise NotFound(f"no campaign {id!r} in project {workspace.project}")
    return found[0]


def change(workspace: Workspace, by: By, id: str, **changes: Any) -> Campaign:
    """Change name, status, budget, languages or plan."""
    with workspace.records.exclusive("audit"):
        changed = replace(campaign_of(workspace, id), **changes)
        workspace.records.replace(changed)
        told = {"status": changed.status.value} if "status" in changes else {}
        note(workspace, by, "change campaign", "Campaign", id, fields=sorted(changes), **told)
    return changed


def close(workspace: Workspace, by: By, id: str) -> Campaign:
    return change(workspace, by, id, status=CampaignStatus.CLOSED)


def add_tasks(workspace: Workspace, by: By, id: str, wanted: Sequence[NewTask]) -> int:
    """Add tasks to a campaign; returns how many were new. Raises UsageError, NotFound for what they name."""
    campaign = campaign_of(workspace, id)
    _check_items(workspace, {item for one in wanted for item in one.items})
    tasks = [_task(workspace, campaign, one) for one in wanted]
    return _added(workspace, by, campaign, tasks)


def _added(workspace: Workspace, by: By, campaign: Campaign, tasks: Sequence[Task]) -> int:
    with workspace.records.exclusive("audit"):
        added = workspace.records.add(*tasks)
        note(workspace, by, "add tasks", "Campaign", campaign.id, tasks=added)
    return added


def _task(workspace: Workspace, campaign: Campaign, wanted: NewTask) -> Task:
    asked = question(wanted.question)
    if asked.kind is not wanted.kind:
        raise UsageError(f"{wanted.question} is answered by {asked.kind.value}, not {wanted.kind}")
    least, most = ITEMS.get(wanted.kind, (0, 1))
    if not least <= len(set(wanted.items)) == len(wanted.items) <= most:
        raise UsageError(
            f"{wanted.kind.value} of {len(wanted.items)} items: give {least} to {most} different ones"
        )
    workspace.records.get(Prompt, wanted.prompt)
    return Task(
        id=derived_id("task", campaign.id, wanted.question, wanted.prompt, *wanted.items),
        project=campaign.project,
        campaign=campaign.id,
        kind=wanted.kind,
        prompt=wanted.prompt,
        items=wanted.items,
        question=wanted.question,
        language=wanted.language,
        overlap=wanted.overlap or campaign.overlap,
        scope=asked.scope,
        round=campaign.round,
    )


def _check_items(workspace: Workspace, items: set[str]) -> None:
    known = workspace.tables.scan(Rollout).filter(pl.col("id").is_in(sorted(items))).select("id")
    if missing := sorted(items - set(known.collect()["id"])):
        raise NotFound(f"no rollout {missing[0]!r} in project {workspace.project}")


def add_round(
    workspace: Workspace,
    by: By,
    id: str,
    round: str,
    *,
    pairs_per_prompt: int = 1,
    seed: int = 0,
    asked: str = OVERALL,
) -> int:
    """Comparisons of the rollouts of a round, drawn as the round itself would; returns how many were new."""
    campaign = campaign_of(workspace, id)
    if question(asked).kind is not TaskKind.COMPARE:
        raise UsageError(f"{asked} compares nothing: name a question of kind compare")
    rollouts = workspace.tables.read(Rollout, round=round)
    if not rollouts:
        raise NotFound(f"round {round!r} has no rollouts in project {workspace.project}")
    languages = {
        name: workspace.records.get(Prompt, name).languages[0]
        for name in {one.prompt for one in rollouts}
    }
    tasks = make_comparisons(campaign, languages, rollouts, pairs_per_prompt, seed, asked)
    return _added(workspace, by, campaign, tasks)


def add_control(
    workspace: Workspace,
    by: By,
    task: str,
    purpose: Purpose,
    expected: Answer,
    explanation: dict[str, str] | None = None,
) -> Control:
    """Make a task training, gold or a trap; UsageError when it was judged or is one already."""
    if purpose not in CHECKS:
        raise UsageError(f"{purpose.value} is no check: give {', '.join(CHECKS)}")
    found = workspace.records.find(Task, id=task, project=workspace.project)
    if not found:
        raise NotFound(f"no task {task!r} in project {workspace.project}")
    if workspace.records.find(Judgement, task=task):
        raise UsageError(f"task {task} was judged already: take one that nobody has seen")
    made = Control(
        id=derived_id("control", task),
        project=workspace.project,
        campaign=found[0].campaign,
        task=task,
        purpose=purpose,
        expected=expected,
        created_at=datetime.now(UTC),
        explanation=explanation or {},
    )
    with workspace.records.exclusive("audit"):
        if not workspace.records.add(made):
            raise UsageError(f"task {task} is a control already")
        note(workspace, by, "add control", "Control", made.id, purpose=purpose.value)
    return made


def retire_control(workspace: Workspace, by: By, id: str, reason: str) -> Control:
    """Ask a control no more: its answer has leaked, or is wrong. Raises NotFound."""
    with workspace.records.exclusive("audit"):
        found = workspace.records.find(Control, id=id, project=workspace.project, retired_at=None)
        if not found:
            raise NotFound(f"no control {id!r} in use")
        retired = replace(found[0], retired_at=datetime.now(UTC))
        workspace.records.replace(retired)
        note(workspace, by, "retire control", "Control", id, reason=reason)
    return retired
