"""Questions that check the judge: the training block, gold and traps, one's own earlier question again."""

import random
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from ulid import ULID

from trivox.annotation.work.faults import faulty
from trivox.annotation.work.gates import guideline_version, languages_for, trained_from
from trivox.annotation.work.shapes import Nothing, Why
from trivox.platform.records import (
    Campaign,
    Control,
    LeaseStatus,
    Person,
    Purpose,
    Qualification,
    Task,
    TaskLease,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of


def qualified(workspace: Workspace, person: Person, campaign: Campaign) -> bool:
    """Passed under a guideline that still counts, or let in by a lead (`Person.qualifications`)."""
    if not campaign.plan.training_size or campaign.id in person.qualifications:
        return True
    since = trained_from(workspace, campaign)
    return any(
        one.passed and one.guideline_version >= since for one in tries(workspace, person, campaign)
    )


def tries(workspace: Workspace, person: Person, campaign: Campaign) -> list[Qualification]:
    return workspace.records.find(Qualification, person=person.id, campaign=campaign.id)


def training_left(workspace: Workspace, person: Person, campaign: Campaign) -> int:
    """Questions of the training block still before this person; 0 once qualified."""
    if qualified(workspace, person, campaign):
        return 0
    return block_size(workspace, campaign) - len(block(workspace, person, campaign))


def block_size(workspace: Workspace, campaign: Campaign) -> int:
    return min(campaign.plan.training_size, len(active(workspace, campaign, Purpose.TRAINING)))


def active(workspace: Workspace, campaign: Campaign, *purposes: Purpose) -> list[Control]:
    """Controls in use that can be played, in the order in which they were added."""
    every = workspace.records.find(Control, campaign=campaign.id, retired_at=None)
    left_out = faulty(workspace, campaign.id) if every else set()
    return [one for one in every if one.purpose in purposes and one.task not in left_out]


def block(workspace: Workspace, person: Person, campaign: Campaign) -> list[TaskLease]:
    """Training answered since the last block was finished."""
    answered = leases_of(workspace, person.id, campaign.id, Purpose.TRAINING)
    finished = tries(workspace, person, campaign)
    since = finished[-1].created_at if finished else None
    return [one for one in answered if since is None or (one.closed_at and one.closed_at > since)]


def leases_of(
    workspace: Workspace, person: str, campaign: str, *purposes: Purpose
) -> list[TaskLease]:
    """The person's answered leases of these purposes (all for none), oldest first."""
    answered = workspace.records.find(
        TaskLease, person=person, campaign=campaign, status=LeaseStatus.ANSWERED
    )
    return [one for one in answered if not purposes or one.purpose in purposes]


def training_task(
    workspace: Workspace, person: Person, campaign: Campaign, now: datetime
) -> str | Nothing:
    """The next question of the block, or why there is none."""
    controls = active(workspace, campaign, Purpose.TRAINING)
    if not controls:
        return Nothing(Why.PREPARING, "The training of this campaign is not ready yet.")
    failed = [one for one in tries(workspace, person, campaign) if not one.passed]
    if len(failed) >= campaign.plan.training_tries:
        last = failed[-1]
        text = f"You had {last.right} of {last.asked} training questions right; it takes "
        return Nothing(Why.TRAINING_FAILED, f"{text}{campaign.plan.pass_mark:.0%}. Ask your lead.")
    seen = {one.task for one in block(workspace, person, campaign)}
    left = [one.task for one in controls if one.task not in seen]
    if left:
        return left[0]
    # Since the last answer a question was retired or left out: what is answered is all there is.
    note_training(workspace, person, campaign, now)
    return Nothing(Why.PREPARING, "The training of this campaign has changed: look in again.")


def note_training(workspace: Workspace, person: Person, campaign: Campaign, now: datetime) -> None:
    """Close the block once its last question is answered."""
    answered = block(workspace, person, campaign)
    size = block_size(workspace, campaign)
    if len(answered) < size or qualified(workspace, person, campaign):
        return
    right = sum(bool(one.right) for one in answered)
    workspace.records.add(
        Qualification(
            id=str(ULID()),
            project=campaign.project,
            campaign=campaign.id,
            person=person.id,
            guideline_version=guideline_version(workspace, campaign),
            right=right,
            asked=size,
            passed=right >= campaign.plan.pass_mark * size - 1e-9,
            created_at=now,
        )
    )


def control_task(
    workspace: Workspace, person: Person, campaign: Campaign, rng: random.Random
) -> Control | None:
    """A gold or trap item that this person has not seen, drawn evenly; None when there is none."""
    controls = active(workspace, campaign, Purpose.GOLD, Purpose.TRAP)
    if not controls:
        return None
    seen = set(_seen(workspace, person.id, [one.task for one in controls]))
    spoken = set(languages_for(person, campaign))
    fresh = [
        one
        for one in controls
        if one.task not in seen and workspace.records.get(Task, one.task).language in spoken
    ]
    return rng.choice(fresh) if fresh else None


def _seen(workspace: Workspace, person: str, tasks: Sequence[str]) -> list[str]:
    leases = table_of(TaskLease)
    query = sa.select(leases.c.task).where(
        leases.c.person == person,
        leases.c.task.in_(tasks),
        leases.c.status != LeaseStatus.EXPIRED.value,
    )
    with workspace.records.statements(write=False) as connection:
        return list(connection.execute(query).scalars())


def repeat_of(
    workspace: Workspace, person: Person, campaign: Campaign, rng: random.Random
) -> TaskLease | None:
    """An earlier question of this person's own, at least repeat_after answers back and not repeated yet."""
    leases = table_of(TaskLease)
    own = sa.and_(
        leases.c.person == person.id,
        leases.c.campaign == campaign.id,
        leases.c.status.in_(
            [LeaseStatus.ANSWERED.value, LeaseStatus.OPEN.value, LeaseStatus.AHEAD.value]
        ),
    )
    query = (
        sa.select(leases.c.id, leases.c.task, leases.c.purpose).where(own).order_by(leases.c.seq)
    )
    with workspace.records.statements(write=False) as connection:
        rows = connection.execute(query).all()
    repeated = {row.task for row in rows if row.purpose == Purpose.REPEAT.value}
    judged = [row for row in rows if row.purpose == Purpose.JUDGE.value]
    old = judged[: -campaign.plan.repeat_after] if campaign.plan.repeat_after else judged
    repeated |= faulty(workspace, campaign.id)
    fresh = [row.id for row in old if row.task not in repeated]
    return workspace.records.get(TaskLease, rng.choice(fresh)) if fresh else None
