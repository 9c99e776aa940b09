"""Leases: made, shown, run out, taken back. Every function is called inside the transaction of its caller."""

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from ulid import ULID

from trivox.annotation.work import controls, states
from trivox.annotation.work.content import Items, clips_of
from trivox.annotation.work.draw import draw, for_expert
from trivox.annotation.work.faults import leave_out
from trivox.annotation.work.gates import guideline_version
from trivox.annotation.work.questions import question
from trivox.annotation.work.shapes import Nothing, Unplayable, Why
from trivox.platform.hashing import derived_seed
from trivox.platform.records import (
    Campaign,
    LeaseStatus,
    Person,
    Purpose,
    Task,
    TaskLease,
)
from trivox.platform.store import Workspace
from trivox.platform.store.rows import codec_of
from trivox.platform.store.schema import table_of

NOTHING_LEFT = Nothing(Why.NOTHING_LEFT, "Nothing is left for you here now. Thank you!")


@dataclass(frozen=True)
class Choice:
    """What to ask next."""

    task: str
    purpose: Purpose
    inclusion: float | None = None


def new_lease(
    workspace: Workspace,
    items: Items,
    person: Person,
    campaign: Campaign,
    status: LeaseStatus,
    now: datetime,
) -> TaskLease | Nothing:
    """A lease of what is best asked next, stored and counted; or why there is none."""
    rng = random.Random(derived_seed("draw", person.id, campaign.id, _count(workspace, person.id)))
    while True:
        chosen = _choose(workspace, person, campaign, rng, status, now)
        if isinstance(chosen, Nothing):
            return chosen
        try:
            lease = _lease(workspace, items, person, campaign, chosen, status, now)
        except Unplayable as found:  # it is left out, so that the next choice is another
            leave_out(workspace, found, now)
            continue
        workspace.records.add(lease)
        _count_in(workspace, chosen)
        return lease


def _count_in(workspace: Workspace, chosen: Choice) -> None:
    if chosen.purpose is Purpose.JUDGE:
        states.shift(workspace, chosen.task, taken=1)
    elif chosen.purpose is Purpose.ADJUDICATE:
        states.mark_expert(workspace, chosen.task, waits=False)


def _count(workspace: Workspace, person: str) -> int:
    leases = table_of(TaskLease)
    with workspace.records.statements(write=False) as connection:
        query = sa.select(sa.func.count()).where(leases.c.person == person)
        return int(connection.execute(query).scalar_one())


def _choose(
    workspace: Workspace,
    person: Person,
    campaign: Campaign,
    rng: random.Random,
    status: LeaseStatus,
    now: datetime,
) -> Choice | Nothing:
    if not controls.qualified(workspace, person, campaign):
        if status is LeaseStatus.AHEAD:  # the open one may be the last of the block
            return NOTHING_LEFT
        task = controls.training_task(workspace, person, campaign, now)
        return task if isinstance(task, Nothing) else Choice(task, Purpose.TRAINING)
    disputed = for_expert(workspace, person, campaign)
    if disputed:
        return Choice(disputed[0], Purpose.ADJUDICATE)
    return _check(workspace, person, campaign, rng) or _judge(workspace, person, campaign, rng)


def _check(
    workspace: Workspace, person: Person, campaign: Campaign, rng: random.Random
) -> Choice | None:
    """Now and then a control or a repeat, in the shares of the plan."""
    plan, lot = campaign.plan, rng.random()
    if lot < plan.control_share:
        control = controls.control_task(workspace, person, campaign, rng)
        return Choice(control.task, control.purpose) if control else None
    if lot < plan.control_share + plan.repeat_share:
        earlier = controls.repeat_of(workspace, person, campaign, rng)
        return Choice(earlier.task, Purpose.REPEAT) if earlier else None
    return None


def _judge(
    workspace: Workspace, person: Person, campaign: Campaign, rng: random.Random
) -> Choice | Nothing:
    drawn = draw(workspace, person, campaign, rng)
    return Choice(drawn.task, Purpose.JUDGE, drawn.inclusion) if drawn else NOTHING_LEFT


