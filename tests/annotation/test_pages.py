"""The pages over HTTP: who gets in, what is refused, and that nothing tells which policy spoke."""

import re
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from trivox.annotation.access import Access
from trivox.annotation.pages import create_app
from trivox.platform.errors import ConfigError
from trivox.platform.records import Answer, AnswerKind, Judgement, Rollout, Task
from trivox.platform.store import Workspace

ROUND = "round_secret"
TOKEN = "a-token-of-sufficient-length"
HOME = "http://127.0.0.1:8000"


class Clock(Protocol):
    now: float

    def __call__(self) -> float: ...


@pytest.fixture
def outside(workspace: Workspace, tasks: list[Task], clock: Clock) -> Iterator[TestClient]:
    """A browser that has not opened the link yet."""
    app = create_app(workspace, TOKEN, round=ROUND, next_step="Now eat cake.", clock=clock)
    with TestClient(app, HOME) as client:
        yield client


@pytest.fixture
def inside(outside: TestClient) -> TestClient:
    """A browser with the session, before a name is given."""
    assert outside.get("/", params={"token": TOKEN}).status_code == 200
    return outside


@pytest.fixture
def browser(inside: TestClient) -> TestClient:
    """A browser at the first comparison."""
    page = inside.get("/").text
    inside.post("/name", data={"csrf": found(r'name="csrf" value="(\w+)"', page), "name": "Ann"})
    return inside


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, f"{pattern} is not in {text}"
    return match[1]


def clips(page: str) -> list[str]:
    return re.findall(r'<audio src="([^"]+)"', page)


def vote(client: TestClient, choice: str = "a2", **other: Any) -> Response:
    page = client.get("/").text
    body = {"view": found(r'data-view="([^"]+)"', page), "choice": choice, "heard_s": [0.3, 0.3]}
    token = found(r'name="csrf-token" content="(\w+)"', page)
    return client.post("/judgements", json=body | other, headers={"X-CSRF-Token": token})


def listen(client: TestClient, clock: Clock) -> None:
    for address in clips(client.get("/").text):
        assert client.get(address, headers={"Range": "bytes=0-"}).status_code == 206
    clock.now += 0.6


def test_the_token_works_once(outside: TestClient) -> None:
    assert outside.get("/").status_code == 403
    assert outside.get("/", params={"token": "wrong"}).status_code == 403
    assert outside.get("/", params={"token": "ö"}).status_code == 403
    entered = outside.get("/", params={"token": TOKEN})
    assert entered.status_code == 200 and 'http-equiv="refresh"' in entered.text
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    again = outside.get("/", params={"token": TOKEN})
    assert again.status_code == 403 and "a link works once" in again.text
    assert outside.get("/").status_code == 200  # the session goes on
    outside.cookies.clear()
    assert outside.get("/").status_code == 403


@pytest.mark.parametrize("path", ["/name", "/judgements"])
def test_posts_need_the_session(outside: TestClient, path: str) -> None:
    assert outside.post(path).status_code == 403
    assert outside.get("/audio/x").status_code == 403


def test_another_cookie_does_not_open(inside: TestClient) -> None:
    (name,) = inside.cookies.keys()
    inside.cookies.clear()
    assert inside.get("/", headers={"Cookie": f"{name}=guess"}).status_code == 403


def test_two_servers_on_one_host_do_not_share_cookies() -> None:
    assert Access(TOKEN).cookie != Access(TOKEN).cookie


def test_a_token_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ConfigError, match="6 characters"):
        Access("secret")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7:8000", ""])
def test_other_hosts_are_refused(inside: TestClient, host: str) -> None:
    assert inside.get("/", headers={"Host": host}).status_code == 400
    assert inside.get("/", headers={"Host": "localhost:8000"}).status_code == 200


