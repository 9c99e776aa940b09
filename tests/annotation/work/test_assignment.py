"""Who is asked what: one lease each under load, no pair twice, the sides even, the draw with its probability."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from math import sqrt

import pytest
import sqlalchemy as sa

from tests.annotation.work.conftest import (
    FIRST,
    NOON,
    PLAIN,
    SECOND,
    Desk,
    campaign,
    people,
)
from trivox.annotation.work.draw import draw
from trivox.annotation.work.leasing import side_order
from trivox.annotation.work.service import Work
from trivox.annotation.work.shapes import Lease, Nothing, SkipReason, Why
from trivox.annotation.work.states import add_missing
from trivox.platform.errors import StoreError
from trivox.platform.records import (
    CampaignStatus,
    Control,
    Person,
    Pool,
    Purpose,
    Role,
    RoleGrant,
    Task,
    TaskKind,
    TaskLease,
    TaskState,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

CROWD = [f"p{number}" for number in range(8)]


def test_two_browsers_never_get_the_same_lease(ws: Workspace) -> None:
    """Eight people, two services (as two processes would), 12 comparisons wanted twice: 24 leases, no more."""
    one = campaign(ws, 12, overlap=2)
    people(ws, *CROWD)
    services = [Work(ws), Work(ws)]
    for name in CROWD:
        services[0].acknowledge(name, one.id, 1)
    start = threading.Barrier(len(CROWD))

    def work(place: int) -> list[str]:
        start.wait()
        taken, desk = [], services[place % 2]
        while isinstance(lease := desk.next_lease(CROWD[place], one.id), Lease):
            taken.append(lease.task)
            desk.skip(CROWD[place], lease.id, SkipReason.OTHER, None, "k")
        return taken

    with ThreadPoolExecutor(len(CROWD)) as pool:
        taken = list(pool.map(work, range(len(CROWD))))
    assert all(len(set(tasks)) == len(tasks) for tasks in taken)  # no pair twice
    assert Counter(Counter(t for tasks in taken for t in tasks).values()) == {2: 12}
    slots = Counter((lease.task, lease.slot) for lease in ws.records.find(TaskLease))
    assert set(slots.values()) == {1}
    assert {(s.taken, s.answered) for s in ws.records.find(TaskState)} == {(2, 2)}


def test_the_database_itself_refuses_a_double_lease(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 2)
    people(ws, "ann", "bob")
    desk.enter("ann", one)
    lease = ws.records.get(TaskLease, desk.next("ann", one).id)
    for twin in (
        replace(lease, id="same person"),
        replace(lease, id="same slot", person="bob"),
        replace(lease, id="same pair", task="task_first_001", campaign=one.id, slot=1),
    ):
        with pytest.raises(StoreError, match="contradicts"):
            ws.records.add(twin)


def test_nobody_judges_a_pair_twice_in_another_campaign(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 1)
    other = replace(one, id="cp_other", name="other")
    (task,) = ws.records.find(Task)
    twin = replace(task, id="task_twin", campaign=other.id, items=task.items[::-1])
    ws.records.add(other, twin)
    people(ws, "ann", "bob")
    for name in ("ann", "bob"):
        for where in (one, other):
            desk.enter(name, where)
    desk.judge("ann", one, FIRST)
    assert isinstance(desk.work.next_lease("ann", other.id), Nothing)
    assert isinstance(desk.work.next_lease("bob", other.id), Lease)


def test_sides_are_even_over_400_views_and_stable(ws: Workspace) -> None:
    """Within 3.3 standard deviations of a half: 200 +- 33."""
    task = Task("t", "p", "c", TaskKind.COMPARE, "pr", ("x", "y"), "overall@1", "en", 1)
    shown = [
        side_order(f"person_{person}", replace(task, id=f"t{number}"), Purpose.JUDGE)
        for person in range(20)
        for number in range(20)
    ]
    first = sum(one[0] == "x" for one in shown)
    assert abs(first - 200) <= 3.3 * sqrt(400 / 4)
    again = side_order("person_3", replace(task, id="t7"), Purpose.JUDGE)
    assert again == shown[3 * 20 + 7]
    by_person = [sum(one[0] == "x" for one in shown[20 * p : 20 * p + 20]) for p in range(20)]
    assert min(by_person) >= 2 and max(by_person) <= 18


def test_the_draw_has_the_probability_it_states(ws: Workspace) -> None:
    """Of 5 tasks the most informative is drawn with 0.2 / 5 + 0.8 = 0.84, any other with 0.04; the mean of
    1 / inclusion over draws of one task estimates 1 (Horvitz and Thompson)."""
    one = campaign(ws, 5)
    (ann,) = people(ws, "ann")
    add_missing(ws, one)
    states = table_of(TaskState)
    with ws.records.statements(write=True) as connection:
        connection.execute(sa.update(states).values(information=0.3))
        best = sa.update(states).where(states.c.id == "task_first_003")
        connection.execute(best.values(information=0.9))
    rng, counts, seen = random.Random(1), Counter[str](), {}
    for _ in range(1000):
        drawn = draw(ws, ann, one, rng)
        assert drawn is not None
        counts[drawn.task] += 1
        seen[drawn.task] = drawn.inclusion
    assert seen == pytest.approx({f"task_first_{n:03}": 0.84 if n == 3 else 0.04 for n in range(5)})
    assert counts["task_first_003"] == pytest.approx(840, abs=45)
    assert all(15 <= counts[f"task_first_{n:03}"] <= 70 for n in (0, 1, 2, 4))


def test_controls_are_never_drawn_as_questions(ws: Workspace, desk: Desk) -> None:
    """Also one that became a control after its task was known."""
    one = campaign(ws, 2)
    people(ws, "ann")
    desk.enter("ann", one)
    add_missing(ws, one)
    from trivox.platform.records import Answer, AnswerKind

    expected = Answer(AnswerKind.COMPARISON, comparison=1)
    ws.records.add(Control("c", ws.project, one.id, "task_first_000", Purpose.GOLD, expected, NOON))
    assert desk.judge("ann", one, FIRST).task == "task_first_001"
    assert isinstance(desk.work.next_lease("ann", one.id), Nothing)


def test_caps_breaks_and_budget(ws: Workspace, desk: Desk) -> None:
    plan = replace(PLAIN, per_sitting=2, per_day=3, break_s=600.0)
    one = campaign(ws, 9, plan=plan)
    people(ws, "ann")
    desk.enter("ann", one)
    desk.judge("ann", one, FIRST)
    desk.judge("ann", one, FIRST)
    rest = desk.work.next_lease("ann", one.id)
    assert isinstance(rest, Nothing) and rest.reason is Why.BREAK
    assert rest.until == desk.clock.now + timedelta(seconds=600)
    desk.clock.sleep(600)
    desk.judge("ann", one, FIRST)
    done = desk.work.next_lease("ann", one.id)
    assert isinstance(done, Nothing) and done.reason is Why.DAY_DONE
    assert done.until == NOON.replace(hour=0) + timedelta(days=1)
    desk.clock.sleep(86_400)
    desk.judge("ann", one, FIRST)

    small = campaign(ws, 5, name="small", budget=1)
    people(ws, "bob", "cem")
    for name in ("bob", "cem"):
        desk.enter(name, small)
    desk.judge("bob", small, FIRST)
    spent = desk.work.next_lease("cem", small.id)
    assert isinstance(spent, Nothing) and spent.reason is Why.BUDGET


@pytest.mark.parametrize(
    ("about", "plan", "why"),
    [
        ({"active": False}, {}, Why.INACTIVE),
        ({"declined": ("cp_first",)}, {}, Why.DECLINED),
        ({}, {"pools": ("crowd",)}, Why.POOL),
        ({}, {"skills": ("music",)}, Why.SKILL),
        ({"languages": {"zh": "native"}}, {}, Why.LANGUAGE),
        ({"languages": {"en": "basic"}}, {"language_level": "fluent"}, Why.LANGUAGE),
        ({}, {"language_level": "basic"}, Why.LANGUAGE),
        ({}, {"device_check": True}, Why.DEVICE),
    ],
)
def test_who_may_not_work_is_told_why(
    ws: Workspace, desk: Desk, about: dict[str, object], plan: dict[str, object], why: Why
) -> None:
    one = campaign(ws, 1, plan=replace(PLAIN, **plan))  # type: ignore[arg-type]
    ws.records.add(Person("ann", "Ann", Pool.STAFF, NOON, **about))  # type: ignore[arg-type]
    desk.enter("ann", one)
    refused = desk.work.next_lease("ann", one.id)
    assert isinstance(refused, Nothing) and refused.reason is why and refused.message


def test_languages_of_a_campaign_go_to_who_speaks_them(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 4, languages=("en-GB", "zh-CN"))
    people(ws, "ann", languages={"zh": "native"})
    desk.enter("ann", one)
    for _ in range(2):
        lease = desk.judge("ann", one, FIRST)
        assert lease.content.language == "zh-CN"
    assert isinstance(desk.work.next_lease("ann", one.id), Nothing)


def test_a_closed_campaign_has_nothing(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 1)
    people(ws, "ann")
    desk.enter("ann", one)
    ws.records.replace(replace(one, status=CampaignStatus.PAUSED))
    closed = desk.work.next_lease("ann", one.id)
    assert isinstance(closed, Nothing) and closed.reason is Why.CLOSED
    assert desk.work.overview("ann") == []


def test_disagreement_brings_a_third_judge_and_then_an_expert(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 1, overlap=2)
    people(ws, "ann", "bob", "cem", "dot", "eve")
    ws.records.add(RoleGrant("g", ws.project, "eve", Role.EXPERT, NOON))
    (task,) = ws.records.find(Task)
    for name in ("ann", "bob", "cem", "dot", "eve"):
        desk.enter(name, one)

    def prefer(name: str, item: int) -> None:
        lease = desk.next(name, one)
        held = ws.records.get(TaskLease, lease.id)
        first = held.presentation[0] == task.items[item]
        desk.listen(name, lease)
        desk.work.answer(name, lease.id, FIRST if first else SECOND, "k")

    prefer("ann", 0)
    assert isinstance(desk.work.next_lease("eve", one.id), Lease)  # an expert judges like anyone
    desk.clock.sleep(PLAIN.lease_s)
    prefer("bob", 1)
    lease = desk.next("cem", one)  # the third
    desk.work.skip("cem", lease.id, SkipReason.OTHER, None, "k")
    assert isinstance(desk.work.next_lease("dot", one.id), Nothing)
    assert ws.records.get(TaskState, task.id).expert
    decided = desk.next("eve", one)
    assert ws.records.get(TaskLease, decided.id).purpose is Purpose.ADJUDICATE
    desk.clock.sleep(PLAIN.lease_s)  # left alone: still to be decided
    prefer("eve", 0)
    assert not ws.records.get(TaskState, task.id).expert
    assert isinstance(desk.work.next_lease("eve", one.id), Nothing)


def test_overview_counts(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 3)
    campaign(ws, 1, name="others", plan=replace(PLAIN, pools=("crowd",)))
    people(ws, "ann")
    (card,) = desk.work.overview("ann")
    assert (card.done, card.acknowledged) == (0, None)
    assert card.hindered is not None and card.hindered.reason is Why.GUIDELINE
    desk.enter("ann", one)
    desk.judge("ann", one, FIRST)
    (card,) = desk.work.overview("ann")
    assert (card.done, card.left, card.acknowledged, card.hindered) == (1, 2, 1, None)
