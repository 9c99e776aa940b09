"""The verbs over HTTP: who may, what is noted, and that a round outlives who asked for it."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from tests.annotation.people.guests import account, browser
from tests.pipelines.conftest import FakeStages, Queue
from trivox.annotation.people import tokens
from trivox.annotation.people.audit import THE_SYSTEM, By
from trivox.app import build_site
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.service import RoundService
from trivox.pipelines.rounds.worker import work
from trivox.pipelines.workspaces import init_workspace
from trivox.platform.errors import ConfigError
from trivox.platform.records import AuditEntry, Loop, Role, Round, RoundStatus
from trivox.platform.store import Workspace


@pytest.fixture
def app(ws: Workspace) -> FastAPI:
    return build_site(ws, None, url="http://127.0.0.1").site


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """With a policy that is there: what is enqueued is checked against it."""
    with init_workspace(tmp_path_factory.mktemp("api") / "ws") as made:
        yield made


CHANGES = [
    ("POST", "/api/v1/rounds", True),
    ("POST", "/api/v1/rounds/plan", True),
    *(("POST", f"/api/v1/rounds/last/{v}", True) for v in ("pause", "resume", "retry", "cancel")),
    ("GET", "/api/v1/rounds", False),
    ("GET", "/api/v1/rounds/last", False),
    ("GET", "/api/v1/rounds/last/lineage", False),
    ("GET", "/api/v1/rounds/last/diff/last", False),
    ("POST", "/api/v1/loops", True),
    ("POST", "/api/v1/loops/none/cancel", True),
    ("GET", "/api/v1/loops", False),
    ("GET", "/api/v1/loops/none", False),
]


@pytest.mark.parametrize("role", [None, *Role])
def test_who_may(ws: Workspace, app: FastAPI, queued: Queue, role: Role | None) -> None:
    queued()
    person = account(ws, "someone", role) if role else None
    client = browser(app, person, follow_redirects=False)
    reads = (Role.LEAD, Role.RESEARCHER, Role.VIEWER, Role.ADMIN)
    for method, path, changes in CHANGES:
        told = client.request(method, path, json={"prompts": "none of that name"})
        allowed = role in ((Role.RESEARCHER, Role.ADMIN) if changes else reads)
        refusals = {401} if role is None else {403}
        assert (told.status_code in refusals) != allowed, (method, path, told.text)


def test_a_token_needs_the_scope(ws: Workspace, app: FastAPI, queued: Queue) -> None:
    queued()
    ada = account(ws, "ada", Role.RESEARCHER)
    for scope, reads, writes in (("rounds:read", 200, 403), ("rounds:write", 403, 200)):
        _, secret = tokens.make(ws, THE_SYSTEM, ada.id, "script", (scope,))
        given = {"Authorization": f"Bearer {secret}"}
        assert browser(app).get("/api/v1/rounds", headers=given).status_code == reads
        told = browser(app).post("/api/v1/rounds/last/pause", headers=given)
        assert told.status_code == writes, told.text


def test_the_verbs_and_who_said_them(
    ws: Workspace, app: FastAPI, queued: Queue, fakes: FakeStages
) -> None:
    round_ = queued()
    ada = account(ws, "ada", Role.RESEARCHER)
    client = browser(app, ada)
    before = len(ws.records.find(AuditEntry))
    assert client.post("/api/v1/rounds/last/pause").json()["status"] == "paused"
    again = client.post("/api/v1/rounds/last/pause")
    assert again.status_code == 409 and "is paused: only one" in again.json()["error"]
    assert client.post(f"/api/v1/rounds/{round_.id}/resume").json()["status"] == "queued"
    assert client.post("/api/v1/rounds/last/delete").status_code == 422
    assert client.get("/api/v1/rounds/elsewhere").status_code == 404
    entries = ws.records.find(AuditEntry)[before:]
    assert [one.action for one in entries] == ["pause round", "resume round"]
    assert {(one.actor, one.object) for one in entries} == {(ada.id, round_.id)}
    assert work(ws, once=True) == 1  # with no browser and no script in sight
    assert client.get("/api/v1/rounds").json()["rounds"][0]["status"] == "done"


def test_enqueued_is_checked_and_named_by_what_it_is(whole: Workspace) -> None:
    app = build_site(whole, None, url="http://127.0.0.1").site
    client = browser(app, account(whole, "ada", Role.RESEARCHER))
    config = {"seed": 3, "rollout": {"prompts": 2}}
    planned = client.post("/api/v1/rounds/plan", json=config).json()
    assert planned["exists"] is False and planned["work"]["rollouts"] == 8
    assert whole.records.find(Round) == []
    made = client.post("/api/v1/rounds", json=config)
    assert made.status_code == 200, made.text
    assert (made.json()["round"], made.json()["status"]) == (planned["round"], "queued")
    assert client.post("/api/v1/rounds", json=config).json()["round"] == planned["round"]
    assert len(whole.records.find(Round)) == 1
    for wrong, status in (
        ({"policy": "nobody"}, 404),
        ({"sead": 1}, 422),
        ({"rollout": {"candidates": 10**9}}, 422),
    ):
        assert client.post("/api/v1/rounds", json=wrong).status_code == status


def test_a_loop_is_started_looked_at_and_cancelled(whole: Workspace) -> None:
    app = build_site(whole, None, url="http://127.0.0.1").site
    ada = account(whole, "lovelace", Role.RESEARCHER)
    client = browser(app, ada)
    config = {"rounds": 2, "round": {"seed": 40, "rollout": {"prompts": 2}}}
    made = client.post("/api/v1/loops", json=config)
    assert made.status_code == 200, made.text
    state = made.json()
    assert state["status"] == "running" and [one["seed"] for one in state["rounds"]] == [40]
    again = client.post("/api/v1/loops", json=config).json()  # the same one, not another
    assert (again["loop"], again["rounds"]) == (state["loop"], state["rounds"])
    assert "is queued" in again["reason"]
    assert client.get(f"/api/v1/loops/{state['loop']}").json() == again
    assert client.post("/api/v1/loops/last/cancel").json()["status"] == "cancelled"
    again = client.post("/api/v1/loops/last/cancel")
    assert again.status_code == 409 and "cannot be cancelled" in again.json()["error"]
    assert client.get("/api/v1/loops").json()["loops"][0]["reason"] == "cancelled"
    noted = whole.records.find(AuditEntry, object=state["loop"])
    assert {(one.actor, one.action) for one in noted} == {
        (ada.id, "start loop"),
        (ada.id, "cancel loop"),
    }
    assert client.get("/api/v1/loops/elsewhere").status_code == 404
    assert client.post("/api/v1/loops", json={"rounds": 0}).status_code == 422


def test_nobody_from_outside_names_servers_folders_or_keys(whole: Workspace) -> None:
    """A server of one's own would be sent the key that the machine has in its environment."""
    app = build_site(whole, None, url="http://127.0.0.1").site
    ada = account(whole, "eve", Role.ADMIN)
    label = {"judges": "grm", "grm": {"backend": "backbone", "model": "/etc"}}
    for path in ("/api/v1/rounds", "/api/v1/rounds/plan"):
        told = browser(app, ada).post(path, json={"seed": 8, "label": label})
        assert told.status_code == 422 and "label.grm" in told.text
    before = len(whole.records.find(Loop))
    told = browser(app, ada).post("/api/v1/loops", json={"round": {"seed": 8, "label": label}})
    assert told.status_code == 422 and "label.grm" in told.text
    assert len(whole.records.find(Loop)) == before
    with pytest.raises(ConfigError, match="enqueue this round there"):
        service = RoundService(whole, By("someone"))
        service.enqueue(RoundConfig.model_validate({"seed": 8, "label": label}))


def test_states_are_told_as_words(ws: Workspace, app: FastAPI, queued: Queue) -> None:
    queued(status=RoundStatus.FAILED, error="stage train: no gradient")
    told = browser(app, account(ws, "v", Role.VIEWER)).get("/api/v1/rounds/last").json()
    assert (told["status"], told["error"]) == ("failed", "stage train: no gradient")
    assert [one["state"] for one in told["stages"]][0] == "failed"


def test_the_description_has_the_configuration(app: FastAPI) -> None:
    assert "RoundConfig" in app.openapi()["components"]["schemas"]
