"""What people ask the leads, report, or appeal against; each is answered once, and the person reads the answer."""

from dataclasses import replace
from datetime import UTC, datetime

from ulid import ULID

from trivox.annotation.people.audit import By, note
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import Inquiry, InquiryKind
from trivox.platform.store import Workspace

MOST_OPEN = 50


def ask(
    workspace: Workspace,
    person: str,
    campaign: str,
    kind: InquiryKind,
    text: str,
    subject: str | None = None,
) -> Inquiry:
    """Put a question before the leads; UsageError when the person has too many open."""
    waiting = [one for one in of_person(workspace, person) if one.answered_at is None]
    if len(waiting) >= MOST_OPEN:
        raise UsageError(f"{MOST_OPEN} of your questions wait for an answer: wait for some first")
    made = Inquiry(
        id=str(ULID()),
        project=workspace.project,
        campaign=campaign,
        person=person,
        kind=kind,
        text=text.strip(),
        created_at=datetime.now(UTC),
        subject=subject,
    )
    workspace.records.add(made)
    return made


def of_person(workspace: Workspace, person: str) -> list[Inquiry]:
    """Newest first."""
    return workspace.records.find(Inquiry, project=workspace.project, person=person)[::-1]


def waiting(workspace: Workspace, campaign: str | None = None) -> list[Inquiry]:
    """Those without an answer, the oldest first."""
    scope = {"project": workspace.project, "answered_at": None}
    if campaign is not None:
        scope["campaign"] = campaign
    return workspace.records.find(Inquiry, **scope)


def answer(workspace: Workspace, by: By, id: str, text: str) -> Inquiry:
    """Answer once; raises NotFound, and UsageError when it was answered before."""
    with workspace.records.exclusive("audit"):
        found = workspace.records.find(Inquiry, id=id, project=workspace.project)
        if not found:
            raise NotFound(f"no inquiry {id!r}")
        if found[0].answered_at is not None:
            raise UsageError(f"inquiry {id} was answered at {found[0].answered_at:%Y-%m-%d %H:%M}")
        made = replace(
            found[0], answer=text.strip(), answered_by=by.actor, answered_at=datetime.now(UTC)
        )
        workspace.records.replace(made)
        note(workspace, by, "answer inquiry", "Inquiry", id)
    return made
