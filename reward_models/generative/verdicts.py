"""What a judge can answer, with which probability, and how two orders of the same pair become one answer.

A belief is float [9], the probability of each of OUTCOMES. Swapping the replies mirrors a belief exactly, without
rounding, and `decide` on a mirrored belief gives exactly the opposite answer: every sum over one side is made in
the same order as over the other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from trivox.platform.errors import ConfigError
from trivox.platform.records import Answer, AnswerKind, Tie


class Outcome(StrEnum):
    """first+3: the first reply is much better; +2 better, +1 slightly better."""

    FIRST_3 = "first+3"
    FIRST_2 = "first+2"
    FIRST_1 = "first+1"
    BOTH_GOOD = "both_good"
    BOTH_BAD = "both_bad"
    CANNOT_TELL = "cannot_tell"
    SECOND_1 = "second+1"
    SECOND_2 = "second+2"
    SECOND_3 = "second+3"


OUTCOMES = tuple(Outcome)
TIES = (Tie.BOTH_GOOD, Tie.BOTH_BAD, Tie.CANNOT_TELL)
STRENGTHS = (3, 2, 1)
Belief = tuple[float, ...]
Weighed = tuple[float, Belief]


def belief(weights: dict[Outcome, float]) -> Belief:
    """Probabilities from weights of 0 or more that are not all 0. Raises ConfigError."""
    total = math.fsum(weights.values())
    if not (math.isfinite(total) and total > 0 and min(weights.values()) >= 0):
        raise ConfigError(
            f"the weights of the verdicts are {weights}: give finite ones of 0 or more"
        )
    return tuple(weights.get(outcome, 0.0) / total for outcome in OUTCOMES)


def sure(outcome: Outcome) -> Belief:
    """All probability on one outcome."""
    return belief({outcome: 1.0})


def mirrored(one: Belief) -> Belief:
    """The same belief with the replies the other way round; ties stay."""
    return (*one[:5:-1], *one[3:6], *one[2::-1])


def mixed(weighed: Sequence[Weighed]) -> Belief:
    """The mixture by weights above 0, which need not sum to 1."""
    total = math.fsum(weight for weight, _ in weighed)
    scaled = [[weight * p for p in one] for weight, one in weighed]
    return tuple(math.fsum(column) / total for column in zip(*scaled, strict=True))


def mean(beliefs: Sequence[Belief]) -> Belief:
    """The mixture of several; exact in any order of theirs. Raises ConfigError for none."""
    if not beliefs:
        raise ConfigError("no belief to average: read at least one verdict")
    columns = zip(*beliefs, strict=True)
    return tuple(math.fsum(column) / len(beliefs) for column in columns)


@dataclass(frozen=True)
class Sides:
    """Probability that the first is better, that the second is, and that neither is."""

    first: float
    second: float
    tie: float

    @property
    def side(self) -> int:
        """1: the first, -1: the second, 0: neither is likelier than the other or than a tie."""
        if self.first == self.second or self.tie >= max(self.first, self.second):
            return 0
        return 1 if self.first > self.second else -1


def sides(one: Belief) -> Sides:
    return Sides(math.fsum(one[:3]), math.fsum(one[6:]), math.fsum(one[3:6]))


def strength(one: Belief) -> float:
    """Expected signed strength, -3..3, positive for the first. For sure(FIRST_2) 2; half FIRST_3, half SECOND_1:
    1."""
    return math.fsum(k * (one[i] - one[8 - i]) for i, k in enumerate(STRENGTHS))


def spread(one: Belief) -> float:
    """Standard deviation of the signed strength: 0 when sure; half FIRST_3, half SECOND_1: 2."""
    square = math.fsum(k * k * (one[i] + one[8 - i]) for i, k in enumerate(STRENGTHS))
    return math.sqrt(max(0.0, square - strength(one) ** 2))


def decide(one: Belief, margins: tuple[float, float, float] | None = None) -> Answer:
    """The answer that a belief stands for: the likelier side, or a tie when a tie is as likely or the sides are
    equal.

    Its margin is the expected strength given the side, rounded; with `margins` (for judges whose labels have no
    strength) how many of them the log-odds of the sides reach, none of them being a tie.
    """
    found = sides(one)
    if found.side == 0:
        return Answer(AnswerKind.TIE, tie=_tie(one))
    size = _strength(one, found) if margins is None else _reached(found, margins)
    if size == 0:
        return Answer(AnswerKind.TIE, tie=Tie.CANNOT_TELL)
    return Answer(AnswerKind.COMPARISON, comparison=found.side * size)


def opposite(answer: Answer) -> Answer:
    """The answer to the same question with the replies the other way round."""
    if answer.comparison is None:
        return answer
    return Answer(AnswerKind.COMPARISON, comparison=-answer.comparison)


def _tie(one: Belief) -> Tie:
    likely = max(one[3:6])
    return TIES[one[3:6].index(likely)] if likely > 0 else Tie.CANNOT_TELL


def _strength(one: Belief, found: Sides) -> int:
    side = one[:3] if found.side > 0 else one[:5:-1]
    total = math.fsum(k * p for k, p in zip(STRENGTHS, side, strict=True))
    return min(3, max(1, math.floor(total / max(found.first, found.second) + 0.5)))


def _reached(found: Sides, margins: tuple[float, float, float]) -> int:
    low, high = sorted((found.first, found.second))
    odds = math.inf if low == 0 else math.log(high) - math.log(low)
    return sum(odds >= margin for margin in margins)
