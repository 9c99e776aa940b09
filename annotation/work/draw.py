"""Which task a person is asked next: mostly what tells the most, sometimes any, with the probability kept.

With probability e (random_share) the task is drawn evenly from all N that are open to the person; otherwise it is
the one of the highest priority and expected information. Its inclusion probability is thus e/N, and e/N + (1 - e)
for the most informative one. An estimate that weighs answers by 1/inclusion is unbiased (Horvitz, Thompson 1952).
"""

import random
from dataclasses import dataclass

import sqlalchemy as sa

from trivox.annotation.work.gates import languages_for
from trivox.platform.records import (
    Campaign,
    Control,
    LeaseStatus,
    Person,
    Role,
    RoleGrant,
    TaskLease,
    TaskState,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of


@dataclass(frozen=True)
class Drawn:
    task: str
    inclusion: float


def draw(
    workspace: Workspace, person: Person, campaign: Campaign, rng: random.Random
) -> Drawn | None:
    """The next task, or None when none is left for this person. Call inside the transaction that leases it."""
    states = table_of(TaskState)
    ready = _open_to(person, campaign)
    with workspace.records.statements(write=True) as connection:
        best = sa.select(states.c.id, sa.func.count().over()).where(ready)
        found = connection.execute(best.order_by(*_by_use(campaign)).limit(1)).first()
        if found is None:
            return None
        first, count = found
        share = campaign.plan.random_share if campaign.plan.active else 1.0
        if rng.random() >= share:
            return Drawn(first, share / count + 1 - share)
        evenly = (
            sa.select(states.c.id)
            .where(ready)
            .order_by(states.c.seq)
            .offset(rng.randrange(count))
            .limit(1)
        )
        task = connection.execute(evenly).scalar_one()
    return Drawn(task, share / count + (1 - share if task == first else 0.0))


def left(workspace: Workspace, person: Person, campaign: Campaign) -> int:
    """How many tasks are open to this person."""
    states = table_of(TaskState)
    query = sa.select(sa.func.count()).select_from(states).where(_open_to(person, campaign))
    with workspace.records.statements(write=False) as connection:
        return int(connection.execute(query).scalar_one())


def for_expert(workspace: Workspace, person: Person, campaign: Campaign) -> list[str]:
    """Tasks that judges disagree on and that this person, an expert, has not seen; none for who is no expert."""
    if not campaign.plan.expert or not is_expert(workspace, person):
        return []
    states = table_of(TaskState)
    waits = sa.and_(
        states.c.campaign == campaign.id,
        states.c.expert.is_(True),
        states.c.closed.is_(False),
        states.c.language.in_(languages_for(person, campaign)),
        _unseen(person),
    )
    with workspace.records.statements(write=True) as connection:
        query = sa.select(states.c.id).where(waits).order_by(states.c.seq)
        return list(connection.execute(query).scalars())


def is_expert(workspace: Workspace, person: Person) -> bool:
    grants = workspace.records.find(RoleGrant, person=person.id, project=workspace.project)
    return any(one.role is Role.EXPERT and one.revoked_at is None for one in grants)


def _by_use(campaign: Campaign) -> list[sa.ColumnElement[object]]:
    states = table_of(TaskState)
    return [states.c.priority.desc(), states.c.information.desc(), states.c.shuffle]


def _open_to(person: Person, campaign: Campaign) -> sa.ColumnElement[bool]:
    states, controls = table_of(TaskState), table_of(Control)
    return sa.and_(
        states.c.campaign == campaign.id,
        states.c.taken < states.c.wanted,
        states.c.id.not_in(sa.select(controls.c.task).where(controls.c.campaign == campaign.id)),
        states.c.closed.is_(False),
        states.c.language.in_(languages_for(person, campaign)),
        _unseen(person),
    )


def _unseen(person: Person) -> sa.ColumnElement[bool]:
    """Nobody judges a pair twice, in whatever campaign; what was only shown and ran out may come again."""
    states, leases = table_of(TaskState), table_of(TaskLease)
    seen = sa.select(leases.c.pair).where(
        leases.c.person == person.id, leases.c.status != LeaseStatus.EXPIRED.value
    )
    return states.c.pair.not_in(seen)
