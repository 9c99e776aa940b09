"""Judged pairs from a generative judge, which sees both replies at once: side, probability, and both orders."""

from collections.abc import Sequence

from trivox.platform.scoring import Value
from trivox.reward_models.generative.judge import GenerativeJudge, Opinion
from trivox.reward_models.generative.questions import Question
from trivox.reward_models.generative.scorer import pair_question
from trivox.reward_models.generative.verdicts import Belief, sides
from trivox.reward_models.report.judged import JudgedPair
from trivox.reward_models.report.scored import JudgedItems, judged_pair

ABSTAINED = "abstained"


def judge_pairs(judge: GenerativeJudge, judged: Sequence[JudgedItems]) -> list[JudgedPair]:
    """The judge's debiased verdict on every pair. A failure keeps its kind and an abstention is counted as one:
    neither has a difference."""
    asked = [pair_question(one.id, *one.items) for one in judged]
    opinions = iter(judge.judge([one for one in asked if isinstance(one, Question)]))
    return [
        _unasked(one, question) if isinstance(question, Value) else _pair(one, next(opinions))
        for one, question in zip(judged, asked, strict=True)
    ]


def _unasked(one: JudgedItems, value: Value) -> JudgedPair:
    return judged_pair(one, None, failure=value.failure.kind if value.failure else "unknown")


def _pair(one: JudgedItems, opinion: Opinion) -> JudgedPair:
    if opinion.failure is not None:
        return judged_pair(one, None, failure=opinion.failure.kind)
    orders = opinion.order_sides
    if opinion.answer is None or opinion.answer.abstention is not None or opinion.belief is None:
        return judged_pair(one, None, failure=ABSTAINED, orders=orders)
    preferred = float(opinion.answer.comparison or 0)
    return judged_pair(one, preferred, _first(opinion.belief), orders=orders)


def _first(belief: Belief) -> float:
    """Probability that the first is better, a tie being half of it."""
    found = sides(belief)
    return min(1.0, max(0.0, 0.5 * (1 + found.first - found.second)))
