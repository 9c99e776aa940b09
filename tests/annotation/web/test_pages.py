"""The pages over HTTP: who gets in, what is escaped, which language speaks, what the server refuses."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from tests.annotation.web.sites import PLAIN, Site, plain_site
from tests.e2e.listener import found
from trivox.platform.records import Inquiry, Judgement, Person, Prompt, Task, WorkPause
from trivox.platform.store import Workspace

PASSWORD = "a sentence that is mine"


@pytest.fixture
def site(workspace: Workspace) -> Site:
    return plain_site(workspace)


@pytest.fixture
def ann(site: Site) -> Iterator[TestClient]:
    """A browser in which Ann has accepted her invitation."""
    with browser(site) as client:
        joined = client.post(
            site.invite(), data={"login": "ann", "password": PASSWORD, "name": "Ann"}
        )
        assert joined.status_code == 303 and joined.headers["location"] == "/"
        yield client


def browser(site: Site) -> TestClient:
    return TestClient(site.app, "http://127.0.0.1", follow_redirects=False)


def post(client: TestClient, path: str, body: dict[str, object], method: str = "POST") -> int:
    token = client.get("/api/v1/me").json()["csrf"]
    return client.request(method, path, json=body, headers={"X-CSRF-Token": token}).status_code


def read(client: TestClient, site: Site) -> None:
    assert post(client, f"/api/v1/work/{site.campaign.id}/acknowledge", {"version": 1}) == 200


def test_nobody_sees_a_page_before_signing_in(site: Site) -> None:
    with browser(site) as client:
        for path in ("/", f"/work/{site.campaign.id}", f"/campaigns/{site.campaign.id}", "/check"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert client.get(f"/work/{site.campaign.id}/task").status_code == 303


def test_an_invitation_makes_one_account(site: Site) -> None:
    link = site.invite("Bob")
    given = {"login": "bob", "password": PASSWORD, "name": "Bob"}
    with browser(site) as client:
        assert 'value="Bob"' in client.get(link).text
        weak = client.post(link, data={**given, "password": "short"})
        assert weak.status_code == 422 and 'role="alert"' in weak.text
        assert client.post(link, data=given).status_code == 303
    with browser(site) as other:
        assert other.get(link).status_code == 404
        assert "already" not in other.post(link, data={**given, "login": "eve"}).text
        assert other.get("/").status_code == 303
    assert [one.subject for one in site.workspace.records.find(Person, name="Bob")] == ["bob"]


def test_signing_out_and_in_again(site: Site, ann: TestClient) -> None:
    page = ann.get("/").text
    assert "Good to hear you, Ann" in page
    csrf = found(r'name="csrf" value="([^"]+)"', page)
    assert ann.post("/sign-out", data={"csrf": "wrong"}).status_code == 403
    assert ann.post("/sign-out", data={"csrf": csrf}).status_code == 303
    assert ann.get("/").headers["location"] == "/sign-in"
    wrong = ann.post("/sign-in", data={"login": "ann", "password": "not this one"})
    assert wrong.status_code == 403 and "do not fit together" in wrong.text
    right = {"login": " ANN ", "password": PASSWORD, "back": "//evil.example/"}
    assert ann.post("/sign-in", data=right).headers["location"] == "/"
    assert ann.get("/").status_code == 200


def test_the_guideline_comes_first_and_speaks_chinese(site: Site, ann: TestClient) -> None:
    work = f"/work/{site.campaign.id}"
    assert ann.get(work).headers["location"] == f"/campaigns/{site.campaign.id}"
    assert "<strong>words</strong>" in ann.get(f"/campaigns/{site.campaign.id}").text
    changed = ann.post("/language", data={"language": "zh", "back": work})
    assert changed.headers["location"] == work
    chinese = ann.get(f"/campaigns/{site.campaign.id}").text
    assert '<html lang="zh-CN">' in chinese and "说错或漏掉的<strong>词</strong>" in chinese
    read(ann, site)
    shown = ann.get(work).text
    assert "哪一个更好？" in shown and "更自然" in shown and "听什么" in shown


def test_what_a_prompt_says_is_text(workspace: Workspace) -> None:
    hostile = '</script><img src=x onerror="alert(1)">{{ 7 * 7 }}'
    site = plain_site(workspace, 2)
    one, other = workspace.records.find(Task)
    prompt = Prompt.of(site.campaign.branch, ("en",), text=hostile, instruction=hostile)
    items = (one.items[0], other.items[1])
    asked = replace(one, id="task_hostile", prompt=prompt.id, items=items)
    workspace.records.add(prompt, asked)
    with browser(site) as client:
        client.post(site.invite(), data={"login": "ann", "password": PASSWORD})
        read(client, site)
        texts = []
        for _ in range(3):
            page = client.get(f"/work/{site.campaign.id}").text
            texts.append(page)
            skip = {"reason": "other", "idempotency_key": "key-12345"}
            lease = found(r'data-lease="([^"]+)"', page)
            assert post(client, f"/api/v1/leases/{lease}/skip", skip) == 200
    (page,) = [text for text in texts if "7 * 7" in text]
    assert "<img src=x" not in page and page.count("&lt;/script&gt;&lt;img") == 2


def test_an_unheard_vote_is_refused_whatever_the_page_says(site: Site, ann: TestClient) -> None:
    read(ann, site)
    page = ann.get(f"/work/{site.campaign.id}").text
    assert re.search(r'<fieldset class="answers stack" disabled', page)
    lease = found(r'data-lease="([^"]+)"', page)
    clips = re.findall(r'class="clip" data-audio="([^"]+)" data-url="([^"]+)"', page)
    vote = {"kind": "comparison", "comparison": 3, "idempotency_key": "forged-vote"}
    answer = f"/api/v1/leases/{lease}/answer"
    assert post(ann, answer, vote) == 409
    for _, address in clips:
        assert ann.get(address).status_code == 200
    assert post(ann, answer, vote) == 409, "fetched is not heard"
    played = [
        {"number": number, "audio_id": name, "start_s": 0, "end_s": 1.0}
        for number, (name, _) in enumerate(clips, 1)
    ]
    assert post(ann, f"/api/v1/leases/{lease}/progress", {"played": played}) == 200
    assert post(ann, answer, vote) == 409, "two seconds do not pass in no time"
    assert site.workspace.records.find(Judgement) == []


def test_nothing_tells_the_policies(site: Site, ann: TestClient) -> None:
    read(ann, site)
    page = ann.get(f"/work/{site.campaign.id}")
    names = {name for task in site.workspace.records.find(Task) for name in (task.id, *task.items)}
    for secret in (*names, "ro_", "policy_", "producer"):
        assert secret not in page.text
    assert page.headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'"
    )
    assert page.headers["cache-control"] == "no-store"


def test_another_campaign_is_not_there(site: Site, ann: TestClient) -> None:
    for path in ("/work/cp_other", "/campaigns/cp_other"):
        answer = ann.get(path)
        assert answer.status_code == 404 and "not yours to see" in answer.text
    assert "Traceback" not in ann.get("/campaigns/%00").text


def test_a_pause_shows_its_reason_and_takes_an_appeal(site: Site, ann: TestClient) -> None:
    read(ann, site)
    workspace = site.workspace
    (person,) = workspace.records.find(Person, subject="ann")
    now = person.created_at
    reason = "4 of 10 known answers were missed"
    workspace.records.add(
        WorkPause("wp_1", workspace.project, site.campaign.id, person.id, "gold", reason, now)
    )
    page = ann.get(f"/work/{site.campaign.id}").text
    assert reason in page and "/api/v1/me/inquiries" in page
    body = {"campaign": site.campaign.id, "kind": "appeal", "text": "I had <no> headphones."}
    assert post(ann, "/api/v1/me/inquiries", body) == 200
    (asked,) = workspace.records.find(Inquiry)
    assert (asked.person, asked.text) == (person.id, "I had <no> headphones.")
    assert "I had &lt;no&gt; headphones." in ann.get(f"/work/{site.campaign.id}").text


def test_opting_out_and_in_again(site: Site, ann: TestClient) -> None:
    path = f"/api/v1/work/{site.campaign.id}/opt-out"
    assert post(ann, path, {}, "PUT") == 200
    page = ann.get("/").text
    assert "You left this out" in page and f'data-send="DELETE {path}"' in page
    assert post(ann, path, {}, "DELETE") == 200
    assert "Read the guideline" in ann.get("/").text


def test_the_device_check_is_ones_own(workspace: Workspace) -> None:
    site = plain_site(workspace, 1, replace(PLAIN, device_check=True))
    with browser(site) as client:
        client.post(site.invite(), data={"login": "ann", "password": PASSWORD})
        read(client, site)
        work = client.get(f"/work/{site.campaign.id}")
        assert work.headers["location"] == f"/check?campaign={site.campaign.id}"
        page = client.get(work.headers["location"]).text
        assert f'href="/work/{site.campaign.id}"' in page
        assert 'href="/"' in client.get("/check?campaign=//evil.example").text
        assert post(client, "/api/v1/me/device-check", {}) == 200
        (name,) = site.house.checks._open
        sound = client.get(f"/api/v1/me/device-check/{name}/0")
        assert sound.headers["content-type"] == "audio/wav" and len(sound.content) > 100_000
        finish = f"/api/v1/me/device-check/{name}"
        assert post(client, finish, {"answers": [0, 0, 0, 0, 0, 3]}) == 422
        assert post(client, finish, {"answers": [0, 0, 0, 0, 0, 0]}) == 200
        assert post(client, finish, {"answers": [0, 0, 0, 0, 0, 0]}) == 404
    (person,) = workspace.records.find(Person, subject="ann")
    assert person.device_checked_at is None, "two of six are not enough"
