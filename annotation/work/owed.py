"""What a task still wants of people: judges up to its overlap, one more where they disagree, then an expert."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from trivox.annotation.work.answers import side_of
from trivox.annotation.work.shapes import REPORTS
from trivox.platform.records import Judgement, Purpose, Task, WorkPlan

BROKEN_BY = 2
"""So many people who report an item close its task."""


@dataclass(frozen=True)
class Owed:
    """wanted: judges by now; answered: those whose answer stands, abstentions included. expert: a blind decision
    is wanted and not there. broken: people reported the item, and nobody else is bothered with it."""

    wanted: int
    answered: int
    expert: bool
    broken: bool

    @property
    def judges(self) -> int:
        """How many more judges are to answer."""
        return 0 if self.broken else max(0, self.wanted - self.answered)

    @property
    def settled(self) -> bool:
        return self.broken or not (self.judges or self.expert)


def owed_of(task: Task, plan: WorkPlan, standing: Sequence[Judgement]) -> Owed:
    """From people's judgements of the task that stand.

    Of overlap 2 and answers [1, -1]: a third judge. Then [1, -1, 0]: an expert. [1, -1, 1]: nothing more. An
    expert who abstains has answered: nobody can tell.
    """
    judged = [one for one in standing if one.purpose is Purpose.JUDGE]
    answered = len({one.judge for one in judged})
    unlike = task.overlap > 1 and answered >= task.overlap and disputed(sides_of(judged))
    further = plan.third_judge and (unlike or 1 < task.overlap < answered)
    wanted = task.overlap + further
    decided = any(one.purpose is Purpose.ADJUDICATE for one in standing)
    expert = plan.expert and unlike and answered >= wanted and not decided
    return Owed(wanted, answered, expert, _broken(standing))


def sides_of(judged: Sequence[Judgement]) -> list[object]:
    """What each judge chose: a side, or yes and no; nothing for answers that have neither."""
    answers = [one.answer for one in judged]
    return [
        one.check if one.check is not None else side_of(one)
        for one in answers
        if one.check is not None or side_of(one) is not None
    ]


def disputed(sides: Sequence[object]) -> bool:
    """Whether no answer was given more often than every other: [1, -1], [1, 0], [1, -1, 0]."""
    counts = Counter(sides).most_common(2)
    return len(counts) == 2 and counts[0][1] == counts[1][1]


def _broken(standing: Sequence[Judgement]) -> bool:
    reports = {one.value for one in REPORTS}
    return len({one.judge for one in standing if reports & set(one.reasons)}) >= BROKEN_BY
