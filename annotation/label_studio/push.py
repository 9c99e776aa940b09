"""A campaign's comparisons as projects of Label Studio: blind, sides drawn by lot, every task there once.

What is to be pushed is written down first, under random keys; whatever was interrupted goes on from there.
"""

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from trivox.annotation.label_studio.client import LabelStudioClient
from trivox.annotation.label_studio.layout import (
    Layout,
    labelling_config,
    language_of,
    same_config,
)
from trivox.annotation.people.audit import By, note
from trivox.annotation.web.render import markdown
from trivox.annotation.work.content import Items, clips_of, content_of
from trivox.annotation.work.gates import guideline_of, guideline_version
from trivox.annotation.work.leasing import side_order
from trivox.annotation.work.questions import question
from trivox.annotation.work.shapes import ClipRole, Content
from trivox.annotation.work.states import add_missing
from trivox.platform.errors import TrivoxError, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Campaign,
    CampaignStatus,
    ClipState,
    LabelStudioProject,
    LabelStudioTask,
    Purpose,
    Task,
    TaskKind,
    TaskState,
)
from trivox.platform.store import Workspace

AUDIO_PATH = "/api/v1/label-studio/audio"
HOOK_PATH = "/api/v1/label-studio/webhook"
LOCK = "label studio"


@dataclass(frozen=True)
class Pushed:
    """added: comparisons that are new there. there: those that were there. left_out: reason -> how many. refused:
    task -> why it cannot be asked there."""

    projects: tuple[int, ...]
    added: int
    there: int
    left_out: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Draft:
    """A task that is to be pushed, before its addresses are known."""

    task: Task
    layout: Layout
    content: Content
    presentation: tuple[str, ...]
    clips: tuple[ClipState, ...]


def push(workspace: Workspace, by: By, client: LabelStudioClient, campaign: Campaign) -> Pushed:
    """Bring every open comparison of the campaign there; what is there already stays as it is.

    Raises UsageError for a campaign that is closed, ServerUnavailable, ServerRefused; then a second push goes on.
    """
    if campaign.status is CampaignStatus.CLOSED:
        raise UsageError(f"campaign {campaign.name!r} is closed: open it before it is pushed")
    left_out, refused = _write_down(workspace, client, campaign)
    projects = _projects(workspace, client, campaign)
    added = there = 0
    numbers = []
    for one in projects:
        made = _ensure(workspace, client, one)
        new, old = _fill(workspace, client, made)
        added, there = added + new, there + old
        numbers.append(made.remote or 0)
    note(
        workspace, by, "push to label studio", "Campaign", campaign.id,
        server=client.connection.url, added=added, there=there,
    )  # fmt: skip
    return Pushed(tuple(numbers), added, there, dict(left_out), refused)


def _projects(
    workspace: Workspace, client: LabelStudioClient, campaign: Campaign
) -> list[LabelStudioProject]:
    return workspace.records.find(
        LabelStudioProject, campaign=campaign.id, server=client.connection.url
    )


def _write_down(
    workspace: Workspace, client: LabelStudioClient, campaign: Campaign
) -> tuple[Counter[str], dict[str, str]]:
    """Keep a row for each new task and for each project that it needs."""
    with workspace.records.exclusive(LOCK):
        add_missing(workspace, campaign)
        known = {one.id: one for one in _projects(workspace, client, campaign)}
        pushed = {
            one.task
            for one in workspace.records.find(LabelStudioTask, campaign=campaign.id)
            if one.pushed_to in known
        }
        wanted, left_out = _wanted(workspace, campaign, pushed)
        drafts, refused = _drafts(workspace, wanted)
        groups: dict[Layout, list[_Draft]] = defaultdict(list)
        for draft in drafts:
            groups[draft.layout].append(draft)
        for layout, group in groups.items():
            project = _project(client, campaign, layout)
            project = known.get(project.id, project)
            workspace.records.add(project)
            version = guideline_version(workspace, campaign)
            workspace.records.add(*(_row(one, project, client, version) for one in group))
    return left_out, refused


def _wanted(
    workspace: Workspace, campaign: Campaign, pushed: set[str]
) -> tuple[list[Task], Counter[str]]:
    states = {one.id: one for one in workspace.records.find(TaskState, campaign=campaign.id)}
    wanted, left_out = [], Counter[str]()
    for task in workspace.records.find(Task, campaign=campaign.id):
        if task.id in pushed:
            continue
        reason = _unfit(task, states[task.id])
        if reason is None:
            wanted.append(task)
        else:
            left_out[reason] += 1
    return wanted, left_out


def _unfit(task: Task, state: TaskState) -> str | None:
    """Why a task is not asked there."""
    if task.kind is not TaskKind.COMPARE or len(task.items) != 2:
        return f"{task.kind.value}: only comparisons of two are asked there"
    if state.control is not None:
        return "control: its answer is known, and there all could see it"
    return "finished" if state.closed or state.answered >= state.wanted else None


def _drafts(workspace: Workspace, tasks: Iterable[Task]) -> tuple[list[_Draft], dict[str, str]]:
    items, drafts, refused = Items(workspace), [], {}
    for task in tasks:
        try:
            drafts.append(_draft(workspace, items, task))
        except TrivoxError as error:
            refused[task.id] = str(error)
    return drafts, refused


