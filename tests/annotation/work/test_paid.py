"""People's time is booked once for each answer, and budgets stop the next question, not the last answer."""

from dataclasses import replace

import pytest

from tests.annotation.work.conftest import FIRST, NOON, SECOND, Desk, campaign, people
from trivox.annotation.leads.hours import hours
from trivox.annotation.simulated import SimulatedJudge, simulated_judgement
from trivox.annotation.work.paid import MOST_S, book_time, spent_out
from trivox.annotation.work.report import status
from trivox.annotation.work.shapes import Lease, Nothing, SkipReason, Why
from trivox.platform.records import Campaign, CostEntry, Person, Pool, Task, TaskLease
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import set_budget, spent
from trivox.platform.store.schema import table_of


def in_round(ws: Workspace, made: Campaign, round_: str) -> None:
    """The campaign's tasks are those of a round."""
    tasks = table_of(Task)
    with ws.records.statements(write=True) as connection:
        connection.execute(tasks.update().where(tasks.c.campaign == made.id).values(round=round_))


def stopped(desk: Desk, person: str, made: Campaign) -> str:
    found = desk.work.next_lease(person, made.id)
    assert isinstance(found, Nothing) and found.reason is Why.BUDGET_SPENT, found
    return found.message


def test_an_answer_is_booked_once_with_its_price(ws: Workspace, desk: Desk) -> None:
    """Two clips of 1 s and a second to think: 3 s, at 36 EUR an hour 0.01 EUR a second; somebody without a rate
    is unpriced. The sum is what the hours say."""
    made = campaign(ws, 2, overlap=2)
    in_round(ws, made, "rd_1")
    people(ws, "ann", pay_rate=36.0, pay_currency="EUR")
    people(ws, "bob")
    for person in ("ann", "bob"):
        desk.enter(person, made)
    lease = desk.judge("ann", made, FIRST)
    desk.work.answer("ann", lease.id, FIRST, "key")  # sent again
    desk.judge("bob", made, FIRST)
    (one,) = spent(ws.records, ws.project)
    assert (one.round, one.campaign, one.kind, one.unit) == ("rd_1", made.id, "people", "s")
    assert (one.quantity, one.entries, one.unpriced) == (pytest.approx(6.0), 2, 1)
    assert one.money == {"EUR": pytest.approx(0.03)}
    assert sum(day.hours for day in hours(ws)) * 3600 == pytest.approx(6.0, abs=0.4)


def test_long_pauses_skips_and_corrections_cost_what_they_took(ws: Workspace, desk: Desk) -> None:
    made = campaign(ws, 2)
    people(ws, "ann")
    desk.enter("ann", made)
    lease = desk.next("ann", made)
    desk.listen("ann", lease)
    desk.clock.sleep(MOST_S * 1.5)
    desk.work.answer("ann", lease.id, FIRST, "k")
    again = desk.work.undo("ann", made.id)
    desk.clock.sleep(4.0)
    desk.work.answer("ann", again.id, SECOND, "k")
    other = desk.next("ann", made)
    desk.clock.sleep(5.0)
    desk.work.skip("ann", other.id, SkipReason.OTHER, None, "k")
    assert [one.quantity for one in ws.records.find(CostEntry)] == pytest.approx([MOST_S, 4.0, 5.0])


def test_a_spent_budget_takes_the_answer_and_gives_no_further_question(
    ws: Workspace, desk: Desk
) -> None:
    made = campaign(ws, 3)
    people(ws, "ann")
    desk.enter("ann", made)
    set_budget(ws.records, project=ws.project, kind="people", limit=3.0, campaign=made.id)
    desk.judge("ann", made, FIRST)
    said = stopped(desk, "ann", made)
    assert "all your answers are kept" in said.lower() and "3" not in said
    told = status(ws, made).budget_spent
    assert told is not None and "3 of 3 s of people" in told
    assert f"trivox project budget people LIMIT --campaign {made.id}" in told
    assert desk.work.overview("ann")[0].hindered is not None
    set_budget(ws.records, project=ws.project, kind="people", limit=4.0, campaign=made.id)
    assert isinstance(desk.work.next_lease("ann", made.id), Lease)
    assert status(ws, made).budget_spent is None


def test_budgets_of_the_round_the_project_and_money_hold_too(ws: Workspace, desk: Desk) -> None:
    made = campaign(ws, 5)
    in_round(ws, made, "rd_1")
    people(ws, "ann", pay_rate=36.0, pay_currency="EUR")
    desk.enter("ann", made)
    desk.judge("ann", made, FIRST)
    for scope in (
        {"kind": "people", "round": "rd_1"},
        {"kind": "people"},
        {"kind": "money", "unit": "EUR"},
    ):
        set_budget(ws.records, project=ws.project, limit=0.02, **scope)  # type: ignore[arg-type]
        stopped(desk, "ann", made)
        set_budget(ws.records, project=ws.project, limit=1e6, **scope)  # type: ignore[arg-type]
    for scope in ({"kind": "people", "round": "rd_2"}, {"kind": "gpu"}, {"kind": "storage"}):
        set_budget(ws.records, project=ws.project, limit=0.0, **scope)  # type: ignore[arg-type]
        assert spent_out(ws, made) is None


def test_simulated_judges_cost_no_people(ws: Workspace, desk: Desk) -> None:
    made = campaign(ws, 1)
    people(ws, "ann")
    desk.enter("ann", made)
    lease = ws.records.get(TaskLease, desk.next("ann", made).id)
    task = ws.records.get(Task, lease.task)
    judge = SimulatedJudge(seed=0, wer_weight=1.0, mos_weight=1.0, noise=0.0, gates={})
    said = simulated_judgement(task, {}, judge, desk.clock())
    closed = replace(lease, closed_at=desk.clock.now)
    book_time(ws, desk.work._who("ann"), task, closed, said)
    asked = campaign(ws, 1, name="machine")
    ws.records.add(Person("bot", "Bot", Pool.SIMULATED, NOON, pay_rate=36.0, pay_currency="EUR"))
    desk.enter("bot", asked)
    desk.judge("bot", asked, FIRST)
    assert ws.records.find(CostEntry) == []
