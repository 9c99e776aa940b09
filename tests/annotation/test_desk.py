"""One judge at work: order, sides, what is stored, and what the clock refuses. Clips last 0.3 s each."""

from dataclasses import replace
from typing import Protocol

import pytest

from trivox.annotation.desk import UI_VERSION, Desk, View, Vote, VoteRefused
from trivox.annotation.waiting import waiting_tasks
from trivox.platform.errors import NotFound
from trivox.platform.records import Answer, AnswerKind, JudgeKind, Judgement, Rollout, Task, Tie
from trivox.platform.store import Workspace

ROUND = "round_secret"
BETTER = Answer(AnswerKind.COMPARISON, comparison=2)
SKIP = Answer(AnswerKind.ABSTENTION, abstention="a clip does not play")


class Clock(Protocol):
    now: float

    def __call__(self) -> float: ...


def opened(desk: Desk) -> View:
    view = desk.current()
    assert view is not None
    return view


def listen(desk: Desk, clock: Clock, seconds: float = 0.6) -> Vote:
    """Fetch both clips, let time pass, and give the vote that is due then."""
    view = opened(desk)
    assert view.clips is not None
    for clip in view.clips:
        desk.fetch(clip.key, None)
    clock.now += seconds
    return Vote(view.key, BETTER, (0.3, 0.3))


@pytest.fixture
def desk(workspace: Workspace, tasks: list[Task], clock: Clock) -> Desk:
    return Desk(workspace, ROUND, "human:Ann", clock)


def stored(workspace: Workspace) -> list[Judgement]:
    return workspace.records.find(Judgement)


def test_a_judgement_holds_all_that_happened(
    workspace: Workspace, desk: Desk, tasks: list[Task], clock: Clock
) -> None:
    clock.now += 5
    view = opened(desk)
    clock.now += 1
    made = desk.vote(listen(desk, clock, 2.25))
    assert [made] == stored(workspace) and made is not None
    assert (made.judge_kind, made.judge) == (JudgeKind.HUMAN, "human:Ann")
    assert (made.task, made.presentation) == (tasks[0].id, view.presentation)
    assert made.heard_s == dict.fromkeys(view.presentation, 0.3)
    assert made.taken_s == 3.25  # since the page was first shown
    assert (made.guideline_version, made.ui_version) == (3, UI_VERSION)
    assert made.idempotency_key == view.key and len(made.id) == 26  # a ULID
    assert (desk.done, desk.total) == (1, 2)


def test_answers_are_kept_in_the_tasks_order(
    workspace: Workspace, tasks: list[Task], clock: Clock
) -> None:
    """Twenty judges say that what they hear as A is better; whom that means depends on the side."""
    task = replace(tasks[0], id="task_many", overlap=20, round="round_secret")
    workspace.records.add(task)
    swapped = 0
    for number in range(20):
        desk = Desk(workspace, ROUND, f"human:{number}", clock)
        while opened(desk).task.id != task.id:
            desk.vote(Vote(opened(desk).key, SKIP, (0, 0)))
        made = desk.vote(listen(desk, clock))
        assert made is not None
        better = task.items[0] if made.answer.comparison == 2 else task.items[1]
        assert better == made.presentation[0]
        swapped += made.presentation != task.items
    assert 4 <= swapped <= 16


def test_sides_stay_when_the_page_is_opened_again(
    workspace: Workspace, tasks: list[Task], clock: Clock
) -> None:
    for number in range(8):
        judge = f"human:{number}"
        sides = {opened(Desk(workspace, ROUND, judge, clock)).presentation for _ in range(3)}
        assert len(sides) == 1


def test_a_tie_is_the_same_on_either_side(workspace: Workspace, desk: Desk, clock: Clock) -> None:
    vote = listen(desk, clock)
    desk.vote(vote._replace(answer=Answer(AnswerKind.TIE, tie=Tie.BOTH_BAD)))
    assert stored(workspace)[0].answer.tie == Tie.BOTH_BAD


def test_unfetched_clips_are_unheard(workspace: Workspace, desk: Desk, clock: Clock) -> None:
    view = opened(desk)
    assert view.clips is not None
    vote = Vote(view.key, BETTER, (0.3, 0.3))
    clock.now += 60
    with pytest.raises(VoteRefused, match="clip A was not played to the end"):
        desk.vote(vote)
    desk.fetch(view.clips[0].key, None)
    desk.fetch(view.clips[1].key, "bytes=0-99")
    clock.now += 60
    with pytest.raises(VoteRefused, match="clip B was not played to the end"):
        desk.vote(vote)
    desk.fetch(view.clips[1].key, "bytes=100-")
    desk.vote(vote)
    assert len(stored(workspace)) == 1


def test_a_clip_that_was_left_early_is_unheard(
    workspace: Workspace, desk: Desk, clock: Clock
) -> None:
    vote = listen(desk, clock)
    with pytest.raises(VoteRefused, match="clip B"):
        desk.vote(vote._replace(heard_s=(0.3, 0.28)))  # 95% of 0.3 s is 0.285 s
    assert stored(workspace) == []