def test_posts_need_the_page(browser: TestClient, clock: Clock, workspace: Workspace) -> None:
    view = found(r'data-view="([^"]+)"', browser.get("/").text)
    body = {"view": view, "choice": "skip"}
    for headers in ({}, {"X-CSRF-Token": "guess"}, {"X-CSRF-Token": ""}):
        refused = browser.post("/judgements", json=body, headers=headers)
        assert refused.status_code == 403 and "reload" in refused.json()["error"]
    for form in ({"name": "Eve"}, {"name": "Eve", "csrf": "guess"}):
        assert browser.post("/name", data=form).status_code == 403
    assert workspace.records.find(Judgement) == []


@pytest.mark.parametrize(
    ("name", "problem"),
    [("  ", "Give a name"), ("x" * 61, "61 characters"), ("a\x07b", "cannot be printed")],
)
def test_names(inside: TestClient, name: str, problem: str) -> None:
    csrf = found(r'name="csrf" value="(\w+)"', inside.get("/").text)
    refused = inside.post("/name", data={"csrf": csrf, "name": name})
    assert refused.status_code == 422 and problem in refused.text


def test_names_are_shown_as_text(inside: TestClient) -> None:
    csrf = found(r'name="csrf" value="(\w+)"', inside.get("/").text)
    page = inside.post("/name", data={"csrf": csrf, "name": "<b>周</b>"})
    assert page.status_code == 200 and "&lt;b&gt;周&lt;/b&gt;" in page.text


def test_before_a_name_is_given_there_is_nothing_to_judge(inside: TestClient) -> None:
    assert inside.get("/audio/x").status_code == 409
    csrf = found(r'name="csrf" value="(\w+)"', inside.get("/").text)
    body = {"view": "x", "choice": "skip"}
    answer = inside.post("/judgements", json=body, headers={"X-CSRF-Token": csrf})
    assert answer.status_code == 409 and "name first" in answer.json()["error"]


def test_from_the_first_comparison_to_the_last(
    browser: TestClient, clock: Clock, workspace: Workspace, tasks: list[Task]
) -> None:
    first = browser.get("/").text
    assert "1 of 2" in first and "Which clip says the text better?" in first
    assert '<p class="text" lang="en"' in first and "the small boat" in first
    assert "Guideline, version 3" in first and "Instruction:" not in first
    listen(browser, clock)
    assert vote(browser, "a3").json() == {"done": 1, "total": 2}
    second = browser.get("/").text
    assert "2 of 2" in second and '<p class="text" lang="zh-CN"' in second and "calmly" in second
    listen(browser, clock)
    assert vote(browser, "both_bad").status_code == 200
    last = browser.get("/").text
    assert "judged all 2 comparisons" in last and "Now eat cake." in last
    one, other = workspace.records.find(Judgement)
    assert abs(one.answer.comparison or 0) == 3 and (one.answer.comparison == 3) == (
        one.presentation == tasks[0].items
    )
    assert other.answer.tie == "both_bad"


@pytest.mark.parametrize("choice", ["a1", "b3", "both_good", "cannot_tell"])
def test_an_unheard_vote_is_refused_when_the_page_is_bypassed(
    browser: TestClient, clock: Clock, workspace: Workspace, choice: str
) -> None:
    clock.now += 60
    refused = vote(browser, choice)
    assert refused.status_code == 409 and "not played to the end" in refused.json()["error"]
    assert workspace.records.find(Judgement) == []


def test_a_vote_too_fast_is_refused(
    browser: TestClient, clock: Clock, workspace: Workspace
) -> None:
    listen(browser, clock)
    clock.now -= 0.1
    refused = vote(browser)
    assert refused.status_code == 409 and "last 0.6 s together" in refused.json()["error"]
    assert workspace.records.find(Judgement) == []


def test_skipping_is_an_abstention_with_its_reason(
    browser: TestClient, workspace: Workspace
) -> None:
    assert vote(browser, "skip", reason="language").status_code == 200
    expected = "I do not know this language well enough"
    assert workspace.records.find(Judgement)[0].answer == Answer(
        AnswerKind.ABSTENTION, abstention=expected
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"choice": "a4"},
        {"choice": "skip", "reason": "lazy"},
        {"heard_s": [0.3]},
        {"heard_s": [-1, 0.3]},
        {"heard_s": ["nan", 0.3]},
        {"policy": "mine"},
        {"view": "x" * 65},
    ],
)
def test_votes_of_another_form(
    browser: TestClient, workspace: Workspace, wrong: dict[str, Any]
) -> None:
    assert vote(browser, **{"choice": "a1"} | wrong).status_code == 422
    assert workspace.records.find(Judgement) == []


