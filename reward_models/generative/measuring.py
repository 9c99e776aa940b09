"""How far a judge agrees with labels, and how far with itself when the replies are swapped."""

from collections.abc import Sequence
from dataclasses import dataclass

from trivox.platform.statistics.intervals import Interval, paired_bootstrap, wilson
from trivox.platform.statistics.judging import FlipRate, calibration_error, flip_rate
from trivox.reward_models.generative.judge import GenerativeJudge, Opinion
from trivox.reward_models.generative.planted import PlantedPair


@dataclass(frozen=True)
class Agreement:
    """A judge against labels. accuracy: over pairs with a preferred reply, 1 where the judge's expected strength
    has the label's sign, 0.5 where it is 0 or there is none, so that a judge without an opinion has 0.5; credits:
    the same pair by pair, None for pairs labelled a tie. exact: share of all pairs with the label's side, ties
    included. flips: both before and after debiasing. ece: of the confidence of decisive answers, None without one.
    """

    accuracy: float
    interval: Interval
    credits: tuple[float | None, ...]
    exact: float
    flips_before: FlipRate
    flips_after: FlipRate
    ece: float | None
    abstentions: int
    failures: int

    def to_json(self) -> dict[str, object]:
        return {
            "accuracy": self.accuracy,
            "interval": [self.interval.low, self.interval.high],
            "exact": self.exact,
            "flip_rate_before": self.flips_before.rate,
            "flip_rate_after": self.flips_after.rate,
            "ece": self.ece,
            "abstentions": self.abstentions,
            "failures": self.failures,
        }


def agreement(judge: GenerativeJudge, pairs: Sequence[PlantedPair]) -> Agreement:
    """Judges each pair as it is and with the replies swapped: the latter only to count flips."""
    opinions = judge.judge([pair.question for pair in pairs])
    swapped = judge.judge([pair.question.swapped for pair in pairs])
    given = tuple(_credit(pair.side, one) for pair, one in zip(pairs, opinions, strict=True))
    decisive = [credit for credit in given if credit is not None]
    right = [_side(one) == pair.side for pair, one in zip(pairs, opinions, strict=True)]
    return Agreement(
        accuracy=sum(decisive) / len(decisive),
        interval=wilson(round(sum(decisive)), len(decisive)),
        credits=given,
        exact=sum(right) / len(right),
        flips_before=flip_rate([one.order_sides for one in opinions]),
        flips_after=flip_rate(
            [_both(one, other) for one, other in zip(opinions, swapped, strict=True)]
        ),
        ece=_ece(pairs, opinions),
        abstentions=sum(
            one.answer is not None and one.answer.abstention is not None for one in opinions
        ),
        failures=sum(one.failure is not None for one in opinions),
    )


def gain(
    before: Agreement, after: Agreement, pairs: Sequence[PlantedPair], seed: int
) -> tuple[float, Interval]:
    """Accuracy after minus before on the same pairs, with an interval over requests."""
    both = [
        (late - early, pair.group)
        for early, late, pair in zip(before.credits, after.credits, pairs, strict=True)
        if early is not None and late is not None
    ]
    differences = [one for one, _ in both]
    interval = paired_bootstrap(differences, [group for _, group in both], seed)
    return sum(differences) / len(differences), interval


def _credit(side: int, opinion: Opinion) -> float | None:
    if side == 0:
        return None
    if not opinion.strength:
        return 0.5
    return float(opinion.strength * side > 0)


def _side(opinion: Opinion) -> int | None:
    """1, -1, 0 for a tie; None for an abstention or a failure."""
    if opinion.answer is None or opinion.answer.abstention is not None:
        return None
    found = opinion.answer.comparison or 0
    return (found > 0) - (found < 0)


def _both(one: Opinion, swapped: Opinion) -> tuple[int, int] | None:
    """The debiased sides of a question and of its swap, both told from the first of the question."""
    first, second = _side(one), _side(swapped)
    return None if first is None or second is None else (first, -second)


def _ece(pairs: Sequence[PlantedPair], opinions: Sequence[Opinion]) -> float | None:
    decisive = [
        (one.confidence, _side(one) == pair.side)
        for pair, one in zip(pairs, opinions, strict=True)
        if _side(one) in (1, -1) and pair.side != 0 and one.confidence is not None
    ]
    if not decisive:
        return None
    return calibration_error([c for c, _ in decisive], [right for _, right in decisive])
