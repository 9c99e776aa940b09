"""What people should see first: the questions on which a judge, or several judges, are least sure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trivox.platform.errors import UsageError
from trivox.reward_models.generative.judge import Opinion
from trivox.reward_models.generative.verdicts import Belief, mean, sides, spread


@dataclass(frozen=True)
class Doubt:
    """How much a question needs a person. reason: "failure", "abstention", "order flip" (the judge says another
    side in the other order), "disagreement" (of judges) or "uncertainty"; size: in the unit of the strength,
    infinite where there is no verdict."""

    question: str
    reason: str
    size: float


def doubts(judges: Sequence[Sequence[Opinion]]) -> list[Doubt]:
    """Every question, the most doubtful first; judges: the opinions of each judge on the same questions in the
    same order. size is the standard deviation of the mixture of all judges. Raises UsageError for other
    lengths."""
    if not judges or len({len(one) for one in judges}) != 1:
        raise UsageError(
            f"judges gave {[len(one) for one in judges]} opinions: give each of them the same questions"
        )
    found = [_doubt(opinions) for opinions in zip(*judges, strict=True)]
    return sorted(found, key=lambda one: (-one.size, one.question))


def _doubt(opinions: Sequence[Opinion]) -> Doubt:
    name = opinions[0].question
    if any(one.failure is not None for one in opinions):
        return Doubt(name, "failure", math.inf)
    beliefs = [one.belief for one in opinions if one.belief is not None]
    if len(beliefs) < len(opinions):
        return Doubt(name, "abstention", math.inf)
    return Doubt(name, _reason(opinions, beliefs), spread(mean(beliefs)))


def _reason(opinions: Sequence[Opinion], beliefs: Sequence[Belief]) -> str:
    if any(one.order_sides is not None and len(set(one.order_sides)) > 1 for one in opinions):
        return "order flip"
    return "disagreement" if len({sides(one).side for one in beliefs}) > 1 else "uncertainty"
