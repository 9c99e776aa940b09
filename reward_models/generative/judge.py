"""A judge: both orders of every pair, k votes of each, one debiased opinion."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from trivox.platform.hashing import content_hash
from trivox.platform.personas.character import in_character
from trivox.platform.records import Answer, AnswerKind, Failure
from trivox.reward_models.generative.backends import Backend, Reading
from trivox.reward_models.generative.questions import Question, View, views_of
from trivox.reward_models.generative.templates import Template
from trivox.reward_models.generative.verdicts import (
    Belief,
    Outcome,
    Weighed,
    decide,
    mean,
    mirrored,
    mixed,
    opposite,
    sides,
    spread,
    strength,
    sure,
)

IN_CHARACTER = "in_character"
"""A criterion of this name is checked by the rules of the persona, where it has any, and not by the model."""


class JudgeSettings(BaseModel):
    """How a judge works, whatever its backend."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: str = "scale@1"
    """Packaged prompt, `name@version`, or a .toml file."""
    reasons: bool = False
    """Whether it reasons before the verdict; else the verdict is its first token."""
    votes: int = Field(1, ge=1)
    """Draws in each of the two orders; more than one only serves a judge that reasons."""
    abstain_below: float = Field(0.0, ge=0, le=1)
    """Probability of the likeliest of first, second and tie under which the judge abstains."""
    by_criterion: bool = False
    """Whether each criterion of a rubric is a question of its own, weighed afterwards; else all are asked at
    once."""
    seed: int = Field(0, ge=0)
    """Of the votes."""


@dataclass(frozen=True)
class Seen:
    """One reading with the order in which the replies were shown: ids of A and B. criterion: None for overall."""

    shown: tuple[str, str]
    reading: Reading | Failure
    criterion: str | None = None


@dataclass(frozen=True)
class Opinion:
    """What a judge makes of one question.

    answer: None exactly where failure says why. belief: debiased, first and second as in the question; None for an
    abstention for want of a readable answer. by_order: the belief before debiasing where the question's first was
    shown as A, and where it was shown as B, both told from the question's first. uncertainty: one standard
    deviation of the signed strength, over probabilities, orders and votes. disagreement: share of pairs of
    readings that name different sides, None below two readings.
    """

    question: str
    answer: Answer | None
    belief: Belief | None
    by_order: tuple[Belief, Belief] | None
    seen: tuple[Seen, ...]
    failure: Failure | None = None

    @property
    def strength(self) -> float | None:
        """Expected signed strength, -3..3."""
        return None if self.belief is None else strength(self.belief)

    @property
    def uncertainty(self) -> float | None:
        return None if self.belief is None else spread(self.belief)

    @property
    def confidence(self) -> float | None:
        """Probability of the likeliest of first, second and tie."""
        if self.belief is None:
            return None
        found = sides(self.belief)
        return max(found.first, found.second, found.tie)

    @property
    def order_sides(self) -> tuple[int, int] | None:
        """1, -1 or 0 in each order before debiasing; a judge without position bias says the same twice."""
        if self.by_order is None:
            return None
        return sides(self.by_order[0]).side, sides(self.by_order[1]).side

    @property
    def disagreement(self) -> float | None:
        found = [
            (sides(told).side)
            for one in self.seen
            if (told := _told(one, self.seen[0].shown)) is not None
        ]
        pairs = [(a, b) for i, a in enumerate(found) for b in found[i + 1 :]]
        return None if not pairs else sum(a != b for a, b in pairs) / len(pairs)


