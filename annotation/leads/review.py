"""Looking at what people did: samples to listen to, pauses, and work that is struck out and asked anew."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl
from ulid import ULID

from trivox.annotation.leads.campaigns import campaign_of
from trivox.annotation.people.audit import By, note
from trivox.annotation.work.states import recount
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import (
    Judgement,
    LeaseStatus,
    Prompt,
    Purpose,
    Rollout,
    Task,
    TaskLease,
    Voided,
    WorkPause,
)
from trivox.platform.store import Workspace

BY_LEAD = "lead"


@dataclass(frozen=True)
class Reviewed:
    """A judgement with what it was about. right: for checks of the judge, None for others."""

    judgement: Judgement
    task: Task
    prompt: Prompt
    person: str
    right: bool | None


def answered(
    workspace: Workspace, campaign: str, person: str | None = None
) -> list[tuple[TaskLease, Judgement]]:
    """Answers that stand, with their leases, oldest first."""
    campaign_of(workspace, campaign)
    scope = {"campaign": campaign, "status": LeaseStatus.ANSWERED}
    if person is not None:
        scope["person"] = person
    leases = workspace.records.find(TaskLease, **scope)
    return [
        (one, workspace.records.get(Judgement, one.judgement)) for one in leases if one.judgement
    ]


def sample(
    workspace: Workspace, campaign: str, size: int, person: str | None = None, seed: int = 0
) -> list[Reviewed]:
    """Some answers that stand, drawn from the seed; training is not among them."""
    campaign_of(workspace, campaign)
    scope = {"campaign": campaign, "status": LeaseStatus.ANSWERED}
    if person is not None:
        scope["person"] = person
    every = [
        one
        for one in workspace.records.find(TaskLease, **scope)
        if one.judgement and one.purpose is not Purpose.TRAINING
    ]
    drawn = random.Random(seed).sample(every, min(size, len(every)))
    return [_reviewed(workspace, one) for one in drawn]


def _reviewed(workspace: Workspace, lease: TaskLease) -> Reviewed:
    task = workspace.records.get(Task, lease.task)
    return Reviewed(
        workspace.records.get(Judgement, lease.judgement or ""),
        task,
        workspace.records.get(Prompt, task.prompt),
        lease.person,
        lease.right,
    )


def audio_of(workspace: Workspace, judgement: str, position: int) -> str:
    """The audio id of an item of a judgement, in the order in which its judge heard them; NotFound."""
    found = workspace.records.find(Judgement, id=judgement, project=workspace.project)
    shown = found[0].presentation if found else ()
    if not 0 <= position < len(shown):
        raise NotFound(f"no item {position} of judgement {judgement!r}")
    rows = workspace.tables.scan(Rollout).filter(pl.col("id") == shown[position]).select("audio")
    audio = rows.collect()["audio"].to_list()
    if not audio or audio[0] is None:
        raise NotFound(f"rollout {shown[position]} has no audio")
    return str(audio[0])


def void(workspace: Workspace, by: By, campaign: str, person: str, reason: str) -> int:
    """Strike out what a person answered in a campaign and ask it anew of others; returns how many.

    The judgements stay in the store; they count no more. The person's work there is paused, since the same
    questions would come back to them otherwise. Raises NotFound, UsageError when there is nothing to void.
    """
    with workspace.records.exclusive("audit"):
        every = answered(workspace, campaign, person)
        if not every:
            raise UsageError(f"{person} has no answer in campaign {campaign} that stands")
        _strike(workspace, by, every, reason)
        _close_open(workspace, campaign, person)
        if not _paused(workspace, campaign, person):
            workspace.records.add(_pause(workspace, campaign, person, reason))
        recount(workspace, {lease.task for lease, _ in every})
        note(
            workspace, by, "void work", "Person", person,
            campaign=campaign, judgements=len(every), reason=reason,
        )  # fmt: skip
    return len(every)


def _strike(
    workspace: Workspace, by: By, every: Sequence[tuple[TaskLease, Judgement]], reason: str
) -> None:
    now = datetime.now(UTC)
    for lease, judgement in every:
        workspace.records.add(
            Voided(str(ULID()), workspace.project, judgement.id, by.actor, reason, now)
        )
        workspace.records.replace(replace(lease, status=LeaseStatus.VOIDED))


def _close_open(workspace: Workspace, campaign: str, person: str) -> None:
    now = datetime.now(UTC)
    for status in (LeaseStatus.OPEN, LeaseStatus.AHEAD):
        for lease in workspace.records.find(
            TaskLease, campaign=campaign, person=person, status=status
        ):
            ended = replace(lease, status=LeaseStatus.EXPIRED, closed_at=now)
            workspace.records.replace(ended)


def pauses(workspace: Workspace, campaign: str | None = None) -> list[WorkPause]:
    """Pauses that hold now, the oldest first."""
    scope = {"project": workspace.project, "lifted_at": None}
    if campaign is not None:
        scope["campaign"] = campaign
    return workspace.records.find(WorkPause, **scope)


def _paused(workspace: Workspace, campaign: str, person: str) -> bool:
    return any(one.person == person for one in pauses(workspace, campaign))


def _pause(workspace: Workspace, campaign: str, person: str, reason: str) -> WorkPause:
    return WorkPause(
        str(ULID()), workspace.project, campaign, person, BY_LEAD, reason, datetime.now(UTC)
    )


def pause(workspace: Workspace, by: By, campaign: str, person: str, reason: str) -> WorkPause:
    """Stop a person's work in a campaign, with a reason for them to read; UsageError when it stands still."""
    campaign_of(workspace, campaign)
    with workspace.records.exclusive("audit"):
        if _paused(workspace, campaign, person):
            raise UsageError(f"the work of {person} in campaign {campaign} is paused already")
        made = _pause(workspace, campaign, person, reason)
        workspace.records.add(made)
        note(workspace, by, "pause", "Person", person, campaign=campaign, reason=reason)
    return made


def lift(workspace: Workspace, by: By, id: str) -> WorkPause:
    """Let the person go on; raises NotFound for a pause that does not hold."""
    with workspace.records.exclusive("audit"):
        found = workspace.records.find(WorkPause, id=id, project=workspace.project, lifted_at=None)
        if not found:
            raise NotFound(f"no pause {id!r} that holds")
        lifted = replace(found[0], lifted_at=datetime.now(UTC), lifted_by=by.actor)
        workspace.records.replace(lifted)
        note(workspace, by, "lift pause", "Person", lifted.person, campaign=lifted.campaign)
    return lifted
