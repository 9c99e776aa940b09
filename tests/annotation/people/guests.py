"""Accounts for tests, and browsers that are signed in."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from trivox.annotation.people import accounts, invites, sessions
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.platform.records import Person, Role
from trivox.platform.store import Workspace

PASSWORD = "correct horse battery"
Make = Callable[..., Person]


def account(workspace: Workspace, login: str, *roles: Role) -> Person:
    """An account that has accepted its invite; an annotator's where no role is named."""
    guest = invites.Guest(
        login.title(), roles=roles or (Role.ANNOTATOR,), languages={"en": "native"}
    )
    [(_, token)] = invites.invite(workspace, THE_SYSTEM, [guest])
    person, _ = accounts.accept(workspace, token, login, PASSWORD, address=f"from-{login}")
    return person


def browser(app: FastAPI, person: Person | None = None, **options: Any) -> TestClient:
    """A client with a session of the person and the page's token; of nobody for None."""
    client = TestClient(app, base_url="http://127.0.0.1", **options)
    if person is not None:
        door = app.state.door
        secret = sessions.begin(door.workspace, person.id, "test")
        client.cookies.set(door.cookie, secret)
        client.headers["X-CSRF-Token"] = sessions.csrf_of(secret)
    return client
