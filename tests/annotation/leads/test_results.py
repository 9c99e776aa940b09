"""Figures, yield, commit and export of one small campaign, by API and on the leads' page."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.annotation.people.guests import account, browser
from tests.annotation.work.conftest import FIRST, NOON, SECOND, Desk, campaign, people
from trivox.annotation.aggregation import Method
from trivox.annotation.imports import import_rows, read_rows
from trivox.annotation.leads import results
from trivox.annotation.leads.results import Wanted
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.annotation.webapp import make_site
from trivox.annotation.work.leasing import side_order
from trivox.platform.errors import UsageError
from trivox.platform.records import (
    Answer,
    AnswerKind,
    AuditEntry,
    Control,
    JudgeKind,
    Judgement,
    PreferenceSet,
    Purpose,
    Role,
    RoleGrant,
    Task,
)
from trivox.platform.store import Workspace

PATH = "/api/v1/campaigns/cp_first"


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Four comparisons of policy_0 and policy_1, two judges: the first policy wins three times by both; of the
    last they disagree, a third judge ties, and an expert is for the second. One more task is gold, and a
    simulated judge said the opposite of everything."""
    with Workspace.create(tmp_path_factory.mktemp("results") / "ws") as made:
        one, desk = campaign(made, 5, overlap=2), Desk(made)
        people(made, "ann", "bob", "cem", "eve")
        gold = Answer(AnswerKind.COMPARISON, comparison=1)
        made.records.add(
            Control("c", made.project, one.id, "task_first_004", Purpose.GOLD, gold, NOON),
            RoleGrant("g", made.project, "eve", Role.EXPERT, NOON),
        )
        for person in ("ann", "bob", "cem", "eve"):
            desk.enter(person, one)
        for person in ("ann", "bob"):
            for _ in range(4):
                judge(desk, person, 1 if person == "bob" else 0)
        tied = desk.next("cem", one)
        desk.listen("cem", tied)
        from tests.annotation.test_waiting import TIED

        desk.work.answer("cem", tied.id, TIED, "k")
        judge(desk, "eve", 1)
        for task in made.records.find(Task):
            made.records.add(simulated(task))
        yield made


def judge(desk: Desk, person: str, of_last: int) -> None:
    """For the task's first item; of the last task for the item given."""
    (one,) = [one for one in desk.work.overview(person)]
    lease = desk.work.next_lease(person, one.campaign)
    desk.listen(person, lease)  # type: ignore[arg-type]
    task = desk.ws.records.get(Task, lease.task)  # type: ignore[union-attr]
    best = task.items[of_last if task.id == "task_first_003" else 0]
    why = Purpose.ADJUDICATE if person == "eve" else Purpose.JUDGE
    said = FIRST if side_order(person, task, why)[0] == best else SECOND
    desk.work.answer(person, lease.id, said, "k")  # type: ignore[union-attr]


def simulated(task: Task) -> Judgement:
    said = Answer(AnswerKind.COMPARISON, comparison=-3)
    return Judgement(
        f"s {task.id}", task.project, task.id, JudgeKind.SIMULATED, "simulated:x", said,
        task.items, f"s {task.id}", NOON,
    )  # fmt: skip


@pytest.fixture(scope="module")
def lead(ws: Workspace) -> TestClient:
    return browser(make_site(ws, hosts=["*"]), account(ws, "lea", Role.LEAD))


def test_how_far_it_is(lead: TestClient) -> None:
    told = lead.get(f"{PATH}/status").json()
    assert (told["answered"], told["finished"], told["tasks"]) == (9, 4, 5)
    assert told["judgements"] == {"human": 10, "simulated": 5}
    assert (told["waiting_for_expert"], told["left_out"]) == (0, 0)


def test_agreement_is_of_people_and_of_questions_alone(lead: TestClient) -> None:
    """Of four questions three are agreed on and one is split; gold is none of them."""
    told = lead.get(f"{PATH}/statistics").json()
    assert told["classes"] == {"full": 3, "majority": 0, "split": 1, "single": 0, "none": 0}
    (one,) = told["agreement"]
    assert one["question"] == "overall@1" and one["alpha"]["units"] == 4
    assert told["side"]["decided"] == 8


def test_the_leaderboard_is_of_people_with_the_tie_policy_stated(lead: TestClient) -> None:
    """policy_0 won 7 of the 8 decided, and one tied: with a tie as half 7.5 / 9, without 7 / 8."""
    places = lead.get(f"{PATH}/leaderboard").json()["places"]
    assert [one["policy"] for one in places] == ["policy_0", "policy_1"]
    assert places[0]["interval"]["low"] > places[1]["interval"]["low"]
    rates = {one["ties"]: one["micro"] for one in places[0]["win_rates"]}
    assert rates == pytest.approx({"half": 7.5 / 9, "drop": 7 / 8})


def test_who_is_reliable_is_for_those_who_work_with_the_data(
    ws: Workspace, lead: TestClient
) -> None:
    told = lead.get(f"{PATH}/reliability").json()["judges"]
    assert [one["judge"] for one in told] == ["human:ann", "human:bob", "human:cem"]
    assert told[0]["share"] > told[2]["share"]
    viewer = browser(make_site(ws, hosts=["*"]), account(ws, "vic", Role.VIEWER))
    assert viewer.get(f"{PATH}/statistics").status_code == 200
    assert viewer.get(f"{PATH}/reliability").status_code == 403
    page = viewer.get("/leads/campaigns/cp_first/results")
    assert page.status_code == 200 and "Store the preferences" not in page.text


