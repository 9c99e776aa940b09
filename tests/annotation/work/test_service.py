"""From lease to judgement: whose it is, what was heard, once and once only."""

from dataclasses import replace

import pytest

from tests.annotation.work.conftest import (
    FIRST,
    PLAIN,
    SECOND,
    Desk,
    better,
    campaign,
    people,
)
from trivox.annotation.work.shapes import (
    BadAnswer,
    Given,
    Lease,
    LeaseLost,
    NotHeard,
    Nothing,
    Played,
    SkipReason,
    Why,
)
from trivox.platform.errors import NotFound
from trivox.platform.records import (
    AnswerKind,
    Judgement,
    LeaseStatus,
    Task,
    TaskLease,
    TaskState,
    Tie,
)
from trivox.platform.store import Workspace


def test_an_honest_listener(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 2)
    people(ws, "ann")
    assert isinstance(said := desk.work.next_lease("ann", one.id), Nothing)
    assert said.reason is Why.GUIDELINE
    desk.enter("ann", one)
    first = desk.judge("ann", one, FIRST)
    assert (first.done, first.left) == (0, 2)
    second = desk.judge("ann", one, SECOND)
    assert second.task != first.task and second.done == 1
    assert isinstance(end := desk.work.next_lease("ann", one.id), Nothing)
    assert end.reason is Why.NOTHING_LEFT
    judgement = ws.records.find(Judgement, task=first.task)[0]
    task = ws.records.get(Task, first.task)
    shown_first_won = judgement.presentation[0] == task.items[0]
    assert judgement.answer.comparison == (2 if shown_first_won else -2)
    assert judgement.judge == "human:ann" and judgement.taken_s == pytest.approx(3.0)
    assert judgement.heard_s == pytest.approx(dict.fromkeys(task.items, 1.0))
    assert judgement.inclusion == pytest.approx(0.2 / 2 + 0.8) or judgement.inclusion == 0.1
    assert set(judgement.gains_db) == set(task.items)


def test_an_unheard_answer_is_refused(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 1)
    people(ws, "ann")
    desk.enter("ann", one)
    lease = desk.next("ann", one)
    with pytest.raises(NotHeard, match="clip A: 0.0 s of 0.9 s"):
        desk.work.answer("ann", lease.id, FIRST, "k")
    a, b = (clip.audio_id for clip in lease.clips)
    desk.work.audio("ann", lease.id, a, None)
    desk.work.audio("ann", lease.id, b, "bytes=0-99")
    desk.clock.sleep(2)
    told = desk.work.progress("ann", lease.id, [Played(1, a, 0, 1), Played(2, b, 0, 1)])
    assert not told.unlocked and [clip.enough for clip in told.clips] == [True, False]
    with pytest.raises(NotHeard, match="clip B"):
        desk.work.answer("ann", lease.id, FIRST, "k")
    assert ws.records.find(Judgement) == []
    desk.work.audio("ann", lease.id, b, "bytes=100-")
    assert desk.work.progress("ann", lease.id, []).unlocked
    desk.work.answer("ann", lease.id, FIRST, "k")


def test_a_lease_is_one_persons(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 1)
    people(ws, "ann", "bob")
    desk.enter("ann", one)
    desk.enter("bob", one)
    lease = desk.next("ann", one)
    assert isinstance(desk.work.next_lease("bob", one.id), Nothing)
    clip = lease.clips[0].audio_id
    for attempt in (
        lambda: desk.work.lease("bob", lease.id),
        lambda: desk.work.audio("bob", lease.id, clip, None),
        lambda: desk.work.progress("bob", lease.id, []),
        lambda: desk.work.answer("bob", lease.id, FIRST, "k"),
        lambda: desk.work.skip("bob", lease.id, SkipReason.OTHER, None, "k"),
        lambda: desk.work.draft("bob", lease.id, {}),
        lambda: desk.work.audio("ann", lease.id, "another", None),
    ):
        with pytest.raises(NotFound):
            attempt()


def test_reloading_shows_the_same(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 3)
    people(ws, "ann")
    desk.enter("ann", one)
    lease = desk.next("ann", one)
    desk.work.draft("ann", lease.id, {"comment": "café"})
    again = desk.next("ann", one)
    assert again.draft is not None and again.draft.values == {"comment": "café"}
    assert (
        replace(again, draft=None) == lease == replace(desk.work.lease("ann", lease.id), draft=None)
    )
    with pytest.raises(BadAnswer, match="at most 16384"):
        desk.work.draft("ann", lease.id, {"comment": "x" * 17_000})


