"""A real Label Studio 1.23: push, judge as invited people by its API, webhook, pull: `make test-label-studio`.

The environment variable TRIVOX_LABEL_STUDIO_VENV names the server's virtual environment.
"""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from tests.annotation.label_studio.campaigns import campaign_of, choice, tasks_of
from tests.annotation.label_studio.real import Annotator, free_port, listens_on
from tests.annotation.people.guests import account
from trivox.annotation.label_studio import people, server
from trivox.annotation.label_studio.client import SECRET_HEADER, LabelStudioClient, RemoteTask
from trivox.annotation.label_studio.connection import keep
from trivox.annotation.label_studio.pull import pull
from trivox.annotation.label_studio.push import HOOK_PATH, push
from trivox.annotation.label_studio.reading import UI_VERSION
from trivox.annotation.people.audit import THE_SYSTEM, verify
from trivox.annotation.web.serving import ServedApp, listen
from trivox.annotation.webapp import make_site
from trivox.annotation.work.states import standing_of
from trivox.cli import app
from trivox.platform.records import (
    AnswerKind,
    Campaign,
    Judgement,
    LabelStudioProject,
    LabelStudioTask,
    Person,
    Refusal,
    TaskState,
)
from trivox.platform.store import Workspace

pytestmark = pytest.mark.label_studio
TASKS = 8
ANSWERS = ("3", "2", "1", "-1", "-2", "-3", "both_bad", "skip:broken_audio")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.Running]:
    with (
        Workspace.create(tmp_path_factory.mktemp("home") / "ws") as home,
        server.serving(home, free_port()) as found,
    ):
        yield found


@pytest.fixture
def served(workspace: Workspace, running: server.Running) -> Iterator[ServedApp]:
    """Trivox's own server, known to Label Studio by its address."""
    opened = listen()
    url = f"http://127.0.0.1:{opened.getsockname()[1]}"
    keep(workspace, running.connection.model_copy(update={"trivox_url": url}))
    with ServedApp(make_site(workspace), opened) as app:
        yield app


@pytest.fixture
def client(served: ServedApp, running: server.Running) -> Iterator[LabelStudioClient]:
    connection = running.connection.model_copy(update={"trivox_url": served.address})
    with LabelStudioClient(connection) as made:
        yield made


@pytest.fixture
def campaign(workspace: Workspace, client: LabelStudioClient) -> Campaign:
    made = campaign_of(workspace, TASKS)
    assert push(workspace, THE_SYSTEM, client, made).added == TASKS
    return made


def somebody(workspace: Workspace, client: LabelStudioClient, name: str) -> Annotator:
    """Signed up there by invitation."""
    email = f"{name}-{time.monotonic_ns()}@example.com"
    return Annotator(client.connection, client.invitation(), email)


def linked(workspace: Workspace, client: LabelStudioClient, name: str) -> tuple[Annotator, Person]:
    """The same, and known here."""
    there, here = somebody(workspace, client, name), account(workspace, name)
    server_url = client.connection.url
    people.link(workspace, THE_SYSTEM, server_url, client.user(there.email), here)
    return there, here


def remote_tasks(workspace: Workspace, client: LabelStudioClient) -> list[RemoteTask]:
    [project] = workspace.records.find(LabelStudioProject)
    return client.export(project.remote or 0)


def expect(workspace: Workspace, task: RemoteTask, alias: str) -> object:
    """What an answer by its alias means in the task's own order."""
    [row] = workspace.records.find(LabelStudioTask, key=task.data["item"])
    if not alias.lstrip("-").isdigit():
        return alias.removeprefix("skip:")
    same = row.presentation == tasks_of(workspace)[row.task].items
    return int(alias) if same else -int(alias)


def said(judgement: Judgement) -> object:
    answer = judgement.answer
    return answer.comparison or (answer.tie.value if answer.tie else answer.abstention)


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    assert condition()


def judgements(workspace: Workspace) -> list[Judgement]:
    return workspace.records.find(Judgement)


