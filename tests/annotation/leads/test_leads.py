"""What leads do: void and ask anew, guideline versions, hours and pay, questions; and the pages that show it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.annotation.people.guests import account, browser
from tests.annotation.work.conftest import Desk, better, campaign
from trivox.annotation.leads import campaigns, guidelines, hours, inquiries, review
from trivox.annotation.people.audit import THE_SYSTEM, verify
from trivox.annotation.webapp import make_site
from trivox.annotation.work.shapes import Nothing, Why
from trivox.annotation.work.states import standing_of
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import (
    Answer,
    AnswerKind,
    InquiryKind,
    Judgement,
    Purpose,
    Role,
    Task,
    TaskLease,
)
from trivox.platform.store import Workspace


def test_voided_work_is_asked_of_others(workspace: Workspace) -> None:
    where, desk = campaign(workspace, 2), Desk(workspace)
    bad, good = (account(workspace, name).id for name in ("bad", "good"))
    for person in (bad, good):
        desk.enter(person, where)
    for _ in range(2):
        desk.judge(bad, where, better(3))
    assert isinstance(desk.work.next_lease(good, where.id), Nothing)
    assert review.void(workspace, THE_SYSTEM, where.id, bad, "never listened") == 2
    tasks = workspace.records.find(Task, campaign=where.id)
    assert all(standing_of(workspace, task.id) == [] for task in tasks)
    for _ in range(2):
        desk.judge(good, where, better(1))
    assert len(workspace.records.find(Judgement)) == 4, "what was struck out is kept"
    told = desk.work.next_lease(bad, where.id)
    assert isinstance(told, Nothing) and (told.reason, told.message) == (
        Why.PAUSED,
        "never listened",
    )
    with pytest.raises(UsageError, match="has no answer"):
        review.void(workspace, THE_SYSTEM, where.id, bad, "again")


def test_a_pause_holds_until_it_is_lifted(workspace: Workspace) -> None:
    where, desk = campaign(workspace, 1), Desk(workspace)
    ada = account(workspace, "ada").id
    desk.enter(ada, where)
    made = review.pause(workspace, THE_SYSTEM, where.id, ada, "let us talk")
    with pytest.raises(UsageError, match="paused already"):
        review.pause(workspace, THE_SYSTEM, where.id, ada, "twice")
    review.lift(workspace, THE_SYSTEM, made.id)
    assert not isinstance(desk.work.next_lease(ada, where.id), Nothing)
    with pytest.raises(NotFound):
        review.lift(workspace, THE_SYSTEM, made.id)


def test_guideline_versions(workspace: Workspace) -> None:
    where = campaign(workspace, 1)
    texts = {"en": "Listen twice.", "zh": "听两遍。"}
    second = guidelines.publish(workspace, THE_SYSTEM, where.id, texts, warning={"en": "sad"})
    third = guidelines.publish(workspace, THE_SYSTEM, where.id, texts, requalify=True)
    assert (second.version, third.version) == (2, 3)
    now = campaigns.campaign_of(workspace, where.id)
    assert (now.guideline_version, now.guideline, now.plan.trained_from) == (3, "Listen twice.", 3)
    assert guidelines.text_of(workspace, where.id, 2, "zh-CN") == ("听两遍。", "sad")
    assert guidelines.text_of(workspace, where.id, 3, "fr") == ("Listen twice.", None)
    with pytest.raises(UsageError, match="give at least 'en'"):
        guidelines.publish(workspace, THE_SYSTEM, where.id, {"zh": "听"})


def test_hours_and_pay_by_hand(workspace: Workspace) -> None:
    """Two answers of 90 s and 30 min, of which 10 min are paid: 690 s at 36 an hour are 6.90."""
    where, desk = campaign(workspace, 2), Desk(workspace)
    ada = account(workspace, "ada")
    workspace.records.replace(replace(ada, name="=cmd()", pay_rate=36.0, pay_currency="EUR"))
    desk.enter(ada.id, where)
    for seconds in (90, 1800):
        lease = desk.next(ada.id, where)
        desk.listen(ada.id, lease)
        held = workspace.records.get(TaskLease, lease.id)
        desk.work.answer(ada.id, lease.id, better(1), f"key-{seconds}")
        closed = workspace.records.get(TaskLease, lease.id)
        moved = datetime.fromtimestamp(held.opened_at.timestamp() + seconds, UTC)
        workspace.records.replace(replace(closed, closed_at=moved))
    [worked] = hours.hours(workspace, campaign=where.id)
    assert (worked.answers, worked.training, worked.pay) == (2, 0, 6.9)
    assert worked.hours == pytest.approx(690 / 3600, abs=1e-4)
    table = hours.to_csv([worked]).splitlines()
    assert table[0].split(",") == list(hours.HEAD)
    assert "'=cmd()" in table[1] and table[1].endswith("36.0,EUR,6.9")
    assert hours.hours(workspace, since=datetime(2031, 1, 1, tzinfo=UTC).date()) == []


def test_controls_are_unseen_tasks_and_can_be_retired(workspace: Workspace) -> None:
    where, desk = campaign(workspace, 2), Desk(workspace)
    ada = account(workspace, "ada").id
    desk.enter(ada, where)
    desk.judge(ada, where, better(1))
    seen = workspace.records.find(Judgement)[0].task
    [unseen] = {task.id for task in workspace.records.find(Task)} - {seen}
    right = Answer(AnswerKind.COMPARISON, comparison=2)
    with pytest.raises(UsageError, match="judged already"):
        campaigns.add_control(workspace, THE_SYSTEM, seen, Purpose.GOLD, right)
    made = campaigns.add_control(workspace, THE_SYSTEM, unseen, Purpose.GOLD, right)
    with pytest.raises(UsageError, match="a control already"):
        campaigns.add_control(workspace, THE_SYSTEM, unseen, Purpose.GOLD, right)
    campaigns.retire_control(workspace, THE_SYSTEM, made.id, "leaked")
    with pytest.raises(NotFound):
        campaigns.retire_control(workspace, THE_SYSTEM, made.id, "again")


def test_an_inquiry_is_answered_once(workspace: Workspace) -> None:
    where, ada = campaign(workspace, 1), account(workspace, "ada").id
    asked = inquiries.ask(workspace, ada, where.id, InquiryKind.QUESTION, "What is natural?")
    assert inquiries.waiting(workspace) == [asked]
    inquiries.answer(workspace, THE_SYSTEM, asked.id, "As a person would say it.")
    assert inquiries.waiting(workspace) == []
    assert inquiries.of_person(workspace, ada)[0].answer == "As a person would say it."
    with pytest.raises(UsageError, match="was answered"):
        inquiries.answer(workspace, THE_SYSTEM, asked.id, "Again")


def test_what_is_anothers_is_not_found(workspace: Workspace) -> None:
    where, app = campaign(workspace, 2), make_site(workspace)
    ada, eve = account(workspace, "ada"), account(workspace, "eve")
    mine, hers = browser(app, ada), browser(app, eve)
    for client in (mine, hers):
        told = client.post(f"/api/v1/work/{where.id}/acknowledge", json={"version": 1})
        assert told.status_code == 200
    lease = mine.post(f"/api/v1/work/{where.id}/next").json()["lease"]
    start, clip = f"/api/v1/leases/{lease['id']}", lease["clips"][0]["audio_id"]
    assert mine.get(f"{start}/audio/{clip}").status_code == 200
    answer = {"kind": "comparison", "comparison": 1, "idempotency_key": "a-key-of-eve"}
    for told in (
        hers.get(start),
        hers.get(f"{start}/audio/{clip}"),
        hers.post(f"{start}/progress", json={"played": []}),
        hers.post(f"{start}/answer", json=answer),
        hers.post(f"{start}/skip", json={"reason": "other", "idempotency_key": "a-key-of-eve"}),
        hers.put(f"{start}/draft", json={"values": {}}),
    ):
        assert told.status_code == 404
    own = hers.post(f"/api/v1/work/{where.id}/next").json()["lease"]
    assert hers.get(f"/api/v1/leases/{own['id']}/audio/{clip}").status_code == 404
    assert workspace.records.find(Judgement) == []
    unheard = mine.post(f"{start}/answer", json=answer)
    assert unheard.status_code == 409


def test_a_lead_runs_a_campaign_in_the_browser(workspace: Workspace, tmp_path: Path) -> None:
    client = browser(make_site(workspace), account(workspace, "lea", Role.LEAD))
    csrf = {"csrf": client.headers.pop("X-CSRF-Token")}
    told = client.post("/leads/people", data={**csrf, "rows": "name\n<b>Bo</b>\n"})
    assert told.status_code == 200 and "/invite/" in told.text
    assert "&lt;b&gt;Bo" in told.text and "<b>Bo" not in told.text
    refused = client.post("/leads/people", data={**csrf, "rows": "name,roles\nBo,admin\n"})
    assert refused.status_code == 403
    form = {"name": "Calm", "branch": "tts", "languages": "en zh-CN", "english": "# Listen"}
    shown = client.post("/leads/campaigns", data=csrf | form)
    assert shown.status_code == 200 and "Calm" in shown.text
    assert client.post("/leads/campaigns", data=form).status_code == 403, "without the token"
    path = shown.url.path
    client.post(f"{path}/guideline", data=csrf | {"english": "Twice", "requalify": "true"})
    client.post(f"{path}/status", data=csrf | {"status": "paused"})
    assert "paused" in client.get("/leads").text
    made = campaigns.campaign_of(workspace, path.rsplit("/", 1)[1])
    assert (made.guideline, made.plan.trained_from, made.status.value) == ("Twice", 2, "paused")
    assert verify(workspace) >= 5
