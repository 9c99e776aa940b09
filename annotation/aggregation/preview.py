"""How many preferences would come of it, by method and threshold, before anyone commits to one."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from trivox.annotation.aggregation.outcomes import UNJUDGED, Method, Verdict, verdicts
from trivox.annotation.aggregation.preferences import refusal, votes_on
from trivox.annotation.aggregation.votes import Vote, by_task
from trivox.platform.records import Judgement, Task

MARGINS = (0.0, 0.5, 1.0, 1.5, 2.0)
CONFIDENCES = (0.0, 0.5, 2 / 3, 0.8, 1.0)


class Agreed(StrEnum):
    """How the judges of one task agree. full: all on one side. majority: more than half. split: no side has more
    than half. single: one judge only. none: nobody answered."""

    FULL = "full"
    MAJORITY = "majority"
    SPLIT = "split"
    SINGLE = "single"
    NONE = "none"


@dataclass(frozen=True)
class Yield:
    """kept preferences of `tasks` at these thresholds; dropped: reason -> how many tasks."""

    method: Method
    min_margin: float
    min_confidence: float
    kept: int
    tasks: int
    dropped: dict[str, int]


def agreement_class(votes: Sequence[Vote]) -> Agreed:
    """Of 3 votes 1, 1, 1: full; 1, 1, -1: majority; 1, -1, 0: split."""
    if len(votes) < 2:
        return Agreed.SINGLE if votes else Agreed.NONE
    most = Counter(vote.side for vote in votes).most_common(1)[0][1]
    if most == len(votes):
        return Agreed.FULL
    return Agreed.MAJORITY if 2 * most > len(votes) else Agreed.SPLIT


def agreement_classes(
    tasks: Sequence[Task], judgements: Iterable[Judgement], voided: Collection[str] = ()
) -> dict[str, Agreed]:
    """By task."""
    counted = by_task(tasks, judgements, voided)
    return {task.id: agreement_class(votes_on(task, counted[task.id])) for task in tasks}


def preview(
    tasks: Sequence[Task],
    judgements: Iterable[Judgement],
    voided: Collection[str] = (),
    margins: Sequence[float] = MARGINS,
    confidences: Sequence[float] = CONFIDENCES,
) -> list[Yield]:
    """The yield of every method at every pair of thresholds; nothing is stored."""
    ordered = sorted(tasks, key=lambda task: task.id)
    counted = by_task(ordered, judgements, voided)
    votes = {task.id: votes_on(task, counted[task.id]) for task in ordered}
    rows = []
    for method in Method:
        found = verdicts(method, ordered, votes)
        judged = [found[task.id] if counted[task.id] else UNJUDGED for task in ordered]
        rows += [_yield(method, judged, m, c) for m in margins for c in confidences]
    return rows


def _yield(
    method: Method, judged: Sequence[Verdict | str], min_margin: float, min_confidence: float
) -> Yield:
    reasons = [refusal(one, min_margin, min_confidence) for one in judged]
    dropped = Counter(reason for reason in reasons if reason is not None)
    kept = len(judged) - dropped.total()
    return Yield(
        method, min_margin, min_confidence, kept, len(judged), dict(sorted(dropped.items()))
    )