def test_the_preview_keeps_what_a_commit_stores(ws: Workspace, lead: TestClient) -> None:
    """Three by agreement and one by the expert, who is for the second item."""
    rows = lead.get(f"{PATH}/yield").json()["yields"]
    (told,) = [
        one for one in rows
        if (one["method"], one["min_margin"], one["min_confidence"]) == ("majority", 0.5, 0.5)
    ]  # fmt: skip
    assert (told["kept"], told["tasks"]) == (4, 4)
    assert ws.records.find(PreferenceSet) == []  # a preview stores nothing
    made = lead.post(f"{PATH}/preferences", json={}).json()
    again = lead.post(f"{PATH}/preferences", json={"method": "majority"}).json()
    assert made == again and made["preferences"] == 4
    (kept,) = ws.records.find(PreferenceSet)
    by_prompt = {one.prompt: one for one in kept.preferences}
    last = ws.records.get(Task, "task_first_003")
    assert by_prompt[last.prompt].chosen == last.items[1]
    assert {kind for one in kept.preferences for kind in one.judges} == {JudgeKind.HUMAN}
    assert lead.get("/api/v1/preferences").json()["sets"] == [made]
    whole = lead.get(f"/api/v1/preferences/{made['id']}").json()
    assert len(whole["preferences"]) == 4
    noted = [one for one in ws.records.find(AuditEntry) if one.action == "commit preferences"]
    assert [one.object for one in noted] == [made["id"]]
    strict = lead.post(f"{PATH}/preferences", json={"min_margin": 2.5}).json()
    assert strict["preferences"] == 0 and sum(strict["dropped"].values()) == 4
    heard = lead.post(f"{PATH}/preferences", json={"heard_only": True}).json()
    assert (heard["preferences"], heard["method"][-10:]) == (4, "heard_only")
    assert lead.post(f"{PATH}/preferences", json={"min_margin": 4}).status_code == 422
    with pytest.raises(UsageError, match="give 0 to 1"):
        Wanted(Method.MAJORITY, 0.5, 50)


def test_a_lead_does_the_same_on_the_page(lead: TestClient) -> None:
    page = lead.get("/leads/campaigns/cp_first/results")
    assert page.status_code == 200
    assert "5 by simulated judges, in no figure below" in page.text
    assert "policy_0" in page.text and "Krippendorff" in page.text
    form = {"method": "weighted", "min_margin": "0", "min_confidence": "0"}
    sent = lead.post("/leads/campaigns/cp_first/preferences", data=form)
    assert sent.status_code == 200 and "Stored as" in sent.text


def test_every_judgement_is_exported_in_full(lead: TestClient) -> None:
    told = lead.get(f"{PATH}/judgements")
    rows = [json.loads(line) for line in told.text.splitlines()]
    assert len(rows) == 15 and all(one["counts"] for one in rows)
    assert {one["purpose"] for one in rows} == {"judge", "adjudicate"}
    human = next(one for one in rows if one["judge"] == "human:ann")
    assert human["heard_s"] and human["inclusion"] and human["gains_db"]


def test_what_is_exported_can_be_imported_elsewhere(
    ws: Workspace, lead: TestClient, tmp_path: Path
) -> None:
    text = lead.get(f"{PATH}/judgements", params={"form": "csv"}).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 10 and {row["answer"] for row in rows} == {"2", "-2", "cannot_tell"}
    with Workspace.create(tmp_path / "other") as other:
        one = campaign(other, 5, overlap=2)
        told = import_rows(other, THE_SYSTEM, read_rows(text, "csv"))
        assert (told.taken, told.refused) == (10, ())
        assert results.yields(other, one.id)
    assert results.write_judgements(ws, "cp_first", tmp_path / "j.jsonl") == 15
    with pytest.raises(UsageError, match="csv or"):
        results.write_judgements(ws, "cp_first", tmp_path / "j.xlsx")


def test_what_cannot_be_played_is_shown_and_asked_again(ws: Workspace, lead: TestClient) -> None:
    from trivox.annotation.work.faults import leave_out
    from trivox.annotation.work.shapes import Unplayable
    from trivox.platform.records import FaultKind

    broken = Unplayable("task_first_000", FaultKind.DAMAGED_AUDIO, "ro", "the file is damaged")
    with ws.records.transaction():
        leave_out(ws, broken, NOON)
    (fault,) = lead.get(f"{PATH}/faults").json()["faults"]
    assert (fault["kind"], fault["message"]) == ("damaged_audio", "the file is damaged")
    assert "the file is damaged" in lead.get("/leads/campaigns/cp_first").text
    assert lead.post(f"/api/v1/faults/{fault['id']}/ask-again").json()["cleared_at"]
    assert lead.post(f"/api/v1/faults/{fault['id']}/ask-again").status_code == 404
    assert lead.get(f"{PATH}/faults").json() == {"faults": []}


@pytest.mark.parametrize("path", ["status", "statistics", "yield", "judgements", "faults"])
def test_another_campaign_is_none(lead: TestClient, path: str) -> None:
    assert lead.get(f"/api/v1/campaigns/none/{path}").status_code == 404
