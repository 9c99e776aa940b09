"""Other ways than majority: planted judges, what counts, and what a threshold would keep."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest

from trivox.annotation.aggregation import (
    SPLIT,
    UNJUDGED,
    Agreed,
    Method,
    aggregate,
    agreement_classes,
    preview,
)
from trivox.platform.errors import UsageError
from trivox.platform.records import (
    Answer,
    AnswerKind,
    JudgeKind,
    Judgement,
    PreferenceSet,
    Purpose,
    Task,
    TaskKind,
    Tie,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def task(number: int) -> Task:
    items = (f"a{number}", f"b{number}")
    return Task(
        f"t{number:03}", "p", "c", TaskKind.COMPARE, f"pr{number:03}", items, "overall@1", "en", 3
    )


def said(task: Task, judge: str, value: int, purpose: Purpose = Purpose.JUDGE) -> Judgement:
    answer = (
        Answer(AnswerKind.COMPARISON, comparison=value)
        if value
        else Answer(AnswerKind.TIE, tie=Tie.BOTH_GOOD)
    )
    name = f"{task.id} {judge} {purpose.value}"
    return Judgement(
        name, "p", task.id, JudgeKind.HUMAN, judge, answer, task.items, name, NOW, purpose=purpose
    )


def planted(seed: int = 0) -> tuple[list[Task], list[Judgement], dict[str, str]]:
    """Two good judges and three who answer at random, on 150 tasks; the truth by task."""
    rng, tasks, votes, truth = Random(seed), [task(n) for n in range(150)], [], {}
    for one in tasks:
        side = rng.choice([-1, 1])
        truth[one.prompt] = one.items[0 if side > 0 else 1]
        for judge in ("good1", "good2", "poor1", "poor2", "poor3"):
            right = rng.random() < (0.92 if judge.startswith("good") else 0.5)
            votes.append(said(one, judge, (side if right else -side) * rng.choice([1, 2, 3])))
    return tasks, votes, truth


def made(method: Method, tasks: list[Task], votes: list[Judgement]) -> PreferenceSet:
    return aggregate(
        tasks, votes, project="p", round=None, method=method, min_margin=0.0, min_confidence=0.0
    )


@pytest.mark.parametrize("method", [Method.WEIGHTED, Method.DAWID_SKENE])
def test_unreliable_judges_are_outweighed(method: Method) -> None:
    tasks, votes, truth = planted()
    right = {
        one: sum(p.chosen == truth[p.prompt] for p in made(one, tasks, votes).preferences)
        / len(tasks)
        for one in (Method.MAJORITY, method)
    }
    assert right[method] > right[Method.MAJORITY] + 0.03 and right[method] > 0.85


@pytest.mark.parametrize("method", Method)
def test_the_order_of_votes_is_of_no_effect(method: Method) -> None:
    tasks, votes, _ = planted()
    assert made(method, tasks[:40], votes[:200]) == made(
        method, tasks[:40][::-1], votes[:200][::-1]
    )


@pytest.mark.parametrize("method", Method)
def test_the_method_is_named_and_evenly_split_votes_are_no_preference(method: Method) -> None:
    """One for each side by two judges of whom nothing else is known."""
    one = task(0)
    found = made(method, [one, task(1)], [said(one, "x", 2), said(one, "y", -2)])
    assert found.method.startswith(f"{method.value}@1 ")
    assert found.preferences == () and found.dropped == {SPLIT: 1, UNJUDGED: 1}


def test_only_judging_counts_and_an_expert_decides() -> None:
    one = task(0)
    votes = [said(one, "x", 1), said(one, "y", -1), said(one, "z", 0)]
    checks = [said(one, "x", -3, Purpose.REPEAT), said(one, "w", -3, Purpose.GOLD)]
    assert made(Method.MAJORITY, [one], votes + checks).dropped == {SPLIT: 1}
    expert = said(one, "e", 3, Purpose.ADJUDICATE)
    (preference,) = made(Method.MAJORITY, [one], [*votes, *checks, expert]).preferences
    assert preference.judgements == (expert.id,) and preference.chosen == "a0"


def test_voided_and_superseded_judgements_do_not_count() -> None:
    one = task(0)
    first, second = said(one, "x", 3), said(one, "y", -1)
    kept = aggregate([one], [first, second], project="p", round=None, voided={first.id})
    assert [p.chosen for p in kept.preferences] == ["b0"]
    corrected = replace(
        said(one, "x", -2), id="later", idempotency_key="later", supersedes=first.id
    )
    again = aggregate([one], [first, second, corrected], project="p", round=None)
    assert [(p.chosen, p.margin) for p in again.preferences] == [("b0", 1.5)]


def test_classes_of_agreement() -> None:
    tasks = [task(n) for n in range(5)]
    values = [(1, 2, 3), (1, 1, -1), (1, -1, 0), (2,), ()]
    votes = [
        said(one, f"j{place}", value)
        for one, group in zip(tasks, values, strict=True)
        for place, value in enumerate(group)
    ]
    assert list(agreement_classes(tasks, votes).values()) == [
        Agreed.FULL,
        Agreed.MAJORITY,
        Agreed.SPLIT,
        Agreed.SINGLE,
        Agreed.NONE,
    ]


def test_a_preview_keeps_what_aggregation_would() -> None:
    tasks, votes, _ = planted()
    rows = preview(tasks, votes)
    for row in rows[::7]:
        found = aggregate(
            tasks,
            votes,
            project="p",
            round=None,
            method=row.method,
            min_margin=row.min_margin,
            min_confidence=row.min_confidence,
        )
        assert (row.kept, row.dropped) == (
            len(found.preferences),
            dict(sorted(found.dropped.items())),
        )
    of = {(r.method, r.min_margin, r.min_confidence): r.kept for r in rows}
    assert (
        of[Method.MAJORITY, 0.0, 0.0]
        > of[Method.MAJORITY, 1.0, 0.8]
        > of[Method.MAJORITY, 2.0, 1.0]
    )


def test_a_preview_wants_comparisons() -> None:
    with pytest.raises(UsageError, match="comparisons of 2"):
        preview([replace(task(0), kind=TaskKind.RATE)], [])
