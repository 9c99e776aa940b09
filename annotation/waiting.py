"""What still waits for judges: of people also the third where two disagree, and the expert where three do."""

from collections.abc import Sequence

import sqlalchemy as sa

from trivox.annotation.work.faults import faulty
from trivox.annotation.work.owed import Owed, owed_of
from trivox.annotation.work.states import HELD, standing_in
from trivox.platform.records import (
    Campaign,
    CampaignStatus,
    Control,
    JudgeKind,
    Judgement,
    Role,
    RoleGrant,
    Task,
    TaskKind,
    TaskLease,
    TaskState,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of


def waiting_tasks(
    workspace: Workspace, round: str | None, judge_kind: JudgeKind = JudgeKind.HUMAN
) -> list[Task]:
    """Comparisons of the round (None: of the project) that want more judgements of this kind, oldest first."""
    tasks = comparison_tasks(workspace, round)
    if judge_kind is not JudgeKind.HUMAN:
        return [
            task for task in tasks if len(judges_of(workspace, task, judge_kind)) < task.overlap
        ]
    owed = owed_by_people(workspace, tasks)
    return [task for task in tasks if task.id in owed]


def comparison_tasks(workspace: Workspace, round: str | None) -> list[Task]:
    """All comparisons of the round, or of the project for None, oldest first; controls are none."""
    scope = {"project": workspace.project}
    if round is not None:
        scope["round"] = round
    known = {one.task for one in workspace.records.find(Control, project=workspace.project)}
    tasks = workspace.records.find(Task, **scope)
    return [task for task in tasks if task.kind == TaskKind.COMPARE and task.id not in known]


def owed_by_people(workspace: Workspace, tasks: Sequence[Task]) -> dict[str, Owed]:
    """Task -> what is owed, for those that people will still be asked.

    Nothing is owed of a task that cannot be played or was reported, or of a campaign that is closed or whose
    budget is spent; and no expert's decision where nobody in the project is an expert.
    """
    standing = standing_in(workspace, [task.id for task in tasks])
    campaigns = {name: workspace.records.get(Campaign, name) for name in _campaigns(tasks)}
    left_out = {task for name in campaigns for task in faulty(workspace, name)}
    asked = {name for name, one in campaigns.items() if asks(workspace, one)}
    expert = has_expert(workspace)
    found = {}
    for task in tasks:
        owed = owed_of(task, campaigns[task.campaign].plan, standing[task.id])
        wanted = not owed.broken and (owed.judges > 0 or (owed.expert and expert))
        if wanted and task.campaign in asked and task.id not in left_out:
            found[task.id] = owed
    return found


def _campaigns(tasks: Sequence[Task]) -> list[str]:
    return sorted({task.campaign for task in tasks})


def asks(workspace: Workspace, campaign: Campaign) -> bool:
    """Whether people are still asked anything of the campaign, or are at it; a paused one goes on some day."""
    if campaign.status is CampaignStatus.CLOSED:
        return False
    if campaign.budget is None:
        return True
    states, leases = table_of(TaskState), table_of(TaskLease)
    spent = sa.select(sa.func.sum(states.c.taken)).where(
        states.c.campaign == campaign.id, states.c.control.is_(None)
    )
    held = sa.select(sa.func.count()).where(
        leases.c.campaign == campaign.id, leases.c.status.in_(HELD)
    )
    with workspace.records.statements(write=False) as connection:
        taken = connection.execute(spent).scalar() or 0
        at_work = connection.execute(held).scalar_one()
    return taken < campaign.budget or at_work > 0


def has_expert(workspace: Workspace) -> bool:
    grants = workspace.records.find(RoleGrant, project=workspace.project, revoked_at=None)
    return any(one.role is Role.EXPERT for one in grants)


def judges_of(workspace: Workspace, task: Task, judge_kind: JudgeKind) -> set[str]:
    """Who of this kind has answered the task."""
    answers = workspace.records.find(Judgement, task=task.id, judge_kind=judge_kind)
    return {answer.judge for answer in answers}
