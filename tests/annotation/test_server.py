"""The server in its thread: it starts, waits, says what is left, and stops."""

import socket
from datetime import UTC, datetime

import httpx
import pytest

from trivox.annotation.server import serve_labels
from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.records import (
    Answer,
    AnswerKind,
    JudgeKind,
    Judgement,
    Person,
    Role,
    RoleGrant,
    Task,
)
from trivox.platform.store import Workspace

ROUND = "round_secret"


def judged(task: Task) -> Judgement:
    return Judgement(
        id=f"jd_{task.id}",
        project=task.project,
        task=task.id,
        judge_kind=JudgeKind.HUMAN,
        judge="human:Bob",
        answer=Answer(AnswerKind.COMPARISON, comparison=1),
        presentation=task.items,
        idempotency_key=task.id,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_it_serves_the_link_and_stops(workspace: Workspace, tasks: list[Task]) -> None:
    with serve_labels(workspace, ROUND) as labels:
        assert labels.url.startswith(f"http://127.0.0.1:{labels.port}/enter/")
        with httpx.Client() as client:
            assert "Your name" in client.get(labels.url).text
            entered = client.post(labels.url, data={"name": " Ann  Lee "})
            assert entered.headers["location"] == "/work/campaign_1"
            assert "Ann Lee" in client.get(labels.address).text
        assert labels.wait(timeout=0.1) == 2
    with pytest.raises(httpx.ConnectError):
        httpx.get(labels.url)


def test_the_link_lets_one_browser_in_once(workspace: Workspace, tasks: list[Task]) -> None:
    with serve_labels(workspace, ROUND) as labels, httpx.Client() as first, httpx.Client() as other:
        wrong = labels.url[:-1] + ("a" if labels.url[-1] != "a" else "b")
        assert other.post(wrong, data={"name": "Bob"}).status_code == 403
        assert first.post(labels.url, data={"name": " "}).status_code == 422
        assert first.post(labels.url, data={"name": "x" * 61}).status_code == 422
        assert first.post(labels.url, data={"name": "Ann"}).status_code == 303
        for again in (first.post(labels.url, data={"name": "Bob"}), other.get(labels.url)):
            assert again.status_code == 403 and "used up" in again.text
        assert other.get(labels.address + "/").status_code == 303
        assert other.get(labels.address + "/api/v1/me").status_code == 401
    assert [one.name for one in workspace.records.find(Person)] == ["Ann"]


def test_the_same_name_is_the_same_person(workspace: Workspace, tasks: list[Task]) -> None:
    for name in ("Ann", "ann ", "Bob"):
        with serve_labels(workspace, ROUND) as labels:
            assert httpx.post(labels.url, data={"name": name}).status_code == 303
    people = workspace.records.find(Person)
    assert [one.name for one in people] == ["Ann", "Bob"]
    roles = {grant.role for grant in workspace.records.find(RoleGrant)}
    assert roles == {Role.ANNOTATOR}


def test_it_ends_when_the_judgements_come_from_elsewhere(
    workspace: Workspace, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trivox.annotation.server.LOOK_S", 0.05)
    monkeypatch.setattr("trivox.annotation.server.LAST_PAGE_S", 0.05)
    with serve_labels(workspace, ROUND) as labels:
        workspace.records.add(*map(judged, tasks))
        assert labels.wait() == 0


def test_what_cannot_be_served(workspace: Workspace, tasks: list[Task]) -> None:
    with pytest.raises(ConfigError, match=r"host is '0\.0\.0\.0'"):
        serve_labels(workspace, ROUND, host="0.0.0.0")
    with pytest.raises(UsageError, match="round round_other: no comparison waits"):
        serve_labels(workspace, "round_other")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} cannot be used"):
            serve_labels(workspace, ROUND, port=port)
    with pytest.raises(ConfigError, match="port 99999"):
        serve_labels(workspace, ROUND, port=99999)
