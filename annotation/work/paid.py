"""What people's time costs: booked with each answer, and looked at before the next question is given out."""

from datetime import datetime

import sqlalchemy as sa

from trivox.platform.errors import BudgetSpent
from trivox.platform.records import Campaign, JudgeKind, Judgement, Person, Pool, Task, TaskLease
from trivox.platform.records.budgets import Budget, CostKind
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import book, check_budget
from trivox.platform.store.schema import table_of

MOST_S = 600.0
"""Seconds that one question is paid for at most: beyond that nobody was at work."""
_HOUR_S = 3600.0


def paid_s(opened: datetime, closed: datetime) -> float:
    """Seconds that are paid of one question, from when it was shown until it was answered: 0 to MOST_S."""
    return min(MOST_S, max(0.0, (closed - opened).total_seconds()))


def book_time(
    workspace: Workspace, person: Person, task: Task, lease: TaskLease, judgement: Judgement, before_s: float = 0.0
) -> None:  # fmt: skip
    """Book what a closed lease took, by the judgement, for the task's round and campaign; a person without a rate
    is booked without a price. before_s: seconds of the lease that an earlier judgement booked. Only people's
    judgements cost people's time. Call inside the transaction that stores the judgement."""
    simulated = judgement.judge_kind is not JudgeKind.HUMAN or person.pool is Pool.SIMULATED
    if simulated or lease.closed_at is None:
        return
    agreed = person.pay_rate is not None and person.pay_currency is not None
    book(
        workspace.records,
        project=lease.project,
        round=task.round,
        campaign=lease.campaign,
        kind=CostKind.PEOPLE,
        quantity=max(0.0, paid_s(lease.opened_at, lease.closed_at) - before_s),
        key=(judgement.id,),
        price=person.pay_rate / _HOUR_S if agreed and person.pay_rate is not None else None,
        currency=person.pay_currency if agreed else None,
        note={"purpose": lease.purpose.value},
    )


def spent_out(workspace: Workspace, campaign: Campaign) -> str | None:
    """Which budget of people's time or of money stops this campaign, its project or a round of its tasks, and how
    to raise it, in words for leads; None: there is something left."""
    held = workspace.records.find(Budget, project=campaign.project)
    if not held:
        return None
    by_round = any(one.round is not None for one in held)
    try:
        for one in _rounds(workspace, campaign) if by_round else [None]:
            check_budget(
                workspace.records,
                project=campaign.project,
                round=one,
                campaign=campaign.id,
                kind=CostKind.PEOPLE,
            )
    except BudgetSpent as error:
        return str(error)
    return None


def _rounds(workspace: Workspace, campaign: Campaign) -> list[str | None]:
    """Of the campaign's tasks; None for tasks of no round, or where there is no task."""
    tasks = table_of(Task).c
    query = sa.select(tasks.round).where(tasks.campaign == campaign.id).distinct()
    with workspace.records.statements(write=False) as connection:
        return list(connection.execute(query).scalars()) or [None]
