"""What people still owe: overlap, a third judge, an expert who decides blind; and what nobody owes any more."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from tests.annotation.work.conftest import (
    FIRST,
    NOON,
    PLAIN,
    SECOND,
    Desk,
    campaign,
    desk,
    people,
    ws,
)
from trivox.annotation.waiting import owed_by_people, waiting_tasks
from trivox.annotation.work.owed import owed_of
from trivox.annotation.work.shapes import Given, Nothing, SkipReason, Why
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Campaign,
    CampaignStatus,
    Control,
    JudgeKind,
    Judgement,
    Purpose,
    Role,
    RoleGrant,
    Task,
    TaskKind,
    TaskState,
    Tie,
)
from trivox.platform.store import Workspace

__all__ = ["desk", "ws"]
TIED = Given(AnswerKind.TIE, tie=Tie.CANNOT_TELL)
TASK = Task("t", "p", "c", TaskKind.COMPARE, "pr", ("x", "y"), "overall@1", "en", 2)


def judged(*answers: Any, purpose: Purpose = Purpose.JUDGE, reasons: Any = ()) -> list[Judgement]:
    """One judgement a judge: 1 or -1 for a side, 0 for a tie, None for an abstention."""
    kinds = {
        0: Answer(AnswerKind.TIE, tie=Tie.BOTH_BAD),
        None: Answer(AnswerKind.ABSTENTION, abstention="other"),
        1: Answer(AnswerKind.COMPARISON, comparison=1),
        -1: Answer(AnswerKind.COMPARISON, comparison=-1),
    }
    names = [f"{purpose.value} {number}" for number in range(len(answers))]
    return [
        Judgement(
            name, "p", "t", JudgeKind.HUMAN, name, kinds[one], ("x", "y"), name, NOON,
            purpose=purpose, reasons=reasons,
        )
        for name, one in zip(names, answers, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "wanted", "judges", "expert"),
    [
        ((), 2, 2, False),
        ((1,), 2, 1, False),
        ((1, 1), 2, 0, False),
        ((1, -1), 3, 1, False),
        ((1, 0), 3, 1, False),
        ((1, None), 2, 0, False),
        ((1, -1, 1), 3, 0, False),
        ((1, -1, 0), 3, 0, True),
        ((1, -1, None), 3, 0, True),
    ],
)
def test_what_answers_leave_owed(
    answers: tuple[Any, ...], wanted: int, judges: int, expert: bool
) -> None:
    owed = owed_of(TASK, PLAIN, judged(*answers))
    assert (owed.wanted, owed.judges, owed.expert) == (wanted, judges, expert)
    assert owed.settled == (not judges and not expert)


def test_an_expert_who_spoke_has_decided_and_plans_may_want_neither() -> None:
    split = judged(1, -1, 0)
    for said in (1, None):
        assert owed_of(TASK, PLAIN, split + judged(said, purpose=Purpose.ADJUDICATE)).settled
    assert owed_of(TASK, replace(PLAIN, expert=False), split).settled
    alone = replace(PLAIN, third_judge=False)
    assert owed_of(TASK, alone, judged(1, -1)).expert
    assert owed_of(replace(TASK, overlap=1), PLAIN, judged(1, -1)).settled


def test_two_reports_settle_a_task() -> None:
    assert not owed_of(replace(TASK, overlap=3), PLAIN, judged(None, reasons=("upsetting",))).broken
    assert owed_of(
        replace(TASK, overlap=3), PLAIN, judged(None, None, reasons=("upsetting",))
    ).settled


@pytest.fixture
def disputed(ws: Workspace, desk: Desk) -> Campaign:
    """One comparison of which two people say opposite things; cem and eve have not been asked."""
    one = campaign(ws, 1, overlap=2)
    people(ws, "ann", "bob", "cem", "eve")
    for name in ("ann", "bob", "cem", "eve"):
        desk.enter(name, one)
    desk.judge("ann", one, side_for(ws, one, "ann", 0))
    desk.judge("bob", one, side_for(ws, one, "bob", 1))
    return one


def side_for(ws: Workspace, one: Campaign, person: str, item: int) -> Given:
    """The answer that prefers the task's item 0 or 1 as this person is shown it."""
    from trivox.annotation.work.leasing import side_order

    (task,) = ws.records.find(Task, campaign=one.id)
    shown = side_order(person, task, Purpose.JUDGE)
    return FIRST if shown[0] == task.items[item] else SECOND


