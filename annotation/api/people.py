"""The people of a project: invites, accounts, roles, the audit log."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request

from trivox.annotation.api.common import ANSWERS, Served
from trivox.annotation.api.models import (
    Account,
    AccountChange,
    Accounts,
    AuditRow,
    AuditRows,
    CsvBody,
    Done,
    Guests,
    Invites,
    InviteState,
    NewInvite,
    NewInvites,
)
from trivox.annotation.people import accounts, audit, invites
from trivox.annotation.people.door import door_of
from trivox.annotation.people.principal import Here, Principal, roles_of
from trivox.annotation.people.rules import managed_by
from trivox.platform.records import AuditEntry, Invite, Person, Role
from trivox.platform.store import Workspace

router = APIRouter(tags=["people"], responses=ANSWERS)


@router.get("/api/v1/people", operation_id="list_people")
def list_people(workspace: Served) -> Accounts:
    """Everyone with a role in the project, now or once."""
    return Accounts(people=[_account(workspace, one) for one in accounts.people_of(workspace)])


@router.get("/api/v1/people/{person}", operation_id="show_person")
def show_person(person: str, workspace: Served) -> Account:
    return _account(workspace, accounts.person_of(workspace, person))


def _account(workspace: Workspace, person: Person) -> Account:
    return Account.of(
        person, roles_of(workspace, person.id).get(workspace.project, frozenset[Role]())
    )


@router.patch("/api/v1/people/{person}", operation_id="change_person")
def change_person(person: str, body: AccountChange, who: Here, workspace: Served) -> Account:
    """Change what is given; who is not active any more is signed out at once."""
    accounts.person_of(workspace, person)
    _refuse_unmanaged(who, person, workspace)
    changes = body.model_dump(exclude_none=True)
    return _account(workspace, accounts.update(workspace, who.by, person, **changes))


def _refuse_unmanaged(who: Principal, person: str, workspace: Workspace) -> None:
    everywhere = frozenset[Role]().union(*roles_of(workspace, person).values())
    if Role.ADMIN in who.here and person != who.person:
        return
    if person == who.person or not everywhere <= managed_by(who.here):
        raise HTTPException(403, "only an admin changes this person, and nobody changes themselves")


@router.put("/api/v1/people/{person}/roles/{role}", operation_id="grant_role")
def grant_role(person: str, role: Role, who: Here, workspace: Served) -> Done:
    accounts.person_of(workspace, person)
    accounts.grant(workspace, who.by, person, role)
    return Done()


@router.delete("/api/v1/people/{person}/roles/{role}", operation_id="revoke_role")
def revoke_role(person: str, role: Role, who: Here, workspace: Served) -> Done:
    accounts.revoke(workspace, who.by, person, role)
    return Done()


@router.get("/api/v1/invites", operation_id="list_invites")
def list_invites(workspace: Served) -> Invites:
    found = workspace.records.find(Invite, project=workspace.project)
    return Invites(invites=[InviteState.of(one) for one in found])


@router.post("/api/v1/invites", operation_id="invite", max_body_size=2 << 20)
def invite(body: Guests, who: Here, request: Request) -> NewInvites:
    """Invite people: one link for each, shown this once. Leads invite annotators, experts and viewers."""
    guests = [invites.Guest(**guest.model_dump()) for guest in body.guests]
    return _invited(guests, who, request)


@router.post("/api/v1/invites/csv", operation_id="invite_from_csv", max_body_size=2 << 20)
def invite_from_csv(body: CsvBody, who: Here, request: Request) -> NewInvites:
    """The same from a CSV, one row a person."""
    return _invited(invites.read_csv(body.csv), who, request)


def _invited(guests: list[invites.Guest], who: Principal, request: Request) -> NewInvites:
    door = door_of(request)
    wanted = {role for guest in guests for role in guest.roles}
    if refused := wanted - managed_by(who.here):
        raise HTTPException(403, f"only an admin invites as {', '.join(sorted(refused))}")
    made = invites.invite(door.workspace, who.by, guests)
    return NewInvites(
        invites=[
            NewInvite(id=one.id, name=one.name, email=one.email, link=door.link(f"/invite/{token}"))
            for one, token in made
        ]
    )


@router.delete("/api/v1/invites/{invite}", operation_id="revoke_invite")
def revoke_invite(invite: str, who: Here, workspace: Served) -> Done:
    invites.revoke(workspace, who.by, invite)
    return Done()


@router.get("/api/v1/audit", operation_id="read_audit_log")
def read_audit_log(
    workspace: Served,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditRows:
    """The newest entries of the append-only log. The chain of digests is checked first."""
    audit.verify(workspace)
    found = workspace.records.find(AuditEntry, project=workspace.project)
    return AuditRows(entries=[AuditRow.of(one) for one in reversed(found[-limit:])])