def test_audio_by_ranges(browser: TestClient) -> None:
    address = clips(browser.get("/").text)[0]
    whole = browser.get(address)
    assert whole.status_code == 200 and whole.headers["content-type"] == "audio/wav"
    assert whole.content[:4] == b"RIFF" and len(whole.content) == 44 + 2 * 4800
    part = browser.get(address, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, whole.content[4:8])
    assert part.headers["content-range"] == "bytes 4-7/9644"
    assert browser.get(address, headers={"Range": "bytes=9644-"}).status_code == 416
    assert browser.get("/audio/guess").status_code == 404


def test_audio_of_the_comparison_before_is_gone(browser: TestClient) -> None:
    before = clips(browser.get("/").text)
    vote(browser, "skip")
    assert [browser.get(address).status_code for address in before] == [404, 404]


def test_blind(browser: TestClient, clock: Clock, workspace: Workspace) -> None:
    """No page, clip or header holds the id of a rollout, audio, task, round or policy."""
    secrets = ["secret", *(task.id for task in workspace.records.find(Task))]
    secrets += [str(one.audio) for one in workspace.tables.read(Rollout)]
    responses = [browser.get("/")]
    responses += [browser.get(address) for address in clips(responses[0].text)]
    responses += [browser.get("/audio/guess"), vote(browser), browser.get("/static/compare.js")]
    clock.now += 0.6
    responses += [vote(browser), browser.get("/"), vote(browser, "skip"), browser.get("/")]
    for response in responses:
        sent = response.content + str(response.headers).encode()
        assert not [secret for secret in secrets if secret.encode() in sent], response.url


def test_the_audio_addresses_do_not_repeat(workspace: Workspace, tasks: list[Task]) -> None:
    addresses: set[str] = set()
    for _ in range(3):
        with TestClient(create_app(workspace, TOKEN, round=ROUND), HOME) as client:
            client.get("/", params={"token": TOKEN})
            csrf = found(r'name="csrf" value="(\w+)"', client.get("/").text)
            addresses |= set(clips(client.post("/name", data={"csrf": csrf, "name": "Ann"}).text))
    assert len(addresses) == 6


def test_every_response_carries_the_headers(browser: TestClient) -> None:
    for path in ["/", "/nothing", "/static/labels.css", "/audio/guess", "/docs", "/openapi.json"]:
        response = browser.get(path)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["cache-control"] in ("no-store", "no-cache")
    assert browser.get("/docs").status_code == browser.get("/openapi.json").status_code == 404


def test_pages_hold_no_inline_script_and_load_nothing_from_elsewhere(browser: TestClient) -> None:
    page = browser.get("/").text + browser.get("/static/labels.css").text
    assert not re.search(r"<script(?! src=\"/static/)|\son\w+=|style=|javascript:", page)
    assert not re.search(r"(?:src|href|action)=\"(?!/)|url\(", page)


def test_the_end_of_another_judge(
    workspace: Workspace, tasks_for_two: list[Task], clock: Clock
) -> None:
    finished: list[bool] = []
    app = create_app(workspace, TOKEN, round=ROUND, on_finished=lambda: finished.append(True))
    with TestClient(app, HOME) as client:
        client.get("/", params={"token": TOKEN})
        csrf = found(r'name="csrf" value="(\w+)"', client.get("/").text)
        client.post("/name", data={"csrf": csrf, "name": "Ann"})
        vote(client, "skip")
        assert vote(client, "skip").json() == {"done": 2, "total": 2} and not finished
        assert "2 comparisons wait for the judgement of another person" in client.get("/").text
    assert finished