def _draft(workspace: Workspace, items: Items, task: Task) -> _Draft:
    asked = question(task.question)
    # One order for all: what a task shows there is the same for everybody.
    shown = side_order(LOCK, task, Purpose.JUDGE)
    clips = clips_of(items, task, asked, shown)
    content = content_of(workspace, items, task, items.prompt(task.prompt), shown, clips)
    roles = {clip.role for clip in clips}
    layout = Layout(
        question=task.question,
        language=language_of(task.language),
        overlap=task.overlap,
        spoken=ClipRole.ITEM in roles,
        context=bool(_context(content)),
        history=ClipRole.HISTORY in roles,
        voice=ClipRole.VOICE in roles,
    )
    return _Draft(task, layout, content, shown, clips)


def _context(content: Content) -> str:
    """Character, dialogue, instruction and text, one below the other."""
    turns = [f"{turn.role}: {turn.text}" for turn in content.turns if turn.text]
    parts = [content.persona, *turns, content.instruction, content.text]
    return "\n".join(part for part in parts if part)


def _project(client: LabelStudioClient, campaign: Campaign, layout: Layout) -> LabelStudioProject:
    asked = question(layout.question)
    server = client.connection.url
    return LabelStudioProject(
        id=derived_id("lsp", campaign.id, server, asdict(layout)),
        project=campaign.project,
        campaign=campaign.id,
        server=server,
        key=secrets.token_urlsafe(16),
        title=f"{campaign.name}: {asked.title.get(layout.language, asked.title['en'])}",
        question=layout.question,
        config=labelling_config(layout, asked),
        overlap=layout.overlap,
        created_at=datetime.now(UTC),
    )


def _row(
    draft: _Draft, project: LabelStudioProject, client: LabelStudioClient, guideline: int
) -> LabelStudioTask:
    key = secrets.token_urlsafe(16)
    return LabelStudioTask(
        id=derived_id("lst", project.id, draft.task.id),
        project=project.project,
        campaign=project.campaign,
        task=draft.task.id,
        pushed_to=project.id,
        key=key,
        presentation=draft.presentation,
        clips=draft.clips,
        data=_data(draft, f"{client.connection.trivox_url}{AUDIO_PATH}/{key}", key),
        guideline_version=guideline,
        created_at=datetime.now(UTC),
    )


def _data(draft: _Draft, sounds: str, key: str) -> dict[str, Any]:
    """What is seen of the task there: words, addresses of sounds, and its key."""
    asked, language = question(draft.task.question), draft.layout.language
    ask = [texts.get(language, texts.get("en")) for texts in (asked.title, asked.help) if texts]
    data = {"item": key, "ask": "\n".join(text for text in ask if text)}
    if draft.layout.context:
        data["context"] = _context(draft.content)
    if draft.layout.spoken:
        data |= {f"audio_{side}": f"{sounds}/{side}" for side in "ab"}
    else:
        data["speech"] = f"{sounds}/speech"
        data |= {
            f"text_{side}": text or "–"
            for side, text in zip("ab", draft.content.hypotheses, strict=True)
        }
    for name in ("history", "voice"):
        if getattr(draft.layout, name):
            data[name] = f"{sounds}/{name}"
    return data


def _ensure(
    workspace: Workspace, client: LabelStudioClient, project: LabelStudioProject
) -> LabelStudioProject:
    """The project there as it should be, its webhook included; made anew where somebody deleted it."""
    config = None if project.remote is None else client.config(project.remote)
    if project.remote is None or config is None:
        mark = f"Trivox {project.key}"
        number = client.make_project(
            project.title, project.config, project.overlap, mark, _guideline(workspace, project)
        )
        project = replace(project, remote=number)
        workspace.records.replace(project)
    elif not same_config(config, project.config):
        client.restore(project.remote, project.config, project.overlap)
    assert project.remote is not None
    client.hook(project.remote, f"{client.connection.trivox_url}{HOOK_PATH}")
    return project


def _guideline(workspace: Workspace, project: LabelStudioProject) -> str:
    """As HTML, shown there before the first task."""
    campaign = workspace.records.get(Campaign, project.campaign)
    written = guideline_of(workspace, campaign)
    texts = written.texts if written else {}
    text = texts.get(language_of(campaign.languages[0]), texts.get("en", campaign.guideline))
    return str(markdown(text))


def _fill(
    workspace: Workspace, client: LabelStudioClient, project: LabelStudioProject
) -> tuple[int, int]:
    """Import what is missing there; returns how many that were and how many were there."""
    assert project.remote is not None
    rows = workspace.records.find(LabelStudioTask, pushed_to=project.id)
    arrived = _number(workspace, client, project.remote, rows)
    states = {one.id: one for one in workspace.records.find(TaskState, campaign=project.campaign)}
    missing = [
        one for one in rows if one.key not in arrived and _open(states[one.task], one.remote)
    ]
    if not missing:
        return 0, len(rows)
    client.add_tasks(project.remote, [one.data for one in missing])
    arrived = _number(workspace, client, project.remote, missing)
    lost = sum(one.key not in arrived for one in missing)
    if lost:
        raise UsageError(
            f"{lost} of {len(missing)} tasks did not arrive in project {project.remote}: push again"
        )
    return len(missing), len(rows) - len(missing)


def _open(state: TaskState, remote: int | None) -> bool:
    """Whether a task that is not there belongs there: one that was deleted comes back only if it still waits."""
    return remote is None or not (state.closed or state.answered >= state.wanted)


def _number(
    workspace: Workspace, client: LabelStudioClient, remote: int, rows: Sequence[LabelStudioTask]
) -> set[str]:
    """Note the numbers that tasks have there; returns the keys of those that are there."""
    numbers = {str(one.data.get("item")): one.number for one in client.export(remote)}
    found = [one for one in rows if one.key in numbers]
    with workspace.records.transaction():
        for one in found:
            if one.remote != numbers[one.key]:
                workspace.records.replace(replace(one, remote=numbers[one.key]))
    return {one.key for one in found}
