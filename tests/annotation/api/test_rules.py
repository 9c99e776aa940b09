"""Every route by every role: as written in the table, and by the table alone."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, APIRouter
from httpx import Response

from tests.annotation.api.whole import site
from tests.annotation.people.guests import account, browser
from trivox.annotation.people.rules import RULES, Rule
from trivox.platform.records import Role
from trivox.platform.store import Workspace


def routes_of(app: FastAPI) -> Iterator[tuple[str, APIRoute]]:
    """Name and route of everything that the guard stands before."""
    held: list[Any] = list(app.routes)
    while held:
        route = held.pop(0)
        inner = getattr(route, "original_router", None)
        if isinstance(inner, APIRouter):
            held += inner.routes
        elif isinstance(route, APIRoute):
            for method in sorted(route.methods or ()):
                yield f"{method} {route.path}", route


@pytest.fixture
def app(workspace: Workspace) -> FastAPI:
    return site(workspace)


def test_routes_and_rules_are_the_same_set(app: FastAPI) -> None:
    assert {name for name, _ in routes_of(app)} == set(RULES)


@pytest.mark.parametrize("role", [None, *Role])
def test_each_role_gets_where_the_table_lets_it(
    app: FastAPI, workspace: Workspace, role: Role | None
) -> None:
    person = account(workspace, "someone", role) if role else None
    wrong = {}
    client = browser(app, person, raise_server_exceptions=False, follow_redirects=False)
    for name, _ in routes_of(app):
        rule = RULES[name]
        if "sign-out" in name:
            continue  # anyone may leave; test_doors does
        method, path = name.split(" ")
        told = client.request(method, re.sub(r"{\w+}", "nothing", path))
        allowed = role is not None and _lets_in(rule, role)
        expected = "in" if allowed else ("out" if person else "sign in")
        if not rule.public and _outcome(told, path) != expected:
            wrong[name] = (told.status_code, told.text)
    assert wrong == {}


def _lets_in(rule: Rule, role: Role) -> bool:
    return rule.roles is None or role in rule.roles


def _outcome(told: Response, path: str) -> str:
    if told.status_code == 401 or told.headers.get("location", "").startswith("/sign-in"):
        return "sign in"
    return "out" if told.status_code == 403 else "in"


def test_a_route_without_a_rule_is_open_to_nobody(app: FastAPI, workspace: Workspace) -> None:
    @app.get("/api/v1/forgotten")
    def forgotten() -> str:
        return "secret"

    client = browser(app, account(workspace, "ada", *Role))
    assert client.get("/api/v1/forgotten").status_code == 403


def test_roles_of_another_project_are_of_no_use(app: FastAPI, workspace: Workspace) -> None:
    from dataclasses import replace
    from datetime import UTC, datetime

    from trivox.platform.records import Project, RoleGrant

    workspace.records.add(Project("other", "other", datetime.now(UTC)))
    ada = account(workspace, "ada")
    [held] = workspace.records.find(RoleGrant, person=ada.id)
    workspace.records.add(replace(held, id="g2", project="other", role=Role.ADMIN))
    assert browser(app, ada).get("/api/v1/audit").status_code == 403
