"""Majority by hand, and what aggregation may never depend on."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivox.annotation.aggregation import (
    ABSTAINED,
    NARROW,
    SPLIT,
    TIED,
    UNJUDGED,
    UNSURE,
    aggregate,
)
from trivox.platform.errors import UsageError
from trivox.platform.records import (
    Answer,
    AnswerKind,
    JudgeKind,
    Judgement,
    PreferenceSet,
    Task,
    TaskKind,
    Tie,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TASK = Task(
    "task_1", "default", "c", TaskKind.COMPARE, "p1", ("ro_a", "ro_b"), "overall@1", "en", 3
)
ABSTENTION = Answer(AnswerKind.ABSTENTION, abstention="audio is broken")


def answer(value: int | str) -> Answer:
    """3..-3, or "tie", or "skip"."""
    if value == "tie":
        return Answer(AnswerKind.TIE, tie=Tie.BOTH_GOOD)
    if value == "skip":
        return ABSTENTION
    return Answer(AnswerKind.COMPARISON, comparison=int(value))


def judgement(
    name: str, value: int | str, task: str = "task_1", kind: JudgeKind = JudgeKind.HUMAN
) -> Judgement:
    items = ("ro_a", "ro_b")
    return Judgement(name, "default", task, kind, f"{kind}:{name}", answer(value), items, name, NOW)


def votes(*values: int | str) -> list[Judgement]:
    return [judgement(f"jd_{place}", value) for place, value in enumerate(values)]


def aggregated(judgements: Sequence[Judgement], tasks: Sequence[Task] = (TASK,)) -> PreferenceSet:
    return aggregate(tasks, judgements, project="default", round="round_1")


@pytest.mark.parametrize(
    ("values", "chosen", "margin", "confidence"),
    [
        ((2,), "ro_a", 2.0, 1.0),
        ((-3,), "ro_b", 3.0, 1.0),
        ((3, 2, -1), "ro_a", 4 / 3, 2 / 3),
        ((3, "tie", 1), "ro_a", 4 / 3, 2 / 3),
        ((-1, "skip", "skip"), "ro_b", 1.0, 1.0),  # an abstention is no vote
        ((-2, -2, "tie", 1), "ro_b", 3 / 4, 2 / 4),
    ],
)
def test_majority_by_hand(
    values: tuple[int | str, ...], chosen: str, margin: float, confidence: float
) -> None:
    (preference,) = aggregated(votes(*values)).preferences
    assert preference.chosen == chosen and preference.rejected != chosen
    assert preference.margin == pytest.approx(margin)
    assert preference.confidence == pytest.approx(confidence)
    assert preference.judges == (JudgeKind.HUMAN,)
    assert len(preference.judgements) == sum(value != "skip" for value in values)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((), UNJUDGED),
        (("skip",), ABSTAINED),
        (("tie",), TIED),
        (("tie", "tie", 3), TIED),
        ((1, -1), SPLIT),
        ((1, "tie"), SPLIT),
        ((2, 2, -1, -1, "tie"), SPLIT),
        ((1, 1, -3), NARROW),  # two weakly for, one strongly against: -1/3
        ((1, 1, -1), NARROW),  # 1/3 is below 0.5
        ((3, 3, 3, -1, -1, "tie", "tie"), UNSURE),  # 3 of 7 agree
    ],
)
def test_what_gives_no_preference_is_counted(values: tuple[int | str, ...], reason: str) -> None:
    result = aggregated(votes(*values))
    assert result.preferences == () and result.dropped == {reason: 1}


def test_a_correction_replaces_the_judgement() -> None:
    old, new = votes(3, -2)
    result = aggregated([old, replace(new, supersedes=old.id)])
    (preference,) = result.preferences
    assert preference.chosen == "ro_b" and preference.judgements == (new.id,)


def test_the_same_key_counts_once() -> None:
    first, again = votes(2, 2)
    twice = [first, replace(again, idempotency_key=first.idempotency_key)]
    for judgements in (twice, twice[::-1]):
        assert aggregated(judgements).preferences[0].judgements == (first.id,)


def test_a_majority_outweighed_by_its_dissent_is_never_a_preference() -> None:
    result = aggregate([TASK], votes(1, 1, -3), project="default", round=None, min_margin=0.0)
    assert result.dropped == {NARROW: 1}


def test_judgements_of_other_tasks_are_not_looked_at() -> None:
    assert aggregated([judgement("jd_x", 3, "task_9", JudgeKind.SIMULATED)]).dropped == {
        UNJUDGED: 1
    }


def test_simulated_judges_never_pass_for_people() -> None:
    mixed = [judgement("jd_0", 2), judgement("jd_1", 2, kind=JudgeKind.SIMULATED)]
    with pytest.raises(UsageError, match="round round_1: 1 simulated judgements among 1 human"):
        aggregated(mixed)
    asked = aggregate([TASK], mixed, project="default", round=None, mix_simulated=True)
    assert asked.preferences[0].judges == (JudgeKind.HUMAN, JudgeKind.SIMULATED)
    assert aggregated([mixed[1]]).preferences[0].judges == (JudgeKind.SIMULATED,)


def test_thresholds_are_part_of_the_method_and_the_id() -> None:
    strict = aggregate(
        [TASK], votes(1), project="default", round=None, min_margin=1.5, min_confidence=0.8
    )
    assert strict.method == "majority@1 min_margin=1.5 min_confidence=0.8"
    assert strict.dropped == {NARROW: 1}
    ids = {aggregated(votes(1)).id, aggregated(votes(1, 1)).id, aggregated([]).id, strict.id}
    assert len(ids) == 4


def test_only_what_was_heard() -> None:
    """Two unheard votes for the first, one heard for the second: together the first wins, alone the second."""
    first, second, third = votes(2, 2, -1)
    unheard = [replace(one, ui_version="label-studio@1.23.2") for one in (first, second)]
    made = partial(
        aggregate, [TASK], [*unheard, third], project="default", round=None, min_margin=0.0
    )
    every, heard = made(), made(heard_only=True)
    assert [one.chosen for one in every.preferences] == ["ro_a"]
    assert [(one.chosen, one.judgements) for one in heard.preferences] == [("ro_b", ("jd_2",))]
    assert heard.method.endswith("heard_only") and heard.id != every.id


def test_answers_and_tasks_that_do_not_fit() -> None:
    check = replace(votes(1)[0], answer=Answer(AnswerKind.CHECK, check=True))
    with pytest.raises(UsageError, match="jd_0: a check does not answer comparison task_1"):
        aggregated([check])
    with pytest.raises(UsageError, match="task task_1: rank of 2 items"):
        aggregated([], [replace(TASK, kind=TaskKind.RANK)])


VALUES = st.lists(st.sampled_from([3, 2, 1, -1, -2, -3, "tie", "skip"]), max_size=6)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=4), st.randoms())
def test_order_is_of_no_effect(groups: list[list[int | str]], order: Random) -> None:
    tasks = [replace(TASK, id=f"task_{number}") for number in range(len(groups))]
    judgements = [
        judgement(f"jd_{number}_{place}", value, f"task_{number}")
        for number, group in enumerate(groups)
        for place, value in enumerate(group)
    ]
    result = aggregated(judgements, tasks)
    order.shuffle(judgements)
    order.shuffle(tasks)
    assert aggregated(judgements, tasks) == result
    assert len(result.preferences) + sum(result.dropped.values()) == len(tasks)


@settings(deadline=None)
@given(VALUES)
def test_swapping_the_items_swaps_the_preference(values: list[int | str]) -> None:
    there = aggregated(votes(*values))
    negated = [value if isinstance(value, str) else -value for value in values]
    back = aggregated(votes(*negated), [replace(TASK, items=("ro_b", "ro_a"))])
    assert [(one.chosen, one.margin, one.confidence) for one in there.preferences] == [
        (one.chosen, one.margin, one.confidence) for one in back.preferences
    ]
    assert there.dropped == back.dropped
