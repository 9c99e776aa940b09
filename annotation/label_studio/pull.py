"""Judgements from Label Studio: all by export, or those of one task when a webhook tells of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trivox.annotation.label_studio import intake
from trivox.annotation.label_studio.client import LabelStudioClient, RemoteTask
from trivox.annotation.label_studio.layout import same_config
from trivox.annotation.label_studio.reading import Sheet, sheet_of
from trivox.annotation.people.audit import By, note
from trivox.platform.progress import progress
from trivox.platform.records import (
    Campaign,
    Intake,
    Judgement,
    LabelStudioAnnotation,
    LabelStudioProject,
    LabelStudioTask,
    Refusal,
)
from trivox.platform.store import Workspace


@dataclass
class Pulled:
    """What a pull found.

    taken: new judgements, changed ones of them edits. unchanged: dealt with before. gone: taken once and
    not there any more. struck: of these, struck out now. refused: all that is no judgement as things
    stand. unknown: annotations of tasks that Trivox did not push, or without their form.
    """

    taken: int = 0
    changed: int = 0
    unchanged: int = 0
    gone: int = 0
    struck: int = 0
    unknown: int = 0
    missing_projects: list[int] = field(default_factory=list)
    refused: list[LabelStudioAnnotation] = field(default_factory=list)


def pull(
    workspace: Workspace,
    by: By,
    client: LabelStudioClient,
    campaign: Campaign | None = None,
    *,
    void_gone: bool = False,
) -> Pulled:
    """Bring the store in step with everything that is there; whatever was taken before is left as it is.

    void_gone: strike out judgements whose annotation was deleted there; without it they stand, since there anybody
    can delete anything. Raises ServerUnavailable, ServerRefused; what was taken until then is kept.
    """
    told = Pulled()
    for project in _projects(workspace, client, campaign):
        _pull_project(workspace, client, project, told)
        if void_gone:
            for row in workspace.records.find(LabelStudioTask, pushed_to=project.id):
                told.struck += intake.strike_gone(workspace, row, by.actor, datetime.now(UTC))
    note(
        workspace, by, "pull from label studio", "Project", workspace.project,
        server=client.connection.url, taken=told.taken, refused=len(told.refused), struck=told.struck,
    )  # fmt: skip
    return told


def _projects(
    workspace: Workspace, client: LabelStudioClient, campaign: Campaign | None
) -> list[LabelStudioProject]:
    found = workspace.records.find(
        LabelStudioProject, server=client.connection.url, project=workspace.project
    )
    return [one for one in found if campaign is None or one.campaign == campaign.id]


def _pull_project(
    workspace: Workspace, client: LabelStudioClient, project: LabelStudioProject, told: Pulled
) -> None:
    if project.remote is None:
        return
    config = client.config(project.remote)
    tasks = [] if config is None else client.export(project.remote)
    if config is None:
        told.missing_projects.append(project.remote)
    rows = {one.key: one for one in workspace.records.find(LabelStudioTask, pushed_to=project.id)}
    changed = config is not None and not same_config(config, project.config)
    seen: set[str] = set()
    for task in progress(tasks, f"label studio project {project.remote}"):
        row = rows.get(str(task.data.get("item")))
        if row is None:
            told.unknown += len(task.annotations)
            continue
        seen.add(row.key)
        take_task(workspace, project, row, task, config_changed=changed, told=told)
    for key in rows.keys() - seen:
        told.gone += len(intake.note_gone(workspace, rows[key], set(), datetime.now(UTC)))


def pull_task(
    workspace: Workspace, client: LabelStudioClient, project: LabelStudioProject, number: int
) -> Pulled:
    """The same for one task, by its number there. Nothing is believed but what the server itself answers."""
    told = Pulled()
    assert project.remote is not None
    config, task = client.config(project.remote), client.task(number)
    if config is None or task is None:
        return told  # what is gone as a whole is for the next pull to say
    rows = workspace.records.find(LabelStudioTask, pushed_to=project.id)
    found = [one for one in rows if one.key == task.data.get("item")]
    changed = not same_config(config, project.config)
    for row in found:
        take_task(workspace, project, row, task, config_changed=changed, told=told)
    return told


def take_task(
    workspace: Workspace,
    project: LabelStudioProject,
    row: LabelStudioTask,
    task: RemoteTask,
    *,
    config_changed: bool,
    told: Pulled,
) -> None:
    """Deal with every annotation of a task, in the order in which they were written."""
    sheets = [sheet_of(one) for one in task.annotations]
    told.unknown += sum(one is None for one in sheets)
    readable = [one for one in sheets if one is not None]
    # First what is gone: who deletes an answer and gives another corrects it.
    numbers = {one.get("id") for one in task.annotations}
    told.gone += len(intake.note_gone(workspace, row, numbers, datetime.now(UTC)))
    changed = Refusal.CHANGED_CONFIG if config_changed else None
    if task.data != row.data:
        changed = Refusal.CHANGED_TASK
    pushed = intake.Pushed(project, row, changed)
    _take_sheets(workspace, pushed, readable, told)


def _take_sheets(
    workspace: Workspace, pushed: intake.Pushed, sheets: Iterable[Sheet], told: Pulled
) -> None:
    last = intake.last_of(intake.states_of(workspace, pushed.row))
    for sheet in sorted(sheets, key=lambda one: one.annotation.updated_at):
        known = last.get(sheet.annotation.number)
        seen = None
        if not intake.settled(known, sheet):
            seen = intake.take(workspace, pushed, sheet, datetime.now(UTC))
        if seen is None:
            told.unchanged += 1
            seen = known
        elif seen.intake is Intake.TAKEN:
            told.taken += 1
            judged = workspace.records.get(Judgement, seen.judgement or "")
            told.changed += judged.supersedes is not None
        if seen is not None and seen.intake is Intake.REFUSED:
            told.refused.append(seen)
