"""Judges that stand in for people where no people are: demos, tests, experiments. Recorded as what they are."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from trivox.platform.errors import UsageError
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import Answer, AnswerKind, JudgeKind, Judgement, Score, Task, Tie

Scores = Mapping[str, Mapping[str, Score]]


@dataclass(frozen=True)
class SimulatedJudge:
    """A judge who hears a rollout as -wer_weight * WER + mos_weight * MOS, plus Gaussian noise."""

    name: str = "wer-mos"
    seed: int = 0
    error_rate: str = "intelligibility"
    """Component that is the rate of word or character errors, a fraction."""
    wer_weight: float = 8.0
    """Utility lost by an error rate of 1: a tenth more errors weighs as much as 0.8 MOS points."""
    mos: str = "naturalness"
    """Component that predicts a mean opinion score, 1..5; not needed when mos_weight is 0."""
    mos_weight: float = 1.0
    gates: tuple[str, ...] = ("duration", "silence", "end")
    """Components of 1 (passed) or 0 (not passed)."""
    gate_utility: float = -100.0
    """Utility of a rollout that does not pass a gate, whatever else it scores."""
    noise: float = 0.15
    """Standard deviation of the noise on each item's utility."""
    margins: tuple[float, float, float] = (0.2, 0.7, 1.5)
    """Least differences in utility for 1 (slightly better), 2 (better), 3 (much better); below: a tie."""
    good: float = 3.0
    """Mean utility from which a tie means that both are good."""
    bad: float = 1.5
    """Mean utility below which a tie means that both are bad; between: cannot tell."""

    @property
    def label(self) -> str:
        return f"simulated:{self.name}"


class _NoScore(Exception):
    """A score that the judge needs is missing or failed."""


def simulated_judgement(
    task: Task, scores: Scores, judge: SimulatedJudge, created_at: datetime
) -> Judgement:
    """The judge's answer to a comparison of two rollouts; scores: rollout id -> component -> score.

    Repeatable for the judge's seed and the task's id. A missing or failed score makes an abstention.
    Raises UsageError for a task that is no comparison of two items.
    """
    if len(task.items) != 2:
        raise UsageError(f"task {task.id}: {len(task.items)} items; a comparison has 2")
    shown = random.Random(derived_seed("sides", judge.seed, judge.name, task.id))
    first, second = task.items
    name = derived_id("jd", task.id, asdict(judge))
    return Judgement(
        id=name,
        project=task.project,
        task=task.id,
        judge_kind=JudgeKind.SIMULATED,
        judge=judge.label,
        answer=_answer(task, scores, judge),
        presentation=(first, second) if shown.random() < 0.5 else (second, first),
        idempotency_key=name,
        created_at=created_at,
    )


def _answer(task: Task, scores: Scores, judge: SimulatedJudge) -> Answer:
    try:
        heard = [_heard(task, item, scores.get(item, {}), judge) for item in task.items]
    except _NoScore as reason:
        return Answer(AnswerKind.ABSTENTION, abstention=str(reason))
    difference = heard[0] - heard[1]
    strength = sum(abs(difference) >= margin for margin in judge.margins)
    if strength:
        return Answer(AnswerKind.COMPARISON, comparison=strength if difference > 0 else -strength)
    return Answer(AnswerKind.TIE, tie=_tie(sum(heard) / 2, judge))


def _heard(task: Task, item: str, scores: Mapping[str, Score], judge: SimulatedJudge) -> float:
    """The item's utility with noise of its own, so that swapped items swap their noise too."""
    rng = random.Random(derived_seed("noise", judge.seed, judge.name, task.id, item))
    return utility(item, scores, judge) + rng.gauss(0.0, judge.noise)


def utility(item: str, scores: Mapping[str, Score], judge: SimulatedJudge) -> float:
    """What the judge thinks of a rollout before noise; scores: component -> score."""
    gates = [_value(item, scores, gate) for gate in judge.gates]
    total = -judge.wer_weight * _value(item, scores, judge.error_rate)
    if judge.mos_weight:
        total += judge.mos_weight * _value(item, scores, judge.mos)
    return total if all(gate >= 0.5 for gate in gates) else judge.gate_utility


def _value(item: str, scores: Mapping[str, Score], component: str) -> float:
    if component not in scores:
        raise _NoScore(f"no score {component!r} of rollout {item}")
    score = scores[component]
    if score.value is None:
        cause = score.failure.message if score.failure else "unknown cause"
        raise _NoScore(f"score {component!r} of rollout {item} failed: {cause}")
    return score.value


def _tie(mean: float, judge: SimulatedJudge) -> Tie:
    if mean >= judge.good:
        return Tie.BOTH_GOOD
    return Tie.BOTH_BAD if mean < judge.bad else Tie.CANNOT_TELL
