"""The way in without an account: a link for one browser on this machine, good once, that asks for a name alone."""

import threading
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from ulid import ULID

from trivox.annotation.people import sessions
from trivox.annotation.people.audit import By, note
from trivox.annotation.people.door import door_of
from trivox.annotation.people.opaque import same
from trivox.annotation.people.principal import address_of
from trivox.annotation.web.render import page, words_of
from trivox.annotation.web.words import Words
from trivox.platform.errors import ConfigError
from trivox.platform.records import Person, Pool, Role, RoleGrant
from trivox.platform.store import Workspace

ISSUER = "this machine"
"""Of accounts that have a name and no password: whoever sits here says who they are."""
NAME_LENGTH = 60
_LEAST = 16


class OneTimeLink:
    """A token that lets one browser in, once, and where it leads. Threads may share one."""

    def __init__(self, token: str, begin: str = "/", role: Role = Role.ANNOTATOR) -> None:
        """role: what the browser may do then. Raises ConfigError for a token that could be guessed."""
        if len(token) < _LEAST:
            raise ConfigError(
                f"the token has {len(token)} characters: take secrets.token_urlsafe()"
            )
        self.begin, self.role = begin, role
        self._token: str | None = token
        self._lock = threading.Lock()

    def fits(self, token: str) -> bool:
        """Whether it is the right token, and not used up."""
        held = self._token
        return held is not None and same(token, held)

    def use(self, token: str) -> bool:
        """True for the right token, the first time; False after that, and for a wrong one."""
        with self._lock:
            if not self.fits(token):
                return False
            self._token = None
            return True


def link_of(request: Request) -> OneTimeLink | None:
    """The link of the app, where it was given one."""
    link: OneTimeLink | None = getattr(request.app.state, "link", None)
    return link


def local_routes() -> APIRouter:
    """The pages behind the link of `app.state.link`; without one nobody comes in here."""
    router = APIRouter(include_in_schema=False)

    @router.get("/enter/{token}")
    def show(request: Request, token: str) -> Response:
        link = link_of(request)
        fits = link is not None and link.fits(token)
        return _name_page(request, token) if fits else _used_up(request)

    @router.post("/enter/{token}")
    def enter(request: Request, token: str, name: Annotated[str, Form()] = "") -> Response:
        given = " ".join(name.split())
        link = link_of(request)
        if link is None or not link.fits(token):
            return _used_up(request)
        if problem := _problem_with(given, words_of(request)):
            return _name_page(request, token, problem)
        if not link.use(token):
            return _used_up(request)
        door, address = door_of(request), address_of(request)
        person = person_named(door.workspace, given, link.role)
        note(door.workspace, By(person.id, address), "sign in here", "Person", person.id)
        response = RedirectResponse(link.begin, 303)
        door.let_in(response, sessions.begin(door.workspace, person.id, address))
        return response

    return router


def person_named(workspace: Workspace, name: str, role: Role = Role.ANNOTATOR) -> Person:
    """Who has that name on this machine, made when there is nobody, with that role: nobody is asked the same
    twice."""
    subject = f"{workspace.project} {name.casefold()}"
    with workspace.records.exclusive("audit"):
        now = datetime.now(UTC)
        found = workspace.records.find(Person, issuer=ISSUER, subject=subject)
        person = (
            found[0]
            if found
            else Person(str(ULID()), name, Pool.STAFF, now, issuer=ISSUER, subject=subject)
        )
        held = workspace.records.find(
            RoleGrant, project=workspace.project, person=person.id, role=role, revoked_at=None
        )
        workspace.records.add(person)
        if not held:
            grant = RoleGrant(str(ULID()), workspace.project, person.id, role, now)
            workspace.records.add(grant)
    return person


def _problem_with(name: str, words: Words) -> str:
    if not name:
        return words("local.empty")
    if len(name) > NAME_LENGTH:
        return words("local.long", length=len(name), most=NAME_LENGTH)
    return "" if name.isprintable() else words("local.strange")


def _name_page(request: Request, token: str, problem: str = "") -> HTMLResponse:
    named = {"token": token, "problem": problem, "longest": NAME_LENGTH}
    return page(request, "local_name.html", None, 422 if problem else 200, **named)


def _used_up(request: Request) -> HTMLResponse:
    words = words_of(request)
    named = {"title": words("error.refused"), "text": words("local.used_up")}
    return page(request, "message.html", None, 403, **named)