class GenerativeJudge:
    """Judges questions with a backend: `judge([q.swapped])` answers exactly the opposite of `judge([q])`."""

    def __init__(self, backend: Backend, template: Template, settings: JudgeSettings) -> None:
        self.backend, self.template, self.settings = backend, template, settings

    @property
    def version(self) -> str:
        """Changes with the prompt and with every setting."""
        made_of = [
            self.template.sha256,
            self.settings.model_dump(mode="json"),
            self.backend.identity.settings,
        ]
        return f"{self.template.reference}+{content_hash(made_of)[:12]}"

    def judge(self, questions: Sequence[Question]) -> list[Opinion]:
        """One opinion for each question, in their order; a failure of one is its own."""
        ordered = [q if q.in_order else q.swapped for q in questions]
        asked = [_parts(q, self.settings.by_criterion) for q in ordered]
        views = [
            view
            for parts in asked
            for part in parts
            if part.ruled is None
            for view in self._views(part)
        ]
        read = iter(self.backend.read(views, self.template, self.settings.reasons))
        opinions = []
        for given, parts in zip(questions, asked, strict=True):
            opinion = self._opinion(given.id, parts, read)
            opinions.append(opinion if given.in_order else _turned(opinion))
        return opinions

    def _opinion(
        self, name: str, parts: "list[_Part]", read: Iterator[Reading | Failure]
    ) -> Opinion:
        seen: list[Seen] = []
        orders: tuple[list[Weighed], list[Weighed]] = ([], [])
        for part in parts:
            if part.ruled is not None:
                for order in orders:
                    order.append((part.weight, part.ruled))
                continue
            new = [Seen(_ids(view), next(read), part.criterion) for view in self._views(part)]
            seen += new
            for order, shown in zip(orders, _halves(new), strict=True):
                beliefs = [told for one in shown if (told := _told(one, new[0].shown)) is not None]
                if beliefs:
                    order.append((part.weight, mean(beliefs)))
        failures = [one.reading for one in seen if isinstance(one.reading, Failure)]
        if failures:
            return Opinion(name, None, None, None, tuple(seen), failures[0])
        if min(map(len, orders)) < len(parts):
            answer = Answer(
                AnswerKind.ABSTENTION, abstention="no readable verdict in one of the orders"
            )
            return Opinion(name, answer, None, None, tuple(seen))
        by_order = mixed(orders[0]), mixed(orders[1])
        debiased = mean(by_order)
        return Opinion(name, self._answer(debiased), debiased, by_order, tuple(seen))

    def _views(self, part: "_Part") -> list[View]:
        return views_of(part.question, self.settings.votes, self.settings.seed)

    def _answer(self, debiased: Belief) -> Answer:
        found = sides(debiased)
        likeliest = max(found.first, found.second, found.tie)
        if likeliest < self.settings.abstain_below:
            why = f"unsure: the likeliest verdict has {likeliest:.2f}, asked for {self.settings.abstain_below:g}"
            return Answer(AnswerKind.ABSTENTION, abstention=why)
        return decide(debiased, self.template.margins)


@dataclass(frozen=True)
class _Part:
    """One criterion of a question, or all of it. ruled: the answer, where a rule and not the model gives it."""

    question: Question
    weight: float = 1.0
    criterion: str | None = None
    ruled: Belief | None = None


def _parts(question: Question, by_criterion: bool) -> list[_Part]:
    """A question as it is, or each criterion of its rubric apart; one that rules check always apart."""
    rubric = question.rubric
    if rubric is None:
        return [_Part(question)]
    ruled = _ruled(question)
    modelled = {n: c for n, c in rubric.criteria.items() if ruled is None or n != IN_CHARACTER}
    parts = (
        []
        if ruled is None
        else [_Part(question, rubric.criteria[IN_CHARACTER][0], IN_CHARACTER, ruled)]
    )
    if by_criterion:
        for name, (weight, text) in modelled.items():
            alone = replace(question, rubric=replace(rubric, criteria={name: (1.0, text)}))
            parts.append(_Part(alone, weight, name))
    elif modelled:
        weight = math.fsum(weight for weight, _ in modelled.values())
        parts.append(_Part(replace(question, rubric=replace(rubric, criteria=modelled)), weight))
    return parts


def _ruled(question: Question) -> Belief | None:
    """The in-character criterion by the rules of the persona; None: no such criterion, no rule, or no text."""
    texts = question.first.text, question.second.text
    if question.rubric is None or IN_CHARACTER not in question.rubric.criteria:
        return None
    if question.persona is None or None in texts:
        return None
    verdicts = [in_character(question.persona, text or "", question.language) for text in texts]
    held = [sum(result.passed for result in verdict.results) for verdict in verdicts]
    if not verdicts[0].results:
        return None
    if held[0] == held[1]:
        return sure(Outcome.BOTH_GOOD if verdicts[0].passed else Outcome.BOTH_BAD)
    return sure(Outcome.FIRST_3 if held[0] > held[1] else Outcome.SECOND_3)


def _ids(view: View) -> tuple[str, str]:
    return view.shown[0].id, view.shown[1].id


def _halves(seen: list[Seen]) -> tuple[list[Seen], list[Seen]]:
    half = len(seen) // 2
    return seen[:half], seen[half:]


def _told(one: Seen, first: tuple[str, str]) -> Belief | None:
    """What a reading says of the replies in the order `first`; None for what could not be read."""
    if isinstance(one.reading, Failure) or one.reading.belief is None:
        return None
    return one.reading.belief if one.shown == first else mirrored(one.reading.belief)


def _turned(opinion: Opinion) -> Opinion:
    """The opinion on the question with the replies the other way round."""
    by_order = opinion.by_order
    return replace(
        opinion,
        answer=None if opinion.answer is None else opposite(opinion.answer),
        belief=None if opinion.belief is None else mirrored(opinion.belief),
        by_order=None if by_order is None else (mirrored(by_order[1]), mirrored(by_order[0])),
    )
