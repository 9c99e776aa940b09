"""Both orders, votes, criteria, rules of character, abstentions, failures: with backends whose answers are
known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reward_models.generative.judges import (
    ANNA,
    Told,
    always,
    at_random,
    question,
    rubric,
    told,
)
from trivox.platform.records import AnswerKind, Failure, Tie
from trivox.reward_models.generative.backends import JudgeFailure, Reading, failure
from trivox.reward_models.generative.questions import View
from trivox.reward_models.generative.verdicts import Outcome, belief, mirrored, opposite, sure

texts = st.text("abc ", min_size=1, max_size=6)


def better(view: View) -> Reading:
    """The longer reply, in whatever order."""
    first, second = (len(reply.text or "") for reply in view.shown)
    outcome = Outcome.FIRST_2 if first > second else Outcome.SECOND_2
    return Reading(sure(Outcome.BOTH_GOOD if first == second else outcome), "length")


@given(texts, texts, st.integers(1, 3), st.booleans())
def test_a_swapped_question_gets_exactly_the_opposite(
    first: str, second: str, votes: int, by_criterion: bool
) -> None:
    judge = told(at_random, votes=votes, by_criterion=by_criterion)
    asked = question(first, second, rubric=rubric(clear=0.7, kind=0.3))
    one, other = judge.judge([asked])[0], judge.judge([asked.swapped])[0]
    assert one.answer is not None and other.answer == opposite(one.answer)
    assert one.belief is not None and other.belief == mirrored(one.belief)
    assert one.strength == -(other.strength or 0) and one.uncertainty == other.uncertainty


@given(texts)
def test_equal_replies_are_never_better_than_each_other(text: str) -> None:
    answer = told(at_random).judge([question(text, text)])[0].answer
    assert answer is not None and answer.kind is AnswerKind.TIE


def test_position_bias_alone_is_a_tie_and_shows_as_a_flip() -> None:
    found, other = told(always(Outcome.FIRST_3)).judge([question(), question().swapped])
    assert other.order_sides == (1, -1)
    assert found.answer is not None and found.answer.tie is Tie.CANNOT_TELL
    assert found.order_sides == (1, -1) and found.disagreement == 1
    assert found.strength == 0 and found.uncertainty == pytest.approx((0.9 * 9) ** 0.5)


def test_a_consistent_judge_is_believed() -> None:
    found = told(better).judge([question("long enough", "no"), question("no", "long enough")])
    assert [one.answer.comparison for one in found if one.answer] == [2, -2]
    assert [one.order_sides for one in found] == [(1, 1), (-1, -1)]
    assert {one.disagreement for one in found} == {0} and found[0].confidence == 1


def test_both_orders_and_all_votes_are_asked_with_seeds_of_their_own() -> None:
    backend = Told(better)
    judge = told(better, votes=3)
    judge.backend = backend
    judge.judge([question()])
    assert [(v.shown[0].id, v.vote) for v in backend.asked] == [
        (name, vote) for name in ("r2", "r1") for vote in range(3)
    ] or [(v.shown[0].id, v.vote) for v in backend.asked] == [
        (name, vote) for name in ("r1", "r2") for vote in range(3)
    ]
    assert len({view.seed for view in backend.asked}) == 6


def test_one_vote_that_cannot_be_read_is_left_out_and_none_readable_is_an_abstention() -> None:
    def sometimes(view: View) -> Reading:
        return better(view) if view.vote else Reading(None, "I would rather not say")

    found = told(sometimes, votes=2).judge([question("long enough", "no")])[0]
    assert found.answer is not None and found.answer.comparison == 2
    mute = told(sometimes, votes=1).judge([question()])[0]
    assert mute.answer is not None and mute.answer.kind is AnswerKind.ABSTENTION
    assert mute.belief is None and mute.strength is None and mute.failure is None
    kept = [one.reading for one in mute.seen]
    assert [one.raw for one in kept if isinstance(one, Reading)] == ["I would rather not say"] * 2


def test_one_readable_order_is_not_enough() -> None:
    """A verdict of one order would hold its position bias."""

    def half(view: View) -> Reading:
        return better(view) if view.shown[0].id == "r1" else Reading(None, "?")

    found = told(half).judge([question("long enough", "no")])[0]
    assert found.answer is not None and found.answer.kind is AnswerKind.ABSTENTION


def test_a_failure_is_of_its_question_alone_and_no_verdict() -> None:
    def fails(view: View) -> Reading | Failure:
        if "bad" in (view.shown[0].text or ""):
            return failure(JudgeFailure.TIMEOUT, "no answer within 1 s")
        return better(view)

    found = told(fails).judge([question("long enough", "no"), question("bad", "good reply")])
    assert found[0].answer is not None and found[0].answer.comparison == 2
    assert found[1].answer is None and found[1].belief is None
    assert found[1].failure == Failure("judge_timeout", "no answer within 1 s")


def test_an_unsure_judge_abstains_where_it_is_asked_to() -> None:
    def unsure(view: View) -> Reading:
        weights = {Outcome.FIRST_1: 0.6, Outcome.SECOND_1: 0.4}
        found = belief(weights)
        return Reading(found if view.shown[0].id == "r1" else mirrored(found), "")

    assert told(unsure, abstain_below=0.5).judge([question()])[0].answer.comparison == 1  # type: ignore[union-attr]
    answer = told(unsure, abstain_below=0.7).judge([question()])[0].answer
    assert answer is not None and answer.abstention == (
        "unsure: the likeliest verdict has 0.60, asked for 0.7"
    )


def test_criteria_asked_apart_are_weighed() -> None:
    """clear (0.7) is for the first, kind (0.3) for the second: 0.7 * 2 - 0.3 * 2 = 0.8."""

    def by_criterion(view: View) -> Reading:
        assert view.question.rubric is not None
        (name,) = view.question.rubric.criteria
        for_r1 = sure(Outcome.FIRST_2 if name == "clear" else Outcome.SECOND_2)
        return Reading(for_r1 if view.shown[0].id == "r1" else mirrored(for_r1), name)

    asked = question(rubric=rubric(clear=0.7, kind=0.3))
    found = told(by_criterion, by_criterion=True).judge([asked])[0]
    assert found.strength == pytest.approx(0.8)
    assert [one.criterion for one in found.seen] == ["clear", "clear", "kind", "kind"]
    assert found.answer is not None and found.answer.comparison == 2


def test_in_character_is_checked_by_the_rules_of_the_persona() -> None:
    """The rules give 0.4 * +3, the model a tie for the rest: 1.2."""
    asked = question(
        "aye captain the lamp is on",
        "the lamp is on",
        persona=ANNA,
        rubric=rubric(clear=0.6, in_character=0.4),
    )
    judge = told(lambda view: Reading(sure(Outcome.BOTH_GOOD), ""))
    found = judge.judge([asked])[0]
    assert found.strength == pytest.approx(1.2)
    rubrics = [view.question.rubric for view in judge.backend.asked]  # type: ignore[attr-defined]
    assert all(one is not None and [*one.criteria] == ["clear"] for one in rubrics)
    other = judge.judge([asked.swapped])[0]
    assert other.strength == -found.strength


def test_a_persona_without_rules_leaves_the_criterion_to_the_model() -> None:
    from dataclasses import replace

    asked = question(persona=replace(ANNA, traits={}), rubric=rubric(clear=0.6, in_character=0.4))
    judge = told(better)
    judge.judge([asked])
    rubrics = [view.question.rubric for view in judge.backend.asked]  # type: ignore[attr-defined]
    assert all(one is not None and len(one.criteria) == 2 for one in rubrics)


def test_the_version_names_prompt_and_settings() -> None:
    versions = {told(better, votes=votes).version for votes in (1, 2)}
    assert len(versions) == 2 and all(one.startswith("scale@1+") for one in versions)
