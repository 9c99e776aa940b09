"""What may stand between a person and the next question, each with a reason that the person can read."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from trivox.annotation.work.paid import spent_out
from trivox.annotation.work.shapes import Nothing, Why
from trivox.platform.records import (
    Acknowledged,
    Campaign,
    CampaignStatus,
    Guideline,
    LeaseStatus,
    Person,
    TaskLease,
    TaskState,
    WorkPause,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

LEVELS = ("basic", "fluent", "native")
DONE = (LeaseStatus.ANSWERED.value, LeaseStatus.REOPENED.value, LeaseStatus.VOIDED.value)

Gate = Callable[[Workspace, Person, Campaign, datetime], Nothing | None]


def hindrance(
    workspace: Workspace, person: Person, campaign: Campaign, now: datetime
) -> Nothing | None:
    """The first reason why this person gets no question of the campaign now; None: nothing hinders."""
    for gate in GATES:
        if found := gate(workspace, person, campaign, now):
            return found
    return None


def _open(
    workspace: Workspace, person: Person, campaign: Campaign, now: datetime
) -> Nothing | None:
    if not person.active:
        return Nothing(Why.INACTIVE, "Your account is not active: ask your lead.")
    if campaign.status is CampaignStatus.OPEN:
        return None
    return Nothing(
        Why.CLOSED, f"This campaign is {campaign.status.value}: there is nothing to do in it now."
    )


def _wanted(
    workspace: Workspace, person: Person, campaign: Campaign, now: datetime
) -> Nothing | None:
    plan = campaign.plan
    if campaign.id in person.declined:
        return Nothing(Why.DECLINED, "You chose not to work in this campaign.")
    if plan.pools and person.pool.value not in plan.pools:
        return Nothing(Why.POOL, f"This campaign is for {' and '.join(plan.pools)} annotators.")
    missing = [skill for skill in plan.skills if skill not in person.skills]
    if missing:
        return Nothing(
            Why.SKILL, f"This campaign asks for {', '.join(missing)}, which your account lacks."
        )
    if plan.device_check and person.device_checked_at is None:
        return Nothing(Why.DEVICE, "Check your headphones and volume first.")
    if not languages_for(person, campaign):
        named = ", ".join(campaign.languages)
        return Nothing(Why.LANGUAGE, f"This campaign is in {named}; your account does not list it.")
    return None


def languages_for(person: Person, campaign: Campaign) -> list[str]:
    """Languages of the campaign that the person may judge; all for who states none, where no level is asked."""
    level = campaign.plan.language_level
    if not person.languages and level is None:
        return list(campaign.languages)
    least = LEVELS.index(level) if level in LEVELS else 0
    spoken = {
        tag.split("-")[0].lower()
        for tag, known in person.languages.items()
        if known in LEVELS[least:] or (level is None and known not in LEVELS)
    }
    return [tag for tag in campaign.languages if tag.split("-")[0].lower() in spoken]


def _read(
    workspace: Workspace, person: Person, campaign: Campaign, now: datetime
) -> Nothing | None:
    current = guideline_version(workspace, campaign)
    if (read_version(workspace, person.id, campaign) or 0) >= current:
        return None
    return Nothing(Why.GUIDELINE, f"Read version {current} of the guideline first.")


def read_version(workspace: Workspace, person: str, campaign: Campaign) -> int | None:
    """The newest version of the guideline that the person said to have read."""
    read = workspace.records.find(Acknowledged, person=person, campaign=campaign.id)
    return max((one.guideline_version for one in read), default=None)


def guideline_of(workspace: Workspace, campaign: Campaign) -> Guideline | None:
    """The guideline that leads wrote last; None where the campaign's own text is all there is."""
    current = campaign.guideline_version
    found = workspace.records.find(Guideline, campaign=campaign.id, version=current)
    return found[0] if found else None


def guideline_version(workspace: Workspace, campaign: Campaign) -> int:
    """The version to work by; publishing one moves it in the same transaction."""
    return campaign.guideline_version


def trained_from(workspace: Workspace, campaign: Campaign) -> int:
    """The least version of the guideline whose training still counts."""
    versions = workspace.records.find(Guideline, campaign=campaign.id)
    return max([campaign.plan.trained_from, *(one.version for one in versions if one.requalify)])


def pause_of(workspace: Workspace, person: str, campaign: str) -> WorkPause | None:
    """The pause that holds now."""
    found = workspace.records.find(WorkPause, person=person, campaign=campaign, lifted_at=None)
    return found[-1] if found else None


def _paused(
    workspace: Workspace, person: Person, campaign: Campaign, now: datetime
) -> Nothing | None:
    pause = pause_of(workspace, person.id, campaign.id)
    return None if pause is None else Nothing(Why.PAUSED, pause.reason)


def _rested(
    workspace: Workspace, person: Person, campaign: Campaign, now: datetime
) -> Nothing | None:
    plan = campaign.plan
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    times = list(_closed(workspace, person.id, max(plan.per_day, plan.per_sitting)))
    today = sum(one >= midnight for one in times)
    if today >= plan.per_day:
        text = f"You have answered {today} questions today, the most for one day. Thank you!"
        return Nothing(Why.DAY_DONE, text, midnight + timedelta(days=1))
    if sitting(times, now, plan.break_s) < plan.per_sitting:
        return None
    text = f"You have answered {plan.per_sitting} questions in one sitting: your ears need a break."
    return Nothing(Why.BREAK, text, times[0] + timedelta(seconds=plan.break_s))


def sitting(times: list[datetime], now: datetime, break_s: float) -> int:
    """How many of the answers (newest first) belong to the sitting that still lasts: no gap of break_s."""
    count, after = 0, now
    for time in times:
        if (after - time).total_seconds() >= break_s:
            break
        count, after = count + 1, time
    return count


def _closed(workspace: Workspace, person: str, most: int) -> Iterator[datetime]:
    leases = table_of(TaskLease)
    query = sa.select(leases.c.closed_at).where(
        leases.c.person == person, leases.c.project == workspace.project, leases.c.status.in_(DONE)
    )
    with workspace.records.statements(write=False) as connection:
        found = connection.execute(query.order_by(leases.c.seq.desc()).limit(most)).scalars()
        yield from [one for one in found if one is not None]


def _paid(
    workspace: Workspace, person: Person, campaign: Campaign, now: datetime
) -> Nothing | None:
    if campaign.budget is None:
        return None
    states = table_of(TaskState)
    query = sa.select(sa.func.sum(states.c.taken)).where(
        states.c.campaign == campaign.id, states.c.control.is_(None)
    )
    with workspace.records.statements(write=False) as connection:
        taken = connection.execute(query).scalar() or 0
    if taken < campaign.budget:
        return None
    return Nothing(
        Why.BUDGET, f"All {campaign.budget} judgements that were wanted are in. Thank you!"
    )


def _affordable(
    workspace: Workspace, person: Person, campaign: Campaign, now: datetime
) -> Nothing | None:
    """No figure of the budget is the annotator's business: leads see them."""
    if spent_out(workspace, campaign) is None:
        return None
    return Nothing(
        Why.BUDGET_SPENT,
        "The budget of this campaign is used up for now. All your answers are kept; the work goes on once your "
        "lead has raised it.",
    )


GATES: tuple[Gate, ...] = (_open, _wanted, _read, _paused, _rested, _paid, _affordable)
