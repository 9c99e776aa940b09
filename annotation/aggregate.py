"""From judgements to preferences: by majority, with every task that gives none counted and the reason named."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trivox.platform.errors import UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    AnswerKind,
    JudgeKind,
    Judgement,
    Preference,
    PreferenceSet,
    Task,
    TaskKind,
)

MIN_MARGIN = 0.5
MIN_CONFIDENCE = 0.5

UNJUDGED = "no judgement"
ABSTAINED = "only abstentions"
TIED = "tie"
SPLIT = "judges evenly split"
UNSURE = "confidence below the minimum"
NARROW = "margin below the minimum"


def aggregate(
    tasks: Sequence[Task],
    judgements: Iterable[Judgement],
    *,
    project: str,
    round: str | None,
    min_margin: float = MIN_MARGIN,
    min_confidence: float = MIN_CONFIDENCE,
    mix_simulated: bool = False,
) -> PreferenceSet:
    """The preferences that comparisons of two rollouts support; judgements of other tasks are not looked at.

    For each task the most frequent of first, second and tie wins. confidence is the share of its judgements
    that agree, ties included, abstentions not; margin the mean strength in favour of the winner, where a
    tie is 0 and a dissent negative. Superseded judgements and repeated idempotency keys count once.
    The order of tasks and judgements is of no effect.
    Raises UsageError for tasks that are no comparisons, for answers that do not fit them, and for simulated
    judges among others unless mix_simulated.
    """
    votes = _by_task(tasks, _standing(judgements))
    if not mix_simulated:
        _refuse_mixture(round, votes)
    preferences, dropped = [], Counter[str]()
    for task in tasks:
        outcome = _outcome(task, votes[task.id], min_margin, min_confidence)
        if isinstance(outcome, Preference):
            preferences.append(outcome)
        else:
            dropped[outcome] += 1
    preferences.sort(key=lambda one: (one.prompt, one.id))
    method = f"majority@1 min_margin={min_margin:g} min_confidence={min_confidence:g}"
    made_of = [project, round, method, [one.id for one in preferences], dict(dropped)]
    return PreferenceSet(
        derived_id("ps", *made_of), project, round, method, tuple(preferences), dict(dropped)
    )


def _standing(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Judgements that no other supersedes, by id, each idempotency key once."""
    every = {one.id: one for one in judgements}
    replaced = {one.supersedes for one in every.values()}
    keys: dict[str, Judgement] = {}
    for one in sorted(every.values(), key=lambda judgement: judgement.id):
        if one.id not in replaced:
            keys.setdefault(one.idempotency_key, one)
    return list(keys.values())


def _by_task(tasks: Sequence[Task], judgements: list[Judgement]) -> dict[str, list[Judgement]]:
    votes: dict[str, list[Judgement]] = {}
    for task in tasks:
        if task.kind != TaskKind.COMPARE or len(task.items) != 2:
            raise UsageError(
                f"task {task.id}: {task.kind.value} of {len(task.items)} items; preferences come from "
                "comparisons of 2"
            )
        votes[task.id] = []
    for one in judgements:
        if one.task in votes:
            votes[one.task].append(one)
    return votes


def _refuse_mixture(round: str | None, votes: dict[str, list[Judgement]]) -> None:
    counts = Counter(one.judge_kind for group in votes.values() for one in group)
    simulated = counts.pop(JudgeKind.SIMULATED, 0)
    if simulated and counts:
        others = ", ".join(f"{count} {kind.value}" for kind, count in sorted(counts.items()))
        raise UsageError(
            f"round {round}: {simulated} simulated judgements among {others}: aggregate one kind, "
            "or ask for the mixture (mix_simulated)"
        )


class _Vote(NamedTuple):
    """strength: 1..3 for the first item, -3..-1 for the second, 0 for a tie."""

    judgement: Judgement
    strength: int

    @property
    def side(self) -> int:
        return (self.strength > 0) - (self.strength < 0)


def _outcome(
    task: Task, judgements: list[Judgement], min_margin: float, min_confidence: float
) -> Preference | str:
    """The task's preference, or the reason why there is none."""
    votes = [vote for one in judgements if (vote := _vote(task, one)) is not None]
    if not votes:
        return ABSTAINED if judgements else UNJUDGED
    sides = Counter(vote.side for vote in votes).most_common()
    if len(sides) > 1 and sides[0][1] == sides[1][1]:
        return SPLIT
    side, agreeing = sides[0]
    if side == 0:
        return TIED
    margin = side * sum(vote.strength for vote in votes) / len(votes)
    if agreeing / len(votes) < min_confidence:
        return UNSURE
    if margin <= 0 or margin < min_margin:
        return NARROW
    return _preference(task, votes, side, margin, agreeing / len(votes))


def _vote(task: Task, judgement: Judgement) -> _Vote | None:
    answer = judgement.answer
    if answer.kind == AnswerKind.ABSTENTION:
        return None
    if answer.kind == AnswerKind.TIE:
        return _Vote(judgement, 0)
    if answer.comparison is None:
        raise UsageError(
            f"judgement {judgement.id}: a {answer.kind.value} does not answer comparison {task.id}"
        )
    return _Vote(judgement, answer.comparison)


def _preference(
    task: Task, votes: list[_Vote], side: int, margin: float, confidence: float
) -> Preference:
    chosen, rejected = task.items if side > 0 else task.items[::-1]
    counted = tuple(sorted(vote.judgement.id for vote in votes))
    return Preference(
        id=derived_id("pref", task.id, chosen, rejected, counted),
        prompt=task.prompt,
        chosen=chosen,
        rejected=rejected,
        margin=margin,
        confidence=confidence,
        judgements=counted,
        judges=tuple(sorted({vote.judgement.judge_kind for vote in votes})),
    )
