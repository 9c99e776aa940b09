"""How somebody is doing, for themselves and for their leads."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from trivox.annotation.leads.campaigns import campaign_of
from trivox.annotation.leads.hours import hours
from trivox.annotation.leads.review import pauses
from trivox.annotation.work.gates import sitting
from trivox.platform.records import Campaign, LeaseStatus, Person, Purpose, TaskLease
from trivox.platform.store import Workspace

_CHECKS = (Purpose.GOLD, Purpose.TRAP)


@dataclass(frozen=True)
class Doing:
    """Of one person in the project. pay: currency -> sum, of hours with a rate. training_right of training_asked:
    answers to training. break_after: answers until the next break is due, None where no campaign has one."""

    answers: int
    answers_today: int
    hours: float
    hours_week: float
    pay: dict[str, float]
    training_right: int
    training_asked: int
    sitting: int
    break_after: int | None


def doing(workspace: Workspace, person: str) -> Doing:
    now = datetime.now(UTC)
    every = [
        one
        for one in workspace.records.find(TaskLease, project=workspace.project, person=person)
        if one.status is LeaseStatus.ANSWERED and one.closed_at is not None
    ]
    trained = [one for one in every if one.purpose is Purpose.TRAINING and one.right is not None]
    worked = hours(workspace, person=person)
    week = now.date() - timedelta(days=6)
    now_sitting, due = _break(workspace, every, now)
    return Doing(
        answers=sum(one.purpose is not Purpose.TRAINING for one in every),
        answers_today=sum(_ended(one).date() == now.date() for one in every),
        hours=round(sum(one.hours for one in worked), 3),
        hours_week=round(sum(one.hours for one in worked if one.day >= week), 3),
        pay={
            currency: round(sum(one.pay or 0 for one in worked if one.currency == currency), 2)
            for currency in sorted({one.currency for one in worked if one.currency})
        },
        training_right=sum(one.right is True for one in trained),
        training_asked=len(trained),
        sitting=now_sitting,
        break_after=due,
    )


def _ended(lease: TaskLease) -> datetime:
    assert lease.closed_at is not None
    return lease.closed_at


def _break(workspace: Workspace, every: list[TaskLease], now: datetime) -> tuple[int, int | None]:
    """Answers of the sitting that lasts, and how many more until a break; by the campaign answered last."""
    if not every:
        return 0, None
    times = sorted(map(_ended, every), reverse=True)
    last = max(every, key=_ended)
    plan = workspace.records.get(Campaign, last.campaign).plan
    count = sitting(times, now, plan.break_s)
    return count, max(0, plan.per_sitting - count)


@dataclass(frozen=True)
class Judge:
    """A person in one campaign, as leads see them.

    checks_right of checks_asked: gold and traps; repeats_same of repeats_asked: one's own earlier answer again.
    median_s: time taken. paused: the reason that holds now, None for none.
    """

    person: str
    name: str
    answers: int
    checks_right: int
    checks_asked: int
    repeats_same: int
    repeats_asked: int
    median_s: float | None
    paused: str | None


def judges(workspace: Workspace, campaign: str) -> list[Judge]:
    """Everyone who answered in the campaign or whose work there is paused, by name."""
    campaign_of(workspace, campaign)
    held: dict[str, list[TaskLease]] = defaultdict(list)
    scope = {"campaign": campaign, "status": LeaseStatus.ANSWERED}
    for lease in workspace.records.find(TaskLease, **scope):
        held[lease.person].append(lease)
    paused = {one.person: one.reason for one in pauses(workspace, campaign)}
    made = [
        _judge(workspace.records.get(Person, person), held[person], paused.get(person))
        for person in held.keys() | paused.keys()
    ]
    return sorted(made, key=lambda one: (one.name, one.person))


def _judge(person: Person, leases: list[TaskLease], paused: str | None) -> Judge:
    checks = [one.right for one in leases if one.purpose in _CHECKS and one.right is not None]
    repeats = [
        one.right for one in leases if one.purpose is Purpose.REPEAT and one.right is not None
    ]
    taken = [(_ended(one) - one.opened_at).total_seconds() for one in leases]
    return Judge(
        person=person.id,
        name=person.name,
        answers=sum(one.purpose is not Purpose.TRAINING for one in leases),
        checks_right=sum(checks),
        checks_asked=len(checks),
        repeats_same=sum(repeats),
        repeats_asked=len(repeats),
        median_s=round(median(taken), 1) if taken else None,
        paused=paused,
    )