def _lease(
    workspace: Workspace,
    items: Items,
    person: Person,
    campaign: Campaign,
    chosen: Choice,
    status: LeaseStatus,
    now: datetime,
) -> TaskLease:
    task = items.task(chosen.task)
    shown = side_order(person.id, task, chosen.purpose)
    return TaskLease(
        id=str(ULID()),
        project=task.project,
        campaign=campaign.id,
        task=task.id,
        person=person.id,
        purpose=chosen.purpose,
        status=status,
        pair=states.pair_of(task),
        slot=free_slot(workspace, task.id),
        presentation=shown,
        clips=clips_of(items, task, question(task.question), shown),
        guideline_version=guideline_version(workspace, campaign),
        opened_at=now,
        expires_at=now + timedelta(seconds=campaign.plan.lease_s),
        inclusion=chosen.inclusion,
    )


def side_order(person: str, task: Task, purpose: Purpose) -> tuple[str, ...]:
    """The items in an order of this person's own: random over people and tasks, the same whenever it is asked.

    A repeat has an order of its own, so that it also tells how much a side weighs with the judge.
    """
    again = [purpose.value] if purpose is Purpose.REPEAT else []
    shown = list(task.items)
    random.Random(derived_seed("sides", person, task.id, *again)).shuffle(shown)
    return tuple(shown)


def free_slot(workspace: Workspace, task: str) -> int:
    leases = table_of(TaskLease)
    busy = [LeaseStatus.OPEN.value, LeaseStatus.AHEAD.value, LeaseStatus.ANSWERED.value]
    query = sa.select(leases.c.slot).where(
        leases.c.task == task, leases.c.status.in_(busy), leases.c.purpose == Purpose.JUDGE.value
    )
    with workspace.records.statements(write=True) as connection:
        taken = set(connection.execute(query).scalars())
    return next(slot for slot in range(len(taken) + 1) if slot not in taken)


def held_by(workspace: Workspace, person: str, campaign: str) -> dict[LeaseStatus, TaskLease]:
    """The person's open lease and the one held ahead, as far as there are any."""
    leases, codec = table_of(TaskLease), codec_of(TaskLease)
    query = sa.select(leases).where(
        leases.c.person == person, leases.c.campaign == campaign, leases.c.status.in_(states.HELD)
    )
    with workspace.records.statements(write=True) as connection:
        found = [codec.from_row(row) for row in connection.execute(query).mappings()]
    return {one.status: one for one in found}


def expire(workspace: Workspace, campaign: str, now: datetime) -> int:
    """Free what ran out; returns how many leases that were."""
    leases = table_of(TaskLease)
    query = sa.select(leases.c.id).where(
        leases.c.campaign == campaign,
        leases.c.status.in_(states.HELD),
        leases.c.expires_at <= now,
    )
    with workspace.records.statements(write=True) as connection:
        late = list(connection.execute(query).scalars())
    for lease_id in late:
        release(workspace, workspace.records.get(TaskLease, lease_id), now)
    return len(late)


def release(workspace: Workspace, lease: TaskLease, now: datetime) -> None:
    """Give a held lease back unanswered; an answer that was being corrected stands again."""
    ended = replace(lease, status=LeaseStatus.EXPIRED, closed_at=now)
    workspace.records.replace(ended)
    if lease.supersedes is not None:
        for one in workspace.records.find(TaskLease, task=lease.task, person=lease.person):
            if one.judgement == lease.supersedes:
                workspace.records.replace(replace(one, status=LeaseStatus.ANSWERED))
    elif lease.purpose is Purpose.JUDGE:
        states.shift(workspace, lease.task, taken=-1)
    elif lease.purpose is Purpose.ADJUDICATE:
        states.mark_expert(workspace, lease.task, waits=True)


def show(workspace: Workspace, lease: TaskLease, campaign: Campaign, now: datetime) -> TaskLease:
    """A lease held ahead becomes the open one; its time begins now."""
    until = now + timedelta(seconds=campaign.plan.lease_s)
    shown = replace(lease, status=LeaseStatus.OPEN, opened_at=now, expires_at=until)
    workspace.records.replace(shown)
    return shown


def reopen(
    workspace: Workspace, answered: TaskLease, campaign: Campaign, now: datetime
) -> TaskLease:
    """The same question again with what was heard of it; its next answer supersedes the first."""
    workspace.records.replace(replace(answered, status=LeaseStatus.REOPENED))
    again = replace(
        answered,
        id=str(ULID()),
        status=LeaseStatus.OPEN,
        opened_at=now,
        expires_at=now + timedelta(seconds=campaign.plan.lease_s),
        closed_at=None,
        # The page that corrects counts its reports anew.
        last_report=0,
        clips=tuple(replace(clip, spent_s=0.0) for clip in answered.clips),
        draft=None,
        judgement=None,
        supersedes=answered.judgement,
        right=None,
    )
    workspace.records.add(again)
    return again
