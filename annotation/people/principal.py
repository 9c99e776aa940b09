"""Who asks: the person behind a request, found by the session's cookie or by an API token.

What a person may do is in `rules`; here it is looked up and held. Routes take `Annotated[Principal,
Depends(signed_in)]`, or `Here` for short.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from trivox.annotation.people import sessions, tokens
from trivox.annotation.people.audit import By
from trivox.annotation.people.door import door_of
from trivox.platform.records import Person, Role, RoleGrant
from trivox.platform.store import Workspace

BEARER = "bearer "


class Via(StrEnum):
    SESSION = "session"
    TOKEN = "token"


@dataclass(frozen=True)
class Principal:
    """A person at work. roles: project -> roles there. session: its id, None for a token.

    csrf: for the pages' forms (field `csrf`) and scripts (header X-CSRF-Token); "" for a token, which needs none.
    scopes: what the token may do; None for a session, which may do all that its person may.
    """

    person: str
    name: str
    project: str
    roles: dict[str, frozenset[Role]]
    via: Via
    languages: dict[str, str] = field(default_factory=dict)
    skills: tuple[str, ...] = ()
    qualifications: tuple[str, ...] = ()
    csrf: str = ""
    session: str | None = None
    scopes: frozenset[str] | None = None
    address: str | None = None

    @property
    def here(self) -> frozenset[Role]:
        """Roles in the project that is served."""
        return self.roles.get(self.project, frozenset())

    @property
    def by(self) -> By:
        """As the audit log names the actor."""
        return By(self.person, self.address)


def roles_of(workspace: Workspace, person: str) -> dict[str, frozenset[Role]]:
    """project -> roles that the person holds there now."""
    held: dict[str, set[Role]] = {}
    for grant in workspace.records.find(RoleGrant, person=person, revoked_at=None):
        held.setdefault(grant.project, set()).add(grant.role)
    return {project: frozenset(roles) for project, roles in held.items()}


def address_of(connection: HTTPConnection) -> str | None:
    """Where the request came from; behind a proxy what the server was told to trust."""
    return connection.client.host if connection.client else None


def identify(connection: HTTPConnection) -> Principal | None:
    """The person who asks; None when nobody is signed in. A token that is not good is refused outright."""
    authorization = connection.headers.get("authorization", "")
    if authorization[: len(BEARER)].lower() == BEARER:
        return of_token(connection, authorization[len(BEARER) :].strip())
    return _by_session(connection)


Asking = Annotated[Principal | None, Depends(identify)]


def signed_in(who: Asking) -> Principal:
    """The person who asks; 401 when nobody is signed in."""
    if who is None:
        raise HTTPException(401, "sign in first")
    return who


Here = Annotated[Principal, Depends(signed_in)]


def _by_session(connection: HTTPConnection) -> Principal | None:
    cookie = connection.cookies.get(door_of(connection).cookie)
    return _with_session(connection, cookie) if cookie else None


def _with_session(connection: HTTPConnection, secret: str) -> Principal | None:
    workspace = door_of(connection).workspace
    session = sessions.find(workspace, secret)
    person = _active(workspace, session.person) if session else None
    if session is None or person is None:
        return None
    return _principal(
        connection, person, Via.SESSION, csrf=sessions.csrf_of(secret), session=session.id
    )


def of_session(connection: HTTPConnection, secret: str) -> Principal:
    """The person of a session that has just begun."""
    who = _with_session(connection, secret)
    assert who is not None
    return who


def of_token(connection: HTTPConnection, secret: str) -> Principal:
    """The person of an API token; 401 for one that is not good."""
    workspace = door_of(connection).workspace
    token = tokens.find(workspace, secret)
    person = _active(workspace, token.person) if token else None
    if token is None or person is None:
        raise HTTPException(401, "this token is unknown, ended or revoked")
    return _principal(connection, person, Via.TOKEN, scopes=frozenset(token.scopes))


def _active(workspace: Workspace, person: str) -> Person | None:
    found = workspace.records.get(Person, person)
    return found if found.active else None


def _principal(
    connection: HTTPConnection,
    person: Person,
    via: Via,
    csrf: str = "",
    session: str | None = None,
    scopes: frozenset[str] | None = None,
) -> Principal:
    workspace = door_of(connection).workspace
    return Principal(
        person=person.id,
        name=person.name,
        project=workspace.project,
        roles=roles_of(workspace, person.id),
        via=via,
        languages=person.languages,
        skills=person.skills,
        qualifications=person.qualifications,
        csrf=csrf,
        session=session,
        scopes=scopes,
        address=address_of(connection),
    )
