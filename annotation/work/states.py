"""How far the tasks of a campaign are: one row each, kept in step with leases and answers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import sqlalchemy as sa

from trivox.annotation.work.owed import Owed, owed_of
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
from trivox.platform.store.rows import codec_of
from trivox.platform.store.schema import table_of

COUNTED = (Purpose.JUDGE.value, Purpose.ADJUDICATE.value)
HELD = (LeaseStatus.OPEN.value, LeaseStatus.AHEAD.value)
_AT_ONCE = 500
"""Names in one SQL statement."""


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
    added = workspace.records.add(
        *(_state(task, campaign, standing[task.id], known.get(task.id)) for task in every)
    )
    recount(workspace, [task.id for task in every if standing[task.id] > 1])
    return added


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
    with workspace.records.statements(write=False) as connection:
        for part in _parts(sorted(tasks)):
            some = query.where(judged.c.task.in_(part)).group_by(judged.c.task)
            counts.update({task: count for task, count in connection.execute(some)})
    return counts


def standing_of(workspace: Workspace, task: str) -> list[Judgement]:
    """People's judgements of a task that neither another supersedes nor anybody struck out."""
    return standing_in(workspace, [task])[task]


def standing_in(workspace: Workspace, tasks: Sequence[str]) -> dict[str, list[Judgement]]:
    """The same for many tasks, in the order of adding; every task is among the keys."""
    found: dict[str, list[Judgement]] = {task: [] for task in tasks}
    codec = codec_of(Judgement)
    with workspace.records.statements(write=False) as connection:
        for part in _parts(sorted(found)):
            for row in connection.execute(_standing(), {"tasks": part}).mappings():
                found[row["task"]].append(codec.from_row(row))
    return {task: _last(judged) for task, judged in found.items()}


@cache
def _standing() -> sa.Select[tuple[object, ...]]:
    judged, voided = table_of(Judgement), table_of(Voided)
    return (
        sa.select(judged)
        .where(
            judged.c.task.in_(sa.bindparam("tasks", expanding=True)),
            judged.c.judge_kind == JudgeKind.HUMAN.value,
            ~sa.exists().where(voided.c.judgement == judged.c.id),
        )
        .order_by(judged.c.seq)
    )


def _last(judged: Sequence[Judgement]) -> list[Judgement]:
    replaced = {one.supersedes for one in judged}
    return [one for one in judged if one.id not in replaced]


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))


def recount(workspace: Workspace, tasks: Iterable[str]) -> None:
    """Put right what came in past the desk (an import, Label Studio), or was struck out; also who disagrees."""
    wanted = sorted(set(tasks))
    with workspace.records.transaction():
        standing = standing_in(workspace, wanted)
        held = _held_now(workspace, wanted)
        plans: dict[str, Campaign] = {}
        for name in wanted:
            task = workspace.records.get(Task, name)
            campaign = plans.get(task.campaign) or workspace.records.get(Campaign, task.campaign)
            plans[task.campaign] = campaign
            owed = owed_of(task, campaign.plan, standing[name])
            taken = owed.answered + held[name, Purpose.JUDGE.value]
            settle(workspace, name, owed, answered=owed.answered, taken=taken)


def _held_now(workspace: Workspace, tasks: Sequence[str]) -> Counter[tuple[str, str]]:
    """(task, purpose) -> leases that people hold and that correct nothing."""
    leases = table_of(TaskLease)
    counts: Counter[tuple[str, str]] = Counter()
    query = sa.select(leases.c.task, leases.c.purpose, sa.func.count()).where(
        leases.c.status.in_(HELD), leases.c.supersedes.is_(None)
    )
    with workspace.records.statements(write=True) as connection:
        for part in _parts(tasks):
            grouped = query.where(leases.c.task.in_(part)).group_by(leases.c.task, leases.c.purpose)
            counts.update({(task, why): count for task, why, count in connection.execute(grouped)})
    return counts


def settle(workspace: Workspace, task: str, owed: Owed, **counts: int) -> None:
    """Note what a task still wants: judges, an expert unless one has it already, or nothing more."""
    states, leases = table_of(TaskState), table_of(TaskLease)
    change: dict[str, object] = {"wanted": owed.wanted, "expert": owed.expert, **counts}
    if owed.broken:
        change["closed"] = True
    if owed.expert:
        change["expert"] = ~sa.exists().where(
            leases.c.task == task,
            leases.c.status.in_(HELD),
            leases.c.purpose == Purpose.ADJUDICATE.value,
        )
    with workspace.records.statements(write=True) as connection:
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
