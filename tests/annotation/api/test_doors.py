"""What stands before every route: sessions, tokens, the page's token, origin, size, headers, errors."""

import pytest
from fastapi.testclient import TestClient

from tests.annotation.api.whole import site
from tests.annotation.people.guests import PASSWORD, account, browser
from trivox.annotation.people import sessions, tokens
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.annotation.webapp import HEADERS, make_site
from trivox.platform.records import Person, Role
from trivox.platform.store import Workspace

SIGN_IN = {"login": "ada", "password": PASSWORD}


def test_sign_in_sets_a_cookie_that_scripts_cannot_read(workspace: Workspace) -> None:
    account(workspace, "ada", Role.LEAD)
    with browser(site(workspace)) as client:
        entered = client.post("/api/v1/sign-in", json=SIGN_IN)
        assert entered.status_code == 200 and entered.json()["roles"] == ["lead"]
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie and "secure" not in cookie
        assert client.get("/api/v1/me").json()["name"] == "Ada"
        csrf = {"X-CSRF-Token": entered.json()["csrf"]}
        assert client.post("/api/v1/sign-out", headers=csrf).status_code == 200
        assert client.get("/api/v1/me").status_code == 401


def test_by_https_the_cookie_goes_nowhere_else(workspace: Workspace) -> None:
    account(workspace, "ada")
    app = make_site(workspace, secure=True, hosts=["testserver"])
    with TestClient(app, base_url="https://testserver") as client:
        entered = client.post("/api/v1/sign-in", json=SIGN_IN)
        cookie = entered.headers["set-cookie"]
        assert cookie.startswith("__Host-") and "Secure" in cookie and "Path=/" in cookie
        assert "max-age" in entered.headers["strict-transport-security"]
        assert client.get("/api/v1/me").status_code == 200


@pytest.mark.parametrize("csrf", [None, "", "wrong"])
def test_without_the_pages_token_nothing_is_changed(workspace: Workspace, csrf: str | None) -> None:
    ada = account(workspace, "ada")
    client = browser(site(workspace), ada)
    client.headers.pop("X-CSRF-Token")
    headers = {} if csrf is None else {"X-CSRF-Token": csrf}
    refused = client.patch("/api/v1/me", json={"name": "Eve"}, headers=headers)
    assert refused.status_code == 403 and "reload" in refused.json()["error"]
    assert workspace.records.get(Person, ada.id).name == "Ada"


def test_the_token_of_another_session_is_none(workspace: Workspace) -> None:
    ada = account(workspace, "ada")
    client = browser(site(workspace), ada)
    other = sessions.csrf_of(sessions.begin(workspace, ada.id, None))
    told = client.patch("/api/v1/me", json={"name": "E"}, headers={"X-CSRF-Token": other})
    assert told.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_what_began_on_another_site_is_refused(
    workspace: Workspace, headers: dict[str, str]
) -> None:
    account(workspace, "ada")
    client = browser(site(workspace))
    assert client.post("/api/v1/sign-in", json=SIGN_IN, headers=headers).status_code == 403
    own = {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/v1/sign-in", json=SIGN_IN, headers=own).status_code == 200


def test_too_many_attempts_are_told_when_to_come_again(workspace: Workspace) -> None:
    client = browser(site(workspace))
    wrong = SIGN_IN | {"password": "wrong"}
    told = [client.post("/api/v1/sign-in", json=wrong) for _ in range(6)]
    assert [one.status_code for one in told] == [403] * 5 + [429]
    assert 0 < int(told[-1].headers["retry-after"]) <= 901


def test_tokens_do_what_their_scopes_say_and_no_more(workspace: Workspace) -> None:
    ada = account(workspace, "ada", Role.LEAD)
    _, secret = tokens.make(workspace, THE_SYSTEM, ada.id, "script", ("people:read",))
    client = browser(site(workspace))
    client.headers["Authorization"] = f"Bearer {secret}"
    assert client.get("/api/v1/people").status_code == 200
    refused = client.post("/api/v1/invites", json={"guests": [{"name": "B"}]})
    assert refused.status_code == 403 and "people:write" in refused.json()["error"]
    assert client.get("/api/v1/me/tokens").status_code == 403


def test_a_token_is_no_stronger_than_its_person(workspace: Workspace) -> None:
    bob = account(workspace, "bob")
    token, secret = tokens.make(workspace, THE_SYSTEM, bob.id, "script", ("people:read",))
    client = browser(site(workspace))
    client.headers["Authorization"] = f"Bearer {secret}"
    assert client.get("/api/v1/people").status_code == 403
    tokens.revoke(workspace, THE_SYSTEM, token.id)
    assert client.get("/api/v1/people").status_code == 401
    assert secret not in str(workspace.records.find(tokens.ApiToken))


def test_an_ended_token_is_refused_though_a_cookie_is_there(workspace: Workspace) -> None:
    ada = account(workspace, "ada")
    client = browser(site(workspace), ada)
    assert client.get("/api/v1/me", headers={"Authorization": "Bearer gone"}).status_code == 401


def test_every_answer_has_the_headers(workspace: Workspace) -> None:
    client = browser(site(workspace))
    for path in ("/api/v1/health", "/api/v1/me", "/nowhere"):
        told = client.get(path)
        assert HEADERS.items() <= dict(told.headers.multi_items()).items() or all(
            told.headers[name] == value for name, value in HEADERS.items()
        )
        assert told.headers["cache-control"] == "no-store"
    assert "script-src 'self';" in HEADERS["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in HEADERS["Content-Security-Policy"]


def test_bodies_have_a_size(workspace: Workspace) -> None:
    client = browser(site(workspace))
    large = b" " * (1 << 20) + b"{}"
    assert client.post("/api/v1/sign-in", content=large).status_code == 413
    pieces = (b" " * 65_536 for _ in range(17))
    told = client.post("/api/v1/sign-in", content=pieces)
    assert told.status_code == 413


def test_other_hosts_are_not_answered(workspace: Workspace) -> None:
    client = browser(site(workspace))
    assert client.get("/api/v1/health", headers={"Host": "evil.example"}).status_code == 400


def test_what_goes_wrong_inside_is_not_shown(workspace: Workspace) -> None:
    ada = account(workspace, "ada")
    app = site(workspace)
    client = browser(app, ada, raise_server_exceptions=False)
    app.state.work = None
    told = client.get("/api/v1/work")
    assert told.status_code == 500 and list(told.json()) == ["error"]
    assert "NoneType" not in told.text and "Traceback" not in told.text