def test_faster_than_the_clips_last(workspace: Workspace, desk: Desk, clock: Clock) -> None:
    """0.6 s of sound: 0.56 s after the first fetch is too early, 0.58 s is past 95%."""
    vote = listen(desk, clock, 0.56)
    with pytest.raises(VoteRefused, match=r"0\.6 s together and the answer came after 0\.6 s"):
        desk.vote(vote)
    assert stored(workspace) == []
    clock.now += 0.02
    desk.vote(vote)
    assert len(stored(workspace)) == 1


def test_time_before_the_first_fetch_does_not_count(desk: Desk, clock: Clock) -> None:
    opened(desk)
    clock.now += 60
    with pytest.raises(VoteRefused, match="listen to both"):
        desk.vote(listen(desk, clock, 0.1))


def test_claims_beyond_the_clip_are_cut(workspace: Workspace, desk: Desk, clock: Clock) -> None:
    desk.vote(listen(desk, clock)._replace(heard_s=(99.0, 0.3)))
    assert set(stored(workspace)[0].heard_s.values()) == {0.3}


def test_skipping_needs_no_listening(workspace: Workspace, desk: Desk) -> None:
    desk.vote(Vote(opened(desk).key, SKIP, (0.1, 0.0)))
    (judgement,) = stored(workspace)
    assert judgement.answer == SKIP and sorted(judgement.heard_s.values()) == [0.0, 0.1]


def test_the_same_vote_twice_is_one_judgement(
    workspace: Workspace, desk: Desk, clock: Clock
) -> None:
    vote = listen(desk, clock)
    assert desk.vote(vote) is not None
    assert desk.vote(vote) is None
    assert len(stored(workspace)) == 1 and desk.done == 1
    with pytest.raises(VoteRefused, match="not open any more"):
        desk.vote(vote._replace(view="another"))


def test_only_the_open_comparison_is_heard(desk: Desk, clock: Clock) -> None:
    before = opened(desk).clips
    desk.vote(listen(desk, clock))
    assert before is not None and opened(desk).clips is not None
    for key in [clip.key for clip in before] + ["", "ä"]:
        with pytest.raises(NotFound, match="no such clip"):
            desk.fetch(key, None)


def test_nobody_is_asked_twice(
    workspace: Workspace, tasks_for_two: list[Task], clock: Clock
) -> None:
    first = Desk(workspace, ROUND, "human:Ann", clock)
    first.vote(listen(first, clock))
    again = Desk(workspace, ROUND, "human:Ann", clock)
    assert (again.done, again.total) == (1, 2)
    again.vote(listen(again, clock))
    assert again.current() is None and Desk(workspace, ROUND, "human:Ann", clock).current() is None
    assert len(waiting_tasks(workspace, ROUND)) == 2  # both want a second judge
    other = Desk(workspace, ROUND, "human:Bob", clock)
    assert (other.done, other.total) == (0, 2)


def test_what_others_finished_meanwhile_is_not_asked(
    workspace: Workspace, tasks: list[Task], clock: Clock
) -> None:
    slow, fast = (Desk(workspace, ROUND, f"human:{name}", clock) for name in ("Ann", "Bob"))
    fast.vote(listen(fast, clock))
    assert opened(slow).task.id == tasks[1].id


def test_waiting_counts_people_only(
    workspace: Workspace, desk: Desk, tasks: list[Task], clock: Clock
) -> None:
    assert waiting_tasks(workspace, ROUND) == waiting_tasks(workspace, None) == tasks
    assert waiting_tasks(workspace, "round_other") == []
    simulated = replace(
        desk.vote(listen(desk, clock)) or pytest.fail("no judgement"),
        id="jd_simulated",
        idempotency_key="jd_simulated",
        judge_kind=JudgeKind.SIMULATED,
        task=tasks[1].id,
    )
    workspace.records.add(simulated)
    assert waiting_tasks(workspace, ROUND) == [tasks[1]]
    assert waiting_tasks(workspace, ROUND, JudgeKind.SIMULATED) == [tasks[0]]


def test_a_lost_clip_can_only_be_skipped(
    workspace: Workspace, tasks: list[Task], clock: Clock
) -> None:
    lost = next(one for one in workspace.tables.read(Rollout) if one.id == tasks[0].items[0])
    assert lost.audio is not None
    workspace.audio.path(lost.audio).unlink()
    desk = Desk(workspace, ROUND, "human:Ann", clock)
    view = opened(desk)
    assert view.clips is None
    clock.now += 60
    with pytest.raises(VoteRefused, match="cannot be played: skip the pair"):
        desk.vote(Vote(view.key, BETTER, (9.0, 9.0)))
    desk.vote(Vote(view.key, SKIP, (0.0, 0.0)))
    assert stored(workspace)[0].heard_s == {}
