"""From judgements to preferences, with every task that gives none counted and the reason named."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from trivox.annotation.aggregation.outcomes import (
    ABSTAINED,
    TIED,
    UNJUDGED,
    VERSIONS,
    Method,
    Verdict,
    verdicts,
)
from trivox.annotation.aggregation.votes import Vote, by_task, refuse_mixture, unheard, vote_of
from trivox.platform.hashing import derived_id
from trivox.platform.records import Judgement, Preference, PreferenceSet, Task

MIN_MARGIN = 0.5
MIN_CONFIDENCE = 0.5
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
    method: Method = Method.MAJORITY,
    voided: Collection[str] = (),
    heard_only: bool = False,
) -> PreferenceSet:
    """The preferences that comparisons of two rollouts support; judgements of other tasks are not looked at.

    By majority, the most frequent of first, second and tie wins a task. confidence is the share of its judgements
    that agree, ties included, abstentions not; margin the mean strength in favour of the winner, where a tie is 0
    and a dissent negative. The other methods weigh judges by what the votes together tell of them. An expert's
    decision takes the place of those it decides between. Superseded and voided judgements, controls, repeats, and
    repeated idempotency keys do not count. heard_only: nor do people's judgements without a proof of listening.
    The order of tasks and judgements is of no effect.
    Raises UsageError for tasks that are no comparisons, for answers that do not fit them, and for simulated
    judges among others unless mix_simulated.
    """
    ordered = sorted(tasks, key=lambda task: task.id)
    every = list(judgements)
    if heard_only:
        voided = {*voided, *(one.id for one in every if unheard(one))}
    counted = by_task(ordered, every, voided)
    if not mix_simulated:
        refuse_mixture(round, counted)
    votes = {task.id: votes_on(task, counted[task.id]) for task in ordered}
    found = verdicts(method, ordered, votes)
    preferences, dropped = [], Counter[str]()
    for task in ordered:
        verdict = found[task.id] if counted[task.id] else UNJUDGED
        reason = refusal(verdict, min_margin, min_confidence)
        if isinstance(verdict, Verdict) and reason is None:
            preferences.append(_preference(task, votes[task.id], verdict))
        else:
            dropped[reason or ABSTAINED] += 1
    preferences.sort(key=lambda one: (one.prompt, one.id))
    name = f"{method.value}@{VERSIONS[method]} min_margin={min_margin:g} min_confidence={min_confidence:g}"
    name += " heard_only" if heard_only else ""
    made_of = [project, round, name, [one.id for one in preferences], dict(dropped)]
    return PreferenceSet(
        derived_id("ps", *made_of), project, round, name, tuple(preferences), dict(dropped)
    )


def votes_on(task: Task, judgements: Iterable[Judgement]) -> list[Vote]:
    return [vote for one in judgements if (vote := vote_of(task, one)) is not None]


def refusal(verdict: Verdict | str, min_margin: float, min_confidence: float) -> str | None:
    """Why a verdict is no preference; None when it is one."""
    if isinstance(verdict, str):
        return verdict
    if verdict.side == 0:
        return TIED
    if verdict.confidence < min_confidence:
        return UNSURE
    if verdict.margin <= 0 or verdict.margin < min_margin:
        return NARROW
    return None


def _preference(task: Task, votes: Sequence[Vote], verdict: Verdict) -> Preference:
    chosen, rejected = task.items if verdict.side > 0 else task.items[::-1]
    counted = tuple(sorted(vote.judgement.id for vote in votes))
    return Preference(
        id=derived_id("pref", task.id, chosen, rejected, counted),
        prompt=task.prompt,
        chosen=chosen,
        rejected=rejected,
        margin=verdict.margin,
        confidence=verdict.confidence,
        judgements=counted,
        judges=tuple(sorted({vote.judgement.judge_kind for vote in votes})),
    )
