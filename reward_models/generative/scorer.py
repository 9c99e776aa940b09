"""Judges as scorers: a rollout against the reference y*, r = s(g(history, y, y*; rubric)) (Step-Audio-R1.5,
3.3)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from trivox.platform.records import Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.reward_models.generative.judge import GenerativeJudge, Opinion
from trivox.reward_models.generative.likelihood import LikelihoodJudge
from trivox.reward_models.generative.questions import Line, Question, Reply

Shaping = Literal["none", "tanh"]
SHAPES: dict[Shaping, Callable[[float], float]] = {"none": lambda g: g, "tanh": math.tanh}
"""s() of the reports is not disclosed; tanh presses -3..3 into -0.995..0.995."""


class ReferenceScorer:
    """The judge's expected signed strength of a rollout over its reference, -3..3 before shaping.

    uncertainty: of the strength, over probabilities, orders and votes: what goes to people first. A judge that
    abstains has no value, and a failure of its backend keeps its own kind.
    """

    def __init__(self, judge: GenerativeJudge, shaping: Shaping = "none") -> None:
        self.judge, self.shaping = judge, shaping

    @property
    def info(self) -> ScorerInfo:
        identity = self.judge.backend.identity
        return ScorerInfo(
            name=f"grm-{identity.name}",
            version=f"{self.judge.version}+{self.shaping}",
            weights_hash=identity.weights,
            family=identity.family,
            component="preference_over_reference",
            unit="margin",
            direction=Direction.HIGHER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        asked = [reference_question(item) for item in items]
        questions = [one for one in asked if isinstance(one, Question)]
        opinions = iter(self.judge.judge(questions))
        return [one if isinstance(one, Value) else self._value(next(opinions)) for one in asked]

    def _value(self, opinion: Opinion) -> Value:
        if opinion.failure is not None:
            return Value(None, failure=opinion.failure)
        said = " | ".join(getattr(one.reading, "raw", "") for one in opinion.seen)
        if opinion.strength is None or opinion.answer is None or opinion.answer.abstention:
            why = opinion.answer.abstention if opinion.answer else "no answer"
            return failed(FailureKind.UNMEASURED, f"the judge abstained: {why}: {said}")
        return Value(SHAPES[self.shaping](opinion.strength), opinion.uncertainty, evidence=said)


class LikelihoodScorer:
    """Mean log-likelihood of a rollout's words after the dialogue, or its PMI, in nats per token."""

    def __init__(self, judge: LikelihoodJudge) -> None:
        self.judge = judge

    @property
    def info(self) -> ScorerInfo:
        identity, mode = self.judge.identity, self.judge.mode
        return ScorerInfo(
            name=f"likelihood-{mode}-{identity.name}",
            version="1",
            weights_hash=identity.weights,
            family=identity.family,
            component=f"likelihood_{mode}",
            unit="nats per token",
            direction=Direction.HIGHER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        asked = [_question(item, Reply("none", "")) for item in items]
        found = self.judge.values([(question, question.first) for question in asked])
        return [Value(one) if isinstance(one, float) else Value(None, failure=one) for one in found]


def reference_question(item: Item) -> Question | Value:
    """The rollout as first, y* as second; a failed Value for an item without the one or the other."""
    sound = item.reference
    if item.reference_text is None and sound is None:
        return failed(
            FailureKind.NO_REFERENCE, f"rollout {item.rollout} has no reference to judge it against"
        )
    if item.hypothesis is None and item.text is None and item.samples is None:
        return failed(FailureKind.NO_TEXT, f"rollout {item.rollout} has neither text nor audio")
    reference = Reply(
        f"{item.rollout}:reference",
        item.reference_text,
        samples=sound.samples if sound else None,
        rate=sound.rate if sound else None,
    )
    return _question(item, reference)


def pair_question(name: str, first: Item, second: Item) -> Question | Value:
    """Which of two rollouts of one prompt is better; a failed Value where one has neither text nor audio."""
    for item in (first, second):
        if item.hypothesis is None and item.text is None and item.samples is None:
            return failed(FailureKind.NO_TEXT, f"rollout {item.rollout} has neither text nor audio")
    return replace(_question(first, _reply(second)), id=name)


def _reply(item: Item) -> Reply:
    said = item.text if item.hypothesis is None else item.hypothesis
    return Reply(item.rollout, said, samples=item.samples, rate=item.rate)


def _question(item: Item, second: Reply) -> Question:
    return Question(
        id=item.rollout,
        first=_reply(item),
        second=second,
        history=tuple(Line(turn.role, turn.text) for turn in item.history if turn.text),
        persona=item.persona,
        rubric=item.rubric,
        instruction=item.instruction,
        language=item.language,
    )
