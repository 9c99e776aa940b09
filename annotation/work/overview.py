"""What waits for a person, campaign by campaign."""

from datetime import datetime

import sqlalchemy as sa

from trivox.annotation.work import controls
from trivox.annotation.work.draw import for_expert, left
from trivox.annotation.work.gates import DONE, guideline_of, hindrance, read_version
from trivox.annotation.work.shapes import Nothing, Waiting, Why
from trivox.platform.records import (
    Campaign,
    CampaignStatus,
    LeaseStatus,
    Person,
    Purpose,
    TaskLease,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

HIDDEN = (Why.POOL, Why.SKILL, Why.LANGUAGE)
"""Hindrances for which a campaign is not shown at all: it is for others."""


def waiting(workspace: Workspace, person: Person, now: datetime) -> list[Waiting]:
    """Open campaigns of the project that are for this person, oldest first."""
    found = workspace.records.find(Campaign, project=workspace.project, status=CampaignStatus.OPEN)
    cards = [(one, hindrance(workspace, person, one, now)) for one in found]
    return [
        _card(workspace, person, one, why)
        for one, why in cards
        if why is None or why.reason not in HIDDEN
    ]


def _card(workspace: Workspace, person: Person, campaign: Campaign, why: Nothing | None) -> Waiting:
    written = guideline_of(workspace, campaign)
    done, remaining = counts(workspace, person, campaign)
    return Waiting(
        campaign=campaign.id,
        name=campaign.name,
        branch=campaign.branch.value,
        languages=campaign.languages,
        done=done,
        left=remaining,
        training_left=controls.training_left(workspace, person, campaign),
        guideline=written.texts["en"] if written else campaign.guideline,
        guideline_version=written.version if written else campaign.guideline_version,
        acknowledged=read_version(workspace, person.id, campaign),
        warning=written.warning.get("en") if written else None,
        opted_out=campaign.id in person.declined,
        hindered=why,
    )


def counts(workspace: Workspace, person: Person, campaign: Campaign) -> tuple[int, int]:
    """Answers of this person that count as done, and how many questions are left for them at most."""
    leases = table_of(TaskLease)
    query = sa.select(leases.c.status, sa.func.count()).where(
        leases.c.person == person.id,
        leases.c.campaign == campaign.id,
        leases.c.purpose != Purpose.TRAINING.value,
        leases.c.supersedes.is_(None),
    )
    with workspace.records.statements(write=False) as connection:
        rows = connection.execute(query.group_by(leases.c.status)).all()
    found = {status: count for status, count in rows}
    done = sum(found.get(status, 0) for status in DONE)
    held = found.get(LeaseStatus.OPEN.value, 0) + found.get(LeaseStatus.AHEAD.value, 0)
    disputed = len(for_expert(workspace, person, campaign))
    return done, left(workspace, person, campaign) + disputed + held
