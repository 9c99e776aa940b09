"""Judges as scorers against y*, what goes to people first, and the likelihood judge."""

import math
from typing import Any

import pytest
import torch

from tests.reward_models.generative.judges import at_random, question, told
from trivox.platform.errors import UsageError
from trivox.platform.records import Direction, Failure, Turn
from trivox.platform.scoring import Item
from trivox.reward_models.generative.backends import Identity, JudgeFailure, Reading, failure
from trivox.reward_models.generative.likelihood import LikelihoodJudge
from trivox.reward_models.generative.questions import Question, Reply, View
from trivox.reward_models.generative.routing import doubts
from trivox.reward_models.generative.scorer import LikelihoodScorer, ReferenceScorer
from trivox.reward_models.generative.verdicts import Outcome, mirrored, opposite, sure


def item(text: str | None, reference: str | None = "the lamp is on") -> Item:
    history = (Turn("user", "turn on the lamp"),)
    return Item(f"ro-{text}", None, None, text, "en", reference_text=reference, history=history)


def by_length(view: View) -> Reading:
    """Two better for the longer one."""
    first, second = (len(reply.text or "") for reply in view.shown)
    if first == second:
        return Reading(sure(Outcome.BOTH_GOOD), "same")
    return Reading(sure(Outcome.FIRST_2 if first > second else Outcome.SECOND_2), "length")


def test_a_rollout_is_scored_against_its_reference() -> None:
    scorer = ReferenceScorer(told(by_length))
    found = scorer.score(
        [item("no"), item("much longer than the lamp is on"), item("the lamp is on")]
    )
    assert [one.value for one in found] == [-2, 2, 0] and found[0].uncertainty == 0
    assert scorer.info.direction is Direction.HIGHER and scorer.info.unit == "margin"
    shaped = ReferenceScorer(told(by_length), "tanh")
    assert shaped.score([item("no")])[0].value == pytest.approx(math.tanh(-2))
    assert shaped.info.version != scorer.info.version


def test_nothing_that_fails_has_a_value() -> None:
    def fails(view: View) -> Reading | Failure:
        texts = {reply.text for reply in view.shown}
        if "slow" in texts:
            return failure(JudgeFailure.TIMEOUT, "no answer")
        return Reading(None, "I cannot say") if "odd" in texts else by_length(view)

    asked = [item("slow"), item("odd"), item("no", None), item(None), item("no")]
    found = ReferenceScorer(told(fails)).score(asked)
    assert [one.failure.kind if one.failure else one.value for one in found] == [
        "judge_timeout",
        "unmeasured",
        "no_reference",
        "no_text",
        -2,
    ]
    assert "I cannot say" in (found[1].failure.message if found[1].failure else "")


def test_doubtful_questions_come_first() -> None:
    """A failure, then the largest spread; equal ones by name."""

    def mixed(view: View) -> Reading | Failure:
        name = view.question.id
        if name == "fails":
            return failure(JudgeFailure.SERVER_ERROR, "500")
        if name == "sure":
            return by_length(view)
        return Reading(sure(Outcome.FIRST_3), "always A")

    asked = [
        Question(name, Reply("1", "long reply"), Reply("2", "no"))
        for name in ("sure", "flips", "fails")
    ]
    found = doubts([told(mixed).judge(asked)])
    assert [(one.question, one.reason, one.size) for one in found] == [
        ("fails", "failure", math.inf),
        ("flips", "order flip", 3),
        ("sure", "uncertainty", 0),
    ]


def test_judges_that_disagree_are_doubted_by_the_spread_of_their_mixture() -> None:
    """One says +2, one says -2: a deviation of 2."""

    def contrary(view: View) -> Reading:
        found = by_length(view)
        assert found.belief is not None
        return Reading(mirrored(found.belief), "shorter")

    asked = [question("long reply", "no")]
    (doubt,) = doubts([told(by_length).judge(asked), told(contrary).judge(asked)])
    assert (doubt.reason, doubt.size) == ("disagreement", 2)
    with pytest.raises(UsageError, match="the same questions"):
        doubts([told(at_random).judge(asked), []])


@pytest.fixture
def likely(chat: tuple[Any, Any]) -> LikelihoodJudge:
    return LikelihoodJudge(Identity("tiny", "0", "tiny"), *chat)


def test_likelihood_is_the_mean_log_probability_of_the_reply(likely: LikelihoodJudge) -> None:
    asked = question("the lamp", "the quick brown fox jumps")
    (found,) = likely.values([(asked, asked.first)])
    before, said = likely._dialogue(asked), likely._ids("the lamp")
    with torch.no_grad():
        logits = likely.model(torch.tensor([before + said])).logits[0].log_softmax(-1)
    places = range(len(before) - 1, len(before) + len(said) - 1)
    wanted = sum(float(logits[place, token]) for place, token in zip(places, said, strict=True))
    assert found == pytest.approx(wanted / len(said), abs=1e-5)


def test_likelihood_has_no_order_and_no_company(likely: LikelihoodJudge) -> None:
    asked = [question("the lamp", "the quick brown fox"), question("what time is it", "heart")]
    one, other = likely.judge(asked), likely.judge([q.swapped for q in asked])
    assert [opposite(a) for a in one if not isinstance(a, Failure)] == other
    pairs = [(q, r) for q in asked for r in (q.first, q.second)]
    alone = [likely.values([pair])[0] for pair in pairs]
    assert likely.values(pairs) == pytest.approx(alone, abs=1e-5)
    assert likely.values(pairs[::-1]) == likely.values(pairs)[::-1]


def test_pmi_takes_away_what_is_likely_anywhere(likely: LikelihoodJudge) -> None:
    asked = question("the lamp", "heart")
    given = likely.values([(asked, asked.first)])[0]
    pmi = LikelihoodJudge(likely.identity, likely.model, likely.tokenizer, "pmi")
    alone = Question("q", asked.first, asked.second)
    unconditional = likely._means([likely._row(alone, asked.first, False)])[0]
    assert pmi.values([(asked, asked.first)])[0] == pytest.approx(given - unconditional)  # type: ignore[operator]


def test_a_reply_without_words_has_no_likelihood(likely: LikelihoodJudge) -> None:
    found = LikelihoodScorer(likely).score(
        [item("heart"), item(None), item("  "), item("a" * 9000)]
    )
    assert found[0].value is not None and found[0].value < 0
    kinds = [one.failure.kind for one in found[1:] if one.failure]
    assert kinds == ["judge_nothing_to_judge"] * 2 + ["judge_prompt_too_long"]