def test_a_campaign_there_and_back(
    workspace: Workspace, campaign: Campaign, client: LabelStudioClient, served: ServedApp
) -> None:
    """Half by webhook, the other half with the webhook lost; each judgement once, whatever comes twice."""
    again = push(workspace, THE_SYSTEM, client, campaign)
    assert (again.added, again.there) == (0, TASKS)
    tasks = remote_tasks(workspace, client)
    assert len(tasks) == TASKS
    ada, person = linked(workspace, client, "ada")
    given = dict(zip((task.number for task in tasks), ANSWERS, strict=True))
    by_hook, by_pull = tasks[: TASKS // 2], tasks[TASKS // 2 :]

    for task in by_hook:
        ada.annotate(task.number, choice(given[task.number]))
    wait_for(lambda: len(judgements(workspace)) == len(by_hook))
    for task in by_hook:  # every webhook a second time
        body = {
            "action": "ANNOTATION_CREATED",
            "project": {"id": again.projects[0]},
            "task": {"id": task.number},
            "annotation": {"id": 1, "task": task.number},
        }
        secret = {SECRET_HEADER: client.connection.secret}
        told = httpx.post(f"{served.address}{HOOK_PATH}", json=body, headers=secret)
        assert told.status_code == 202

    served.stop()
    for task in by_pull:
        ada.annotate(task.number, choice(given[task.number]))
    assert len(judgements(workspace)) == len(by_hook)
    first = pull(workspace, THE_SYSTEM, client)
    assert (first.taken, first.unchanged, first.refused) == (len(by_pull), len(by_hook), [])
    second = pull(workspace, THE_SYSTEM, client)
    assert (second.taken, second.unchanged) == (0, TASKS)

    found = {one.task: one for one in judgements(workspace)}
    assert len(judgements(workspace)) == len(found) == TASKS
    rows = {one.key: one.task for one in workspace.records.find(LabelStudioTask)}
    for task in tasks:
        one = found[rows[task.data["item"]]]
        assert said(one) == expect(workspace, task, given[task.number])
        assert (one.judge, one.ui_version, one.heard_s) == (f"human:{person.id}", UI_VERSION, {})
        assert one.taken_s == 9.0
    assert all(one.answered == 1 for one in workspace.records.find(TaskState))
    verify(workspace)


def test_nothing_leaks_and_sounds_play(
    workspace: Workspace, campaign: Campaign, client: LabelStudioClient
) -> None:
    [task, *_] = tasks = remote_tasks(workspace, client)
    every = " ".join(f"{one.data} {client.config(1)}" for one in tasks)
    hidden = ["secret", campaign.id, "policy", *tasks_of(workspace)]
    assert [word for word in hidden if word in every] == []
    played = httpx.get(task.data["audio_a"], headers={"Origin": client.connection.url})
    assert played.status_code == 200 and played.content[:4] == b"RIFF"
    assert played.headers["access-control-allow-origin"] == client.connection.url
    part = httpx.get(task.data["audio_b"], headers={"Range": "bytes=0-43"})
    assert (part.status_code, len(part.content)) == (206, 44)
    assert httpx.get(task.data["audio_a"][:-3] + "x/a").status_code == 404


def test_people_who_are_nobody_forge_or_err_are_refused(
    workspace: Workspace, campaign: Campaign, client: LabelStudioClient
) -> None:
    """Label Studio takes all of it; here each is refused with its reason, and kept."""
    tasks = remote_tasks(workspace, client)
    ada, _ = linked(workspace, client, "ada")
    eve = somebody(workspace, client, "eve")
    eve.annotate(tasks[0].number, choice("3"))
    eve.annotate(tasks[1].number, choice("3"), completed_by=ada.number)
    ada.annotate(tasks[2].number, choice("banana"))
    ada.annotate(tasks[3].number)
    ada.annotate(tasks[4].number, choice("2"))
    ada.annotate(tasks[4].number, choice("-2"))
    told = pull(workspace, THE_SYSTEM, client)
    reasons = sorted(str(one.refusal) for one in told.refused)
    assert reasons == ["bad_answer", "invalid", "not_linked", "other_hand", "repeated"]
    assert len(judgements(workspace)) == 1

    # Once somebody says who Eve is, her own answer counts, and the forged one still does not.
    account_there = client.user(eve.email)
    bob = account(workspace, "bob")
    people.link(workspace, THE_SYSTEM, client.connection.url, account_there, bob)
    told = pull(workspace, THE_SYSTEM, client)
    assert (told.taken, len(told.refused)) == (1, 4)
    assert {one.judge for one in judgements(workspace)} >= {f"human:{bob.id}"}


def test_edits_supersede_and_deletions_are_a_lead_s_to_decide(
    workspace: Workspace, campaign: Campaign, client: LabelStudioClient
) -> None:
    [task, *_] = remote_tasks(workspace, client)
    ada, _ = linked(workspace, client, "ada")
    eve, _ = linked(workspace, client, "eve")
    number = ada.annotate(task.number, choice("3"))
    pull(workspace, THE_SYSTEM, client)
    ada.change(number, choice("-1"))
    wait_for(lambda: len(judgements(workspace)) == 2)
    first, second = judgements(workspace)
    assert second.supersedes == first.id and said(second) == expect(workspace, task, "-1")

    eve.change(number, choice("2"))  # anybody may, there
    told = pull(workspace, THE_SYSTEM, client)
    assert [one.refusal for one in told.refused] == [Refusal.OTHER_HAND]
    assert standing_of(workspace, first.task) == [second]

    eve.delete(number)
    pull(workspace, THE_SYSTEM, client)
    assert standing_of(workspace, first.task) == [second]
    ada.annotate(task.number, choice("1"))  # who deletes and answers anew corrects
    pull(workspace, THE_SYSTEM, client)
    [last] = standing_of(workspace, first.task)
    assert said(last) == expect(workspace, task, "1") and last.supersedes == second.id


def test_what_is_deleted_can_be_struck_out(
    workspace: Workspace, campaign: Campaign, client: LabelStudioClient
) -> None:
    [task, *_] = remote_tasks(workspace, client)
    ada, _ = linked(workspace, client, "ada")
    number = ada.annotate(task.number, choice("3"))
    pull(workspace, THE_SYSTEM, client)
    ada.delete(number)
    told = pull(workspace, THE_SYSTEM, client)
    [one] = judgements(workspace)
    assert standing_of(workspace, one.task) == [one]
    told = pull(workspace, THE_SYSTEM, client, void_gone=True)
    assert told.struck == 1 and standing_of(workspace, one.task) == []
    assert pull(workspace, THE_SYSTEM, client, void_gone=True).struck == 0


def test_a_changed_question_is_put_back_and_its_answers_never_count(
    workspace: Workspace, campaign: Campaign, client: LabelStudioClient
) -> None:
    [project] = workspace.records.find(LabelStudioProject)
    number = project.remote or 0
    [task, *_] = remote_tasks(workspace, client)
    ada, _ = linked(workspace, client, "ada")
    turned = project.config.replace('alias="3"', 'alias="x"').replace('alias="-3"', 'alias="3"')
    ada.change_project(number, label_config=turned.replace('alias="x"', 'alias="-3"'))
    ada.annotate(task.number, choice("3"))
    for _ in range(2):
        told = pull(workspace, THE_SYSTEM, client)
        assert [one.refusal for one in told.refused] == [Refusal.CHANGED_CONFIG]
        assert push(workspace, THE_SYSTEM, client, campaign).added == 0
    assert judgements(workspace) == []


def test_the_server_is_closed_to_others(running: server.Running) -> None:
    """On loopback alone; sign-up needs the invitation; no token in world-readable files."""
    connection = running.connection
    port = int(connection.url.rpartition(":")[2])
    assert listens_on(port) == {"0100007F"}
    with httpx.Client(base_url=connection.url) as http:
        http.get("/user/signup/")
        form = {"email": "m@example.com", "password": "a good password"}
        form["csrfmiddlewaretoken"] = http.cookies["csrftoken"]
        told = http.post("/user/signup/", data=form, headers={"Referer": connection.url})
    assert told.status_code == 403
    assert httpx.get(f"{connection.url}/api/projects").status_code == 401
    folder = Path(running.log).parent
    assert folder.stat().st_mode & 0o077 == 0
    for path in (folder / "connection.json", running.log):
        assert path.stat().st_mode & 0o077 == 0
    assert connection.token not in running.log.read_text("utf-8", "replace")


def test_abstentions_have_their_reason(
    workspace: Workspace, campaign: Campaign, client: LabelStudioClient
) -> None:
    tasks = remote_tasks(workspace, client)
    ada, _ = linked(workspace, client, "ada")
    ada.annotate(tasks[0].number, was_cancelled=True)  # Label Studio's own button
    ada.annotate(tasks[1].number, choice("skip:upsetting"))
    assert pull(workspace, THE_SYSTEM, client).taken + len(judgements(workspace)) >= 2
    answers = [one.answer for one in judgements(workspace)]
    assert [one.kind for one in answers] == [AnswerKind.ABSTENTION] * 2
    assert {one.abstention for one in answers} == {"other", "upsetting"}


def test_the_command_line_prints_one_object(
    workspace: Workspace, campaign: Campaign, client: LabelStudioClient
) -> None:
    def run(*words: str) -> Any:
        where = ["--workspace", str(workspace.root)]
        told = CliRunner().invoke(app, ["label-studio", *words, *where], catch_exceptions=False)
        assert told.exit_code == 0, told.output
        return told.stdout

    [task, *_] = remote_tasks(workspace, client)
    account(workspace, "ada")
    ada = Annotator(client.connection, run("invite").strip(), f"c{time.monotonic_ns()}@example.com")
    run("link", ada.email, "ada")
    ada.annotate(task.number, choice("banana"))
    listed = json.loads(run("people", "--json"))["accounts"]
    assert [one["name"] for one in listed if one["email"] == ada.email] == ["Ada"]
    assert json.loads(run("push", campaign.name, "--json"))["added"] == 0
    told = json.loads(run("pull", "--json"))
    assert [one["reason"] for one in told["refused"]] == ["invalid"]
    run("unlink", ada.email)
