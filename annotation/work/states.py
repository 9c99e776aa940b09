"""How far the tasks of a campaign are: one row each, kept in step with leases and answers."""

from collections import Counter
from collections.abc import Iterable

import sqlalchemy as sa

from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import (
    Campaign,
    Control,
    JudgeKind,
    Judgement,
    LeaseStatus,
    Purpose,
    Task,
    TaskLease,
    TaskState,
    Voided,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

COUNTED = (Purpose.JUDGE.value, Purpose.ADJUDICATE.value)
HELD = (LeaseStatus.OPEN.value, LeaseStatus.AHEAD.value)


def pair_of(task: Task) -> str:
    """The same for tasks that ask the same of the same items, in whatever order and campaign."""
    return derived_id("pair", task.question, sorted(task.items))


def add_missing(workspace: Workspace, campaign: Campaign) -> int:
    """Give every task of the campaign its state; returns how many were new. Call inside a transaction."""
    tasks, states = table_of(Task), table_of(TaskState)
    with workspace.records.statements(write=True) as connection:
        query = sa.select(tasks.c.id).where(
            tasks.c.campaign == campaign.id,
            ~sa.exists().where(states.c.id == tasks.c.id),
        )
        missing = set(connection.execute(query).scalars())
    if not missing:
        return 0
    known = {one.task: one.purpose for one in workspace.records.find(Control, campaign=campaign.id)}
    standing = standing_counts(workspace, missing)
    every = [one for one in workspace.records.find(Task, campaign=campaign.id) if one.id in missing]
    return workspace.records.add(
        *(_state(task, campaign, standing[task.id], known.get(task.id)) for task in every)
    )


def newest_task(workspace: Workspace, campaign: str) -> int:
    """Number of the campaign's last task, 0 for none: while it stays, no task is missing a state."""
    tasks = table_of(Task)
    query = sa.select(sa.func.max(tasks.c.seq)).where(tasks.c.campaign == campaign)
    with workspace.records.statements(write=False) as connection:
        return int(connection.execute(query).scalar() or 0)


def _state(task: Task, campaign: Campaign, answered: int, control: Purpose | None) -> TaskState:
    return TaskState(
        id=task.id,
        project=task.project,
        campaign=task.campaign,
        pair=pair_of(task),
        language=task.language,
        wanted=task.overlap,
        taken=answered,
        answered=answered,
        priority=campaign.plan.priority,
        information=1.0,  # nothing is known of it: it tells the most
        shuffle=derived_seed("shuffle", task.id) / 2**63,
        control=control,
    )


def standing_counts(workspace: Workspace, tasks: Iterable[str]) -> Counter[str]:
    """Task -> how many people's judgements of it stand: not superseded, not voided, not a check of the judge."""
    judged, voided = table_of(Judgement), table_of(Voided)
    later = judged.alias("later")
    counts: Counter[str] = Counter()
    query = sa.select(judged.c.task, sa.func.count(sa.distinct(judged.c.judge))).where(
        judged.c.judge_kind == JudgeKind.HUMAN.value,
        judged.c.purpose == Purpose.JUDGE.value,
        ~sa.exists().where(voided.c.judgement == judged.c.id),
        ~sa.exists().where(later.c.task == judged.c.task, later.c.supersedes == judged.c.id),
    )
    wanted = sorted(tasks)
    with workspace.records.statements(write=False) as connection:
        for start in range(0, len(wanted), 500):
            part = query.where(judged.c.task.in_(wanted[start : start + 500]))
            rows = connection.execute(part.group_by(judged.c.task)).all()
            counts.update({task: count for task, count in rows})
    return counts


def standing_of(workspace: Workspace, task: str) -> list[Judgement]:
    """People's judgements of a task that neither another supersedes nor anybody struck out."""
    found = workspace.records.find(Judgement, task=task, judge_kind=JudgeKind.HUMAN)
    replaced = {one.supersedes for one in found}
    return [
        one
        for one in found
        if one.id not in replaced and not workspace.records.find(Voided, judgement=one.id)
    ]


def recount(workspace: Workspace, tasks: Iterable[str]) -> None:
    """Put right what came in past the desk (an import, Label Studio), or was struck out."""
    leases, states = table_of(TaskLease), table_of(TaskState)
    wanted = sorted(set(tasks))
    with workspace.records.transaction(), workspace.records.statements(write=True) as connection:
        standing = standing_counts(workspace, wanted)
        for task in wanted:
            held = connection.execute(
                sa.select(sa.func.count()).where(
                    leases.c.task == task,
                    leases.c.status.in_(HELD),
                    leases.c.purpose == Purpose.JUDGE.value,
                    leases.c.supersedes.is_(None),
                )
            ).scalar_one()
            change = {"answered": standing[task], "taken": standing[task] + held}
            connection.execute(sa.update(states).where(states.c.id == task).values(change))


def shift(
    workspace: Workspace, task: str, *, taken: int = 0, answered: int = 0, wanted: int = 0
) -> None:
    """Add to a task's counts."""
    states = table_of(TaskState)
    change = {
        states.c.taken: states.c.taken + taken,
        states.c.answered: states.c.answered + answered,
        states.c.wanted: states.c.wanted + wanted,
    }
    with workspace.records.statements(write=True) as connection:
        connection.execute(sa.update(states).where(states.c.id == task).values(change))


def mark_expert(workspace: Workspace, task: str, waits: bool) -> None:
    """Whether the task waits for an expert."""
    states = table_of(TaskState)
    with workspace.records.statements(write=True) as connection:
        connection.execute(sa.update(states).where(states.c.id == task).values(expert=waits))