def is_expert(ws: Workspace, name: str) -> None:
    ws.records.add(RoleGrant(f"g_{name}", ws.project, name, Role.EXPERT, NOON))


def test_from_disagreement_to_the_experts_decision(
    ws: Workspace, desk: Desk, disputed: Campaign
) -> None:
    """The round waits for the third judge and then for the expert; before, it went on with half of the judges."""
    (task,) = waiting_tasks(ws, None)
    assert owed_by_people(ws, [task])[task.id].judges == 1
    desk.judge("cem", disputed, TIED)
    assert waiting_tasks(ws, None) == []  # nobody here is an expert: nobody will be asked
    is_expert(ws, "eve")
    assert owed_by_people(ws, [task])[task.id].expert
    lease = desk.next("eve", disputed)
    assert waiting_tasks(ws, None) == [task]  # with the expert, not answered yet
    desk.listen("eve", lease)
    desk.work.answer("eve", lease.id, FIRST, "k")
    assert waiting_tasks(ws, None) == []
    assert not ws.records.get(TaskState, task.id).expert


def test_the_expert_is_asked_blind(ws: Workspace, desk: Desk, disputed: Campaign) -> None:
    """Same screen, same words, own order of sides; who judged the pair decides nothing about it."""
    desk.judge("cem", disputed, TIED)
    for name in ("ann", "eve"):
        is_expert(ws, name)
    refused = desk.work.next_lease("ann", disputed.id)
    assert isinstance(refused, Nothing) and refused.reason is Why.NOTHING_LEFT
    (card,) = desk.work.overview("eve")
    assert card.left == 1
    told = str(asdict(desk.next("eve", disputed)))
    for secret in ("adjudicate", "expert", "ann", "bob", "cem", "cannot_tell", "policy_"):
        assert secret not in told, secret


def test_imported_judgements_are_weighed_like_those_of_the_desk(
    ws: Workspace, desk: Desk, disputed: Campaign
) -> None:
    from trivox.annotation.imports import import_rows
    from trivox.annotation.people.audit import THE_SYSTEM

    (task,) = ws.records.find(Task)
    row = {"task": task.id, "judge": "zoe", "answer": "both_bad", "shown_first": "1"}
    row |= {"created_at": "2026-01-01T00:00:00Z"}
    assert import_rows(ws, THE_SYSTEM, [row]).taken == 1
    state = ws.records.get(TaskState, task.id)
    assert (state.wanted, state.answered, state.taken, state.expert) == (3, 3, 3, True)


def test_undoing_a_dispute_calls_the_third_judge_off(
    ws: Workspace, desk: Desk, disputed: Campaign
) -> None:
    again = desk.work.undo("bob", disputed.id)
    desk.work.answer("bob", again.id, side_for(ws, disputed, "bob", 0), "again")
    assert waiting_tasks(ws, None) == []
    assert ws.records.get(TaskState, again.task).wanted == 2


def test_nobody_is_waited_for_where_nobody_is_asked(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 3, budget=1)
    people(ws, "ann")
    desk.enter("ann", one)
    assert len(waiting_tasks(ws, None)) == 3
    expected = Answer(AnswerKind.COMPARISON, comparison=1)
    ws.records.add(Control("c", ws.project, one.id, "task_first_002", Purpose.GOLD, expected, NOON))
    assert len(waiting_tasks(ws, None)) == 2
    ws.records.replace(replace(one, status=CampaignStatus.CLOSED))
    assert waiting_tasks(ws, None) == []
    ws.records.replace(one)
    lease = desk.next("ann", one)
    assert len(waiting_tasks(ws, None)) == 2  # the budget is taken, its last answer is not in
    desk.work.skip("ann", lease.id, SkipReason.OTHER, None, "k")
    assert waiting_tasks(ws, None) == []
