"""What Trivox answers to Label Studio: notices with the secret, never stored; sounds by their address."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.annotation.api.whole import site
from tests.annotation.label_studio.campaigns import URL, StandIn, pushed, row_of
from tests.annotation.people.guests import browser
from trivox.annotation.label_studio import receive
from trivox.annotation.label_studio.client import SECRET_HEADER
from trivox.annotation.label_studio.connection import Connection, keep
from trivox.annotation.label_studio.push import AUDIO_PATH, HOOK_PATH
from trivox.platform.records import (
    Campaign,
    CampaignStatus,
    Judgement,
    LabelStudioAnnotation,
    LabelStudioProject,
)
from trivox.platform.store import Workspace

NOTICE = {
    "action": "ANNOTATION_CREATED",
    "project": {"id": 1, "label_config": "<View/>"},
    "annotation": {"id": 5, "task": 1000, "result": [{"value": "believed by nobody"}]},
}


class Noting(receive.Courier):
    """Notes what it is to fetch."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.fetched: list[int] = []

    def _go(self, connection: Connection, project: LabelStudioProject, task: int) -> None:
        self.fetched.append(task)


@pytest.fixture
def there(workspace: Workspace) -> StandIn:
    client, _ = pushed(workspace, 2)
    keep(workspace, client.connection)
    return client


@pytest.fixture
def app(workspace: Workspace) -> FastAPI:
    made = site(workspace)
    made.state.label_studio = Noting(workspace)
    return made


@pytest.fixture
def hook(app: FastAPI, there: StandIn) -> TestClient:
    client = browser(app, raise_server_exceptions=False)
    client.headers[SECRET_HEADER] = there.connection.secret
    return client


def fetched(app: FastAPI) -> list[int]:
    courier = app.state.label_studio
    courier._pool.shutdown(wait=True)
    return list(courier.fetched)


def test_a_notice_is_a_reason_to_look(app: FastAPI, hook: TestClient, workspace: Workspace) -> None:
    told = hook.post(HOOK_PATH, json=NOTICE)
    assert (told.status_code, told.json()) == (202, {"tasks": 1})
    assert fetched(app) == [1000]
    assert workspace.records.find(LabelStudioAnnotation) == workspace.records.find(Judgement) == []


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({SECRET_HEADER: ""}, NOTICE, 403),
        ({SECRET_HEADER: "x" * 43}, NOTICE, 403),
        ({SECRET_HEADER: "é"}, NOTICE, 403),
        ({}, NOTICE | {"project": {"id": 77}}, 404),
        ({}, NOTICE | {"project": {"id": 2**70}}, 422),
        ({}, NOTICE | {"action": "PROJECT_DELETED"}, 422),
        ({}, NOTICE | {"annotations": [{"id": n + 1} for n in range(1001)]}, 422),
        ({}, [], 422),
        ({}, None, 422),
        ({}, NOTICE | {"padding": "x" * receive.LARGEST_NOTICE}, 413),
    ],
)
def test_hostile_notices_leave_nothing(
    app: FastAPI, hook: TestClient, headers: dict[str, str], body: Any, status: int
) -> None:
    encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    assert hook.post(HOOK_PATH, json=body, headers=encoded).status_code == status  # type: ignore[arg-type]
    assert fetched(app) == []


def test_without_a_connection_nobody_is_let_in(app: FastAPI) -> None:
    client = browser(app, raise_server_exceptions=False)
    assert client.post(HOOK_PATH, json=NOTICE).status_code == 403
    assert client.post(HOOK_PATH, json=NOTICE, headers={SECRET_HEADER: ""}).status_code == 403


def test_the_same_task_waits_once_and_the_queue_has_an_end(
    workspace: Workspace, there: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier = Noting(workspace)
    courier._pool.shutdown()
    monkeypatch.setattr(courier._pool, "submit", lambda *_: None)
    monkeypatch.setattr(receive, "MOST_WAITING", 2)
    [project] = workspace.records.find(LabelStudioProject)
    told = [courier.fetch(there.connection, project, task) for task in (1, 1, 2, 3)]
    assert told == [True, True, True, False] and len(courier._waiting) == 2


def test_sounds_play_by_their_address_alone(
    app: FastAPI, workspace: Workspace, there: StandIn
) -> None:
    client = browser(app, raise_server_exceptions=False)
    row = row_of(workspace, there.tasks[1][0])
    address = f"{AUDIO_PATH}/{row.key}"
    whole = client.get(f"{address}/a")
    assert whole.status_code == 200 and whole.content[:4] == b"RIFF"
    assert whole.headers["access-control-allow-origin"] == URL
    assert whole.headers["cross-origin-resource-policy"] == "cross-origin"
    part = client.get(f"{address}/b", headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
    assert client.get(f"{address}/a", headers={"Range": "bytes=9999999-"}).status_code == 416
    for wrong in (f"{address}/history", f"{AUDIO_PATH}/{'x' * 22}/a", f"{AUDIO_PATH}/{row.task}/a"):
        assert client.get(wrong).status_code == 404
    assert client.get(f"{address}/c").status_code == 422
    campaign = workspace.records.get(Campaign, row.campaign)
    workspace.records.replace(replace(campaign, status=CampaignStatus.CLOSED))
    assert client.get(f"{address}/a").status_code == 404
