"""How trustworthy a judge is: order flips, calibration, and what abstaining buys. Used by the report on
rewards."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from trivox.platform.errors import UsageError
from trivox.platform.statistics.intervals import Interval, wilson


@dataclass(frozen=True)
class FlipRate:
    """Pairs whose verdict changed when the items were shown the other way round. rate is None and the interval
    [0, 1] when no pair was judged in both orders; unjudged: those that were not."""

    rate: float | None
    interval: Interval
    judged: int
    unjudged: int


def flip_rate(sides: Sequence[tuple[int, int] | None]) -> FlipRate:
    """sides: for each pair the side named in one order and in the other, both told from the same first item: 1, -1
    or 0 for a tie; None where one order has no verdict.

    Any change counts, a tie against a side too: [(1, 1), (1, -1), (0, 1), None] has 2 flips of 3 and 1 unjudged.
    """
    judged = [both for both in sides if both is not None]
    flips = sum(one != other for one, other in judged)
    rate = flips / len(judged) if judged else None
    return FlipRate(rate, wilson(flips, len(judged)), len(judged), len(sides) - len(judged))


@dataclass(frozen=True)
class Bin:
    """Answers of like confidence: mean confidence, share that is right, how many."""

    confidence: float
    accuracy: float
    count: int


def reliability(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> list[Bin]:
    """Bins of equal width over [0, 1], those without an answer left out; 1.0 is in the last.

    Raises UsageError for lists of other lengths, none at all, or a confidence outside [0, 1].
    """
    _check(confidences, right)
    filled: dict[int, list[tuple[float, bool]]] = {}
    for confidence, correct in zip(confidences, right, strict=True):
        filled.setdefault(min(int(confidence * bins), bins - 1), []).append((confidence, correct))
    return [
        Bin(
            sum(c for c, _ in inside) / len(inside),
            sum(r for _, r in inside) / len(inside),
            len(inside),
        )
        for _, inside in sorted(filled.items())
    ]


def calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3): mean |accuracy - confidence| over bins, weighed by
    their counts.

    By hand: confidences 0.9, 0.9, 0.6, 0.6, right 1, 1, 1, 0: bins (0.9, 1.0, 2) and (0.6, 0.5, 2), so
    0.5 * 0.1 + 0.5 * 0.1 = 0.1. Raises as `reliability` does.
    """
    found = reliability(confidences, right, bins)
    return sum(one.count * abs(one.accuracy - one.confidence) for one in found) / len(right)


@dataclass(frozen=True)
class Coverage:
    """What is right when only answers of at least `threshold` confidence are given."""

    threshold: float
    coverage: float
    accuracy: float


def abstention_curve(confidences: Sequence[float], right: Sequence[bool]) -> list[Coverage]:
    """One point for each distinct confidence, from answering all to answering only the surest.

    By hand: confidences 0.9, 0.6, 0.6, right 1, 1, 0: at 0.6 all 3 are answered and 2/3 right, at 0.9 one of 3 and
    1 right. Raises as `reliability` does.
    """
    _check(confidences, right)
    points: list[Coverage] = []
    answered = correct = 0
    for threshold, group in groupby(
        sorted(zip(confidences, right, strict=True), reverse=True), key=lambda one: one[0]
    ):
        outcomes = [outcome for _, outcome in group]
        answered, correct = answered + len(outcomes), correct + sum(outcomes)
        points.append(Coverage(threshold, answered / len(right), correct / answered))
    return points[::-1]


def _check(confidences: Sequence[float], right: Sequence[bool]) -> None:
    if len(confidences) != len(right):
        raise UsageError(f"{len(confidences)} confidences but {len(right)} outcomes: give one each")
    if not confidences:
        raise UsageError("no answers to measure: at least one is needed")
    if strange := [one for one in confidences if not 0 <= one <= 1]:
        raise UsageError(f"confidence {strange[0]} is outside [0, 1]: give probabilities")