def test_a_lease_runs_out_and_goes_to_another(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 1)
    people(ws, "ann", "bob")
    desk.enter("ann", one)
    desk.enter("bob", one)
    lease = desk.next("ann", one)
    desk.clock.sleep(PLAIN.lease_s)
    with pytest.raises(LeaseLost):
        desk.work.answer("ann", lease.id, FIRST, "k")
    desk.judge("bob", one, FIRST)
    assert ws.records.get(TaskLease, lease.id).status is LeaseStatus.EXPIRED
    state = ws.records.get(TaskState, lease.task)
    assert (state.taken, state.answered) == (1, 1)
    assert isinstance(desk.work.next_lease("ann", one.id), Nothing)


def test_the_same_key_is_the_same_judgement(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 2)
    people(ws, "ann")
    desk.enter("ann", one)
    lease = desk.next("ann", one)
    desk.listen("ann", lease)
    first, _ = desk.work.answer("ann", lease.id, FIRST, "k")
    again, _ = desk.work.answer("ann", lease.id, SECOND, "k")
    assert again == first and len(ws.records.find(Judgement)) == 1
    with pytest.raises(LeaseLost):
        desk.work.answer("ann", lease.id, SECOND, "other")


def test_undo_supersedes(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 3)
    people(ws, "ann")
    desk.enter("ann", one)
    with pytest.raises(NotFound, match="no answer"):
        desk.work.undo("ann", one.id)
    answered = desk.judge("ann", one, FIRST)
    desk.next("ann", one)
    again = desk.work.undo("ann", one.id)
    assert again.task == answered.task and again.correcting
    assert desk.next("ann", one).id == again.id  # the page reloaded
    new, _ = desk.work.answer("ann", again.id, Given(AnswerKind.TIE, tie=Tie.BOTH_GOOD), "k")
    old = next(j for j in ws.records.find(Judgement) if j.id != new.id)
    assert new.supersedes == old.id and new.answer.tie is Tie.BOTH_GOOD
    state = ws.records.get(TaskState, answered.task)
    assert (state.taken, state.answered) == (1, 1)


def test_an_undo_left_alone_changes_nothing(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 1)
    people(ws, "ann", "bob")
    desk.enter("ann", one)
    desk.enter("bob", one)
    desk.judge("ann", one, FIRST)
    desk.work.undo("ann", one.id)
    desk.clock.sleep(PLAIN.lease_s)
    assert isinstance(desk.work.next_lease("bob", one.id), Nothing)
    (lease,) = ws.records.find(TaskLease, status=LeaseStatus.ANSWERED)
    assert lease.judgement == ws.records.find(Judgement)[0].id


def test_skipping_needs_no_listening_and_two_reports_close_a_task(
    ws: Workspace, desk: Desk
) -> None:
    one = campaign(ws, 1, overlap=3)
    people(ws, "ann", "bob", "cem")
    for name in ("ann", "bob"):
        desk.enter(name, one)
        lease = desk.next(name, one)
        said = desk.work.skip(name, lease.id, SkipReason.BROKEN_AUDIO, "a click", "k")
        assert said.answer.abstention == "broken_audio" and said.reasons == ("broken_audio",)
    desk.enter("cem", one)
    assert isinstance(desk.work.next_lease("cem", one.id), Nothing)


def test_what_is_ahead_becomes_open(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 2)
    people(ws, "ann", "bob")
    desk.enter("ann", one)
    desk.enter("bob", one)
    assert desk.work.ahead("ann", one.id) is None
    lease = desk.next("ann", one)
    ahead = desk.work.ahead("ann", one.id)
    assert isinstance(ahead, Lease) and ahead.task != lease.task
    assert isinstance(desk.work.next_lease("bob", one.id), Nothing)  # both are Ann's now
    for clip in ahead.clips:
        desk.work.audio("ann", ahead.id, clip.audio_id, None)
    with pytest.raises(LeaseLost):
        desk.work.progress("ann", ahead.id, [])
    desk.clock.sleep(10)
    desk.work.skip("ann", lease.id, SkipReason.OTHER, None, "k")
    assert desk.next("ann", one).id == ahead.id
    # What was fetched ahead was not heard before it was shown.
    report = Played(1, ahead.clips[0].audio_id, 0.0, 1.0)
    assert 1 in desk.work.progress("ann", ahead.id, [report]).refused


def test_bad_answers(ws: Workspace, desk: Desk) -> None:
    one = campaign(ws, 1)
    people(ws, "ann")
    desk.enter("ann", one)
    lease = desk.next("ann", one)
    desk.listen("ann", lease)
    for given in (
        better(0),
        better(4),
        Given(AnswerKind.COMPARISON),
        Given(AnswerKind.CHECK, check=True),
        replace(FIRST, reasons=("nonsense",)),
        replace(FIRST, comment="x" * 5000),
    ):
        with pytest.raises(BadAnswer):
            desk.work.answer("ann", lease.id, given, "k")
    with pytest.raises(BadAnswer, match="idempotency key"):
        desk.work.answer("ann", lease.id, FIRST, "")
    assert ws.records.find(Judgement) == []
