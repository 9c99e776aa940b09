"""What the votes on one comparison come to: by majority, or weighed by what is known of the judges."""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trivox.annotation.aggregation.votes import Vote
from trivox.platform.records import Task
from trivox.platform.statistics.dawid_skene import dawid_skene

UNJUDGED = "no judgement"
ABSTAINED = "only abstentions"
TIED = "tie"
SPLIT = "judges evenly split"


class Method(StrEnum):
    """majority: a vote each. weighted: a vote counts by its judge's reliability. dawid-skene: the true of seven
    ordered answers is inferred, together with what each judge makes of them."""

    MAJORITY = "majority"
    WEIGHTED = "weighted"
    DAWID_SKENE = "dawid-skene"


VERSIONS = {Method.MAJORITY: 1, Method.WEIGHTED: 1, Method.DAWID_SKENE: 1}


@dataclass(frozen=True)
class Verdict:
    """side: 1 the first item, -1 the second, 0 a tie. margin: strength in favour of that side, up to 3.
    confidence: what supports it, 0..1."""

    side: int
    margin: float
    confidence: float


Verdicts = dict[str, Verdict | str]
"""By task; a text is the reason why there is none."""


def verdicts(
    method: Method, tasks: Sequence[Task], votes: Mapping[str, Sequence[Vote]]
) -> Verdicts:
    """The verdict on every task that has votes."""
    return _METHODS[method](tasks, votes)


def _majority(tasks: Sequence[Task], votes: Mapping[str, Sequence[Vote]]) -> Verdicts:
    return {task.id: _most([(vote, 1.0) for vote in votes[task.id]]) for task in tasks}


def _most(votes: Sequence[tuple[Vote, float]]) -> Verdict | str:
    """The side of the greatest weight; confidence is its share, margin the weighted mean in its favour."""
    if not votes:
        return ABSTAINED
    sides = defaultdict[int, float](float)
    for vote, weight in votes:
        sides[vote.side] += weight
    ranked = sorted(sides.items(), key=lambda found: found[1], reverse=True)
    if len(ranked) > 1 and math.isclose(ranked[0][1], ranked[1][1], rel_tol=1e-9):
        return SPLIT
    side, weight = ranked[0]
    total = sum(weight for _, weight in votes)
    if not total:  # nobody among them is better than chance
        return SPLIT
    margin = side * sum(vote.strength * weight for vote, weight in votes) / total
    return Verdict(side, margin, weight / total)


def _weighted(tasks: Sequence[Task], votes: Mapping[str, Sequence[Vote]]) -> Verdicts:
    """Weights are log-odds of a judge's reliability among three sides (Nitzan and Paroush 1982), at least 0."""
    coded = [
        (task.id, vote.judgement.judge, vote.side + 1) for task in tasks for vote in votes[task.id]
    ]
    if not coded:
        return _majority(tasks, votes)
    found = dawid_skene(coded, 3)
    weights = {judge: _log_odds(one.share, one.votes) for judge, one in found.reliability.items()}
    if not any(weights.values()):
        return _majority(tasks, votes)
    return {
        task.id: _most([(v, weights[v.judgement.judge]) for v in votes[task.id]]) for task in tasks
    }


def _log_odds(share: float, votes: int) -> float:
    """Of being right against each of the two other sides, the share drawn to a third by one vote of doubt."""
    p = (share * votes + 1 / 3) / (votes + 1)
    return max(0.0, math.log(2 * p / (1 - p)))


def _inferred(tasks: Sequence[Task], votes: Mapping[str, Sequence[Vote]]) -> Verdicts:
    coded = [
        (task.id, vote.judgement.judge, vote.strength + 3)
        for task in tasks
        for vote in votes[task.id]
    ]
    if not coded:
        return _majority(tasks, votes)
    posterior: Mapping[Hashable, np.ndarray] = dawid_skene(coded, 7, ordered=True).posterior
    return {
        task.id: _likeliest(posterior[task.id]) if votes[task.id] else ABSTAINED for task in tasks
    }


def _likeliest(posterior: np.ndarray) -> Verdict | str:
    """Of probabilities of -3..3."""
    sides = {-1: float(posterior[:3].sum()), 0: float(posterior[3]), 1: float(posterior[4:].sum())}
    side, most = max(sides.items(), key=lambda one: one[1])
    if sum(math.isclose(most, one, rel_tol=1e-6) for one in sides.values()) > 1:
        return SPLIT
    return Verdict(side, side * float(posterior @ np.arange(-3, 4)), most)


_METHODS: dict[Method, Callable[[Sequence[Task], Mapping[str, Sequence[Vote]]], Verdicts]] = {
    Method.MAJORITY: _majority,
    Method.WEIGHTED: _weighted,
    Method.DAWID_SKENE: _inferred,
}
