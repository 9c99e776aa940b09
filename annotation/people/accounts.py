"""Accounts: made by an invite, entered by login and password."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ulid import ULID

from trivox.annotation.people import invites, sessions, throttle
from trivox.annotation.people.audit import NOBODY, By, note
from trivox.annotation.people.passwords import hashed, outdated, verified
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import LOCAL, Credential, Invite, Person, Role, RoleGrant
from trivox.platform.store import Workspace

LOGIN_LENGTH = 120


class NotLetIn(UsageError):
    """Login and password do not belong together, or to no account that is open. Which, is not said."""

    def __init__(self) -> None:
        super().__init__("login and password do not belong together")


class LoginTaken(UsageError):
    """An account has this login already."""


def sign_in(workspace: Workspace, login: str, password: str, address: str | None) -> str:
    """Begin a session; returns what the cookie holds. Raises NotLetIn, TooMany."""
    name, place = canonical(login), address or "?"
    for limit, who in (
        (throttle.ADDRESS, (place,)),
        (throttle.LOGIN, (name,)),
        (throttle.HERE, (name, place)),
    ):
        throttle.attempt(workspace, limit, *who)
    person = _by_login(workspace, name)
    stored = _stored(workspace, person)
    right = verified(stored, password)
    if person is None or not right or not person.active:
        note(workspace, By(NOBODY, address), "sign-in refused", "Login", _unreadable(name))
        raise NotLetIn
    if stored is not None and outdated(stored):
        workspace.records.replace(Credential(person.id, hashed(password), datetime.now(UTC)))
    return _entered(workspace, person, By(person.id, address), name, place)


def _entered(workspace: Workspace, person: Person, by: By, name: str, place: str) -> str:
    with workspace.records.exclusive("audit"):
        throttle.forget(workspace, throttle.HERE, name, place)
        throttle.refund(workspace, throttle.LOGIN, name)
        throttle.refund(workspace, throttle.ADDRESS, place)
        secret = sessions.begin(workspace, person.id, by.address)
        note(workspace, by, "sign in", "Person", person.id)
    return secret


def _unreadable(name: str) -> str:
    """What was typed as a login may be a password: the log keeps what it can be recognised by, not itself."""
    return derived_id("login", name)


def _stored(workspace: Workspace, person: Person | None) -> str | None:
    found = workspace.records.find(Credential, id=person.id) if person else []
    return found[0].password_hash if found else None


def _by_login(workspace: Workspace, name: str) -> Person | None:
    found = workspace.records.find(Person, issuer=LOCAL, subject=name)
    return found[0] if found else None


def canonical(login: str) -> str:
    """A login as it is compared: case and outer space are of no effect."""
    return login.strip().casefold()


def sign_out(workspace: Workspace, by: By, session: str) -> None:
    """End the session of that id."""
    with workspace.records.exclusive("audit"):
        for one in sessions.live_of(workspace, by.actor):
            if one.id == session:
                sessions.end(workspace, one)
        note(workspace, by, "sign out", "Person", by.actor)


def accept(
    workspace: Workspace,
    token: str,
    login: str,
    password: str,
    name: str | None = None,
    address: str | None = None,
) -> tuple[Person, str]:
    """Make the account of an invite; returns the person and what the session's cookie holds.

    Raises NotFound for an invite that cannot be used, LoginTaken, WeakPassword, UsageError, TooMany.
    """
    throttle.attempt(workspace, throttle.LINKS, address or "?")
    invites.open_invite(workspace, token)
    subject = _checked(login)
    kept = hashed(password, subject)
    with workspace.records.exclusive("audit"):
        used = invites.open_invite(workspace, token)  # again: another may have been faster
        person = _make_person(workspace, used, subject, name or used.name, kept)
        by = By(person.id, address)
        workspace.records.replace(replace(used, used_at=datetime.now(UTC), used_by=person.id))
        note(workspace, by, "accept invite", "Invite", used.id)
        return person, sessions.begin(workspace, person.id, address)


def _checked(login: str) -> str:
    subject = canonical(login)
    if not subject or len(subject) > LOGIN_LENGTH or not subject.isprintable():
        raise UsageError(
            f"the login has {len(subject)} characters: give 1 to {LOGIN_LENGTH} that can be printed"
        )
    return subject


def _make_person(
    workspace: Workspace, used: Invite, subject: str, name: str, password_hash: str
) -> Person:
    if _by_login(workspace, subject) is not None:
        raise LoginTaken("this login is taken: choose another")
    now = datetime.now(UTC)
    person = Person(
        id=str(ULID()),
        name=name,
        pool=used.pool,
        created_at=now,
        languages=used.languages,
        skills=used.skills,
        pay_rate=used.pay_rate,
        pay_currency=used.pay_currency,
        issuer=LOCAL,
        subject=subject,
    )
    grants = [
        RoleGrant(str(ULID()), workspace.project, person.id, role, now, used.invited_by)
        for role in used.roles
    ]
    workspace.records.add(person, Credential(person.id, password_hash, now), *grants)
    return person


def change_password(
    workspace: Workspace, by: By, session: str | None, current: str, new: str
) -> None:
    """Set another password and end all other sessions. Raises NotLetIn, WeakPassword, TooMany."""
    throttle.attempt(workspace, throttle.HERE, by.actor, "password")
    person = workspace.records.get(Person, by.actor)
    if not verified(_stored(workspace, person), current):
        raise NotLetIn
    kept = Credential(person.id, hashed(new, person.subject or ""), datetime.now(UTC))
    with workspace.records.exclusive("audit"):
        throttle.forget(workspace, throttle.HERE, by.actor, "password")
        workspace.records.replace(kept)
        ended = sessions.end_all(workspace, person.id, but=session)
        note(workspace, by, "change password", "Person", person.id, sessions_ended=ended)


def people_of(workspace: Workspace) -> list[Person]:
    """Everyone with a role in the project, now or once, in the order of their accounts."""
    named = {grant.person for grant in workspace.records.find(RoleGrant, project=workspace.project)}
    return [person for person in workspace.records.find(Person) if person.id in named]


def person_of(workspace: Workspace, id: str) -> Person:
    """Someone with a role in the project, now or once; NotFound for any other."""
    if not workspace.records.find(RoleGrant, project=workspace.project, person=id):
        raise NotFound(f"no person {id!r} in project {workspace.project}")
    return workspace.records.get(Person, id)


def update(workspace: Workspace, by: By, id: str, **changes: Any) -> Person:
    """Change fields of a person; one who is not active any more is signed out everywhere."""
    with workspace.records.exclusive("audit"):
        changed = replace(person_of(workspace, id), **changes)
        workspace.records.replace(changed)
        if not changed.active:
            sessions.end_all(workspace, id)
        note(workspace, by, "change person", "Person", id, fields=sorted(changes))
    return changed


def update_self(workspace: Workspace, by: By, name: str) -> None:
    """Change what people may change of themselves."""
    with workspace.records.exclusive("audit"):
        workspace.records.replace(replace(workspace.records.get(Person, by.actor), name=name))
        note(workspace, by, "change person", "Person", by.actor, fields=["name"])


def grant(workspace: Workspace, by: By, id: str, role: Role) -> RoleGrant:
    """Give a role in the project; the same again changes nothing."""
    held = workspace.records.find(
        RoleGrant, project=workspace.project, person=id, role=role, revoked_at=None
    )
    if held:
        return held[0]
    workspace.records.get(Person, id)
    made = RoleGrant(str(ULID()), workspace.project, id, role, datetime.now(UTC), by.actor)
    with workspace.records.exclusive("audit"):
        workspace.records.add(made)
        note(workspace, by, "grant role", "Person", id, role=role.value)
    return made


def revoke(workspace: Workspace, by: By, id: str, role: Role) -> None:
    """Take a role back. Raises NotFound when it is not held, UsageError for the last admin's."""
    scope = {"project": workspace.project, "role": role, "revoked_at": None}
    with workspace.records.exclusive("audit"):
        held = workspace.records.find(RoleGrant, person=id, **scope)
        if not held:
            raise NotFound(f"{id} is no {role.value} in project {workspace.project}")
        if role is Role.ADMIN and len(workspace.records.find(RoleGrant, **scope)) == 1:
            raise UsageError(f"{id} is the last admin of {workspace.project}: make another first")
        for one in held:
            workspace.records.replace(replace(one, revoked_at=datetime.now(UTC)))
        note(workspace, by, "revoke role", "Person", id, role=role.value)
