"""The surfaces of `trivox serve`: who gets to the live routes, and what answers where."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI, HTTPException, Request

from tests.annotation.people.guests import account, browser
from trivox.annotation.people import tokens
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.app import AccountAccess, Surfaces, build_site
from trivox.pipelines.live.access import Unauthorised
from trivox.platform.records import Role
from trivox.platform.store import Workspace

ONE = "a token that is long enough"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    """The site; below /v1 an app that says who was let in."""
    with Workspace.create(tmp_path / "ws") as workspace:
        site = build_site(workspace, None, url="http://127.0.0.1").site
        live, admit = FastAPI(), AccountAccess(ONE)
        live.state.door = site.state.door

        @live.get("/v1/who")
        def who(request: Request) -> str:
            try:
                return admit(request).name
            except Unauthorised as error:
                raise HTTPException(401, str(error)) from None

        surfaces = Surfaces(site, live)
        surfaces.state = site.state  # type: ignore[attr-defined]  # where the test's browser looks
        yield surfaces  # type: ignore[misc]


def test_the_live_routes_know_the_accounts(app: FastAPI) -> None:
    workspace = app.state.door.workspace
    lea, ann = account(workspace, "lea", Role.LEAD), account(workspace, "ann")
    assert browser(app, lea).get("/v1/who").json() == "Lea"
    assert browser(app, ann).get("/v1/who").status_code == 401
    assert browser(app).get("/v1/who").status_code == 401
    for scope, status in (("speech:read", 200), ("work:read", 401)):
        _, secret = tokens.make(workspace, THE_SYSTEM, lea.id, "script", (scope,))
        given = {"Authorization": f"Bearer {secret}"}
        assert browser(app).get("/v1/who", headers=given).status_code == status
    given = {"Authorization": f"Bearer {ONE}"}
    assert browser(app).get("/v1/who", headers=given).json() == "token"


def test_all_else_is_the_site(app: FastAPI) -> None:
    assert browser(app).get("/api/v1/health").json() == {"done": True}
    assert browser(app).get("/v1elsewhere").status_code == 404
