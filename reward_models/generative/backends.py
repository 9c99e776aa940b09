"""The one interface of everything that can read a view and say something about it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from trivox.platform.records import Failure
from trivox.reward_models.generative.questions import View
from trivox.reward_models.generative.templates import Template
from trivox.reward_models.generative.verdicts import Belief, belief, sure


class JudgeFailure(StrEnum):
    """Why a judge gave no reading: kinds of `Failure`."""

    TIMEOUT = "judge_timeout"
    UNREACHABLE = "judge_unreachable"
    RATE_LIMITED = "judge_rate_limited"
    SERVER_ERROR = "judge_server_error"
    REFUSED = "judge_refused"
    BROKEN_ANSWER = "judge_broken_answer"
    COST_LIMIT = "judge_cost_limit"
    TOO_LONG = "judge_prompt_too_long"
    NOTHING_TO_JUDGE = "judge_nothing_to_judge"


def failure(kind: JudgeFailure, message: str) -> Failure:
    return Failure(kind.value, message)


@dataclass(frozen=True)
class Reading:
    """What a judge said of one view, A as first and B as second; kept as evidence.

    belief: None where the answer could not be read, which is an abstention. raw: the answer as it came: the
    generated text, or the label probabilities as text. mass: probability of all labels together, where known.
    """

    belief: Belief | None
    raw: str
    mass: float | None = None


@dataclass(frozen=True)
class Spent:
    """What a backend used: price in the currency of its configuration, None where it is not known."""

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    price: float | None = None


@dataclass(frozen=True)
class Identity:
    """Who judges: name for people, weights: sha256 or the name and address of a served model, family as in
    ScorerInfo."""

    name: str
    weights: str
    family: str
    settings: dict[str, object] = field(default_factory=dict)


class Backend(Protocol):
    """Reads views in the order given. One bad view gives one Failure; `read` does not raise for it."""

    @property
    def identity(self) -> Identity: ...

    @property
    def spent(self) -> Spent: ...

    def read(
        self, views: Sequence[View], template: Template, reasons: bool
    ) -> list[Reading | Failure]: ...


def from_probabilities(template: Template, found: dict[str, float], least: float) -> Reading:
    """label -> probability at the place of the verdict. Labels with less than `least` in all are no answer."""
    mass = sum(found.values())
    shown = " ".join(f"{label}={found.get(label, 0.0):.4g}" for label in template.labels)
    if not mass > 0 or mass < least:
        return Reading(None, shown, mass)
    weights = {outcome: found.get(label, 0.0) for label, outcome in template.labels.items()}
    return Reading(belief(weights), shown, mass)


def parsed(template: Template, text: str) -> Reading:
    """The label of an answer that holds the cue once, at its end, and after it one label and at most a full stop.

    Anything else is unreadable: no label, two of them, a verdict that goes on, a cue that is said twice.
    """
    cue = re.escape(template.cue)
    labels = "|".join(re.escape(label) for label in sorted(template.labels, key=len, reverse=True))
    found = re.findall(rf"{cue}\s*({labels})\s*\.?\s*\Z", text)
    if len(found) != 1 or len(re.findall(cue, text)) != 1:
        return Reading(None, text)
    return Reading(sure(template.labels[found[0]]), text)
