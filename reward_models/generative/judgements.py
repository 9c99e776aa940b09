"""From records to questions, and from opinions to the judgements that are stored."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from trivox.platform.errors import UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Failure,
    JudgeKind,
    Judgement,
    Persona,
    Prompt,
    Rollout,
    Rubric,
    Task,
)
from trivox.platform.scoring import Clip
from trivox.reward_models.generative.judge import GenerativeJudge, Opinion, Seen
from trivox.reward_models.generative.questions import Line, Question, Reply

FAILED = "failure:"
"""How the reason of a judgement begins that stands for a failure, which may be tried again."""


@dataclass(frozen=True)
class Material:
    """What a task refers to: rollouts by id; sound: audio id -> clip, None for judges that do not hear."""

    prompt: Prompt
    rollouts: Mapping[str, Rollout]
    persona: Persona | None = None
    rubric: Rubric | None = None
    sound: Callable[[str], Clip] | None = None


def question_of(task: Task, material: Material) -> Question:
    """The comparison of a task; raises UsageError for one that is no comparison of two rollouts at hand."""
    if len(task.items) != 2:
        raise UsageError(f"task {task.id}: {len(task.items)} items; a comparison has 2")
    missing = [item for item in task.items if item not in material.rollouts]
    if missing:
        raise UsageError(
            f"task {task.id}: rollout {missing[0]} is not at hand: read the round's rollouts"
        )
    first, second = (_reply(material.rollouts[item], material) for item in task.items)
    return Question(
        id=task.id,
        first=first,
        second=second,
        history=_history(material.prompt),
        persona=material.persona,
        rubric=material.rubric,
        instruction=material.prompt.instruction,
        language=task.language,
    )


def judged(
    judge: GenerativeJudge,
    tasks: Sequence[Task],
    material: Callable[[Task], Material],
    stored: Iterable[Judgement],
    created_at: datetime,
) -> list[Judgement]:
    """New judgements of the tasks. One that this judge answered before is not asked again, unless what is stored
    stands for a failure: the new judgement supersedes it. Repeated, the same ids are made."""
    mine = _own(judge, stored)
    wanted = _open(tasks, mine)
    opinions = judge.judge([question_of(task, material(task)) for task in wanted])
    return [
        judgement_of(task, opinion, judge, created_at, mine.get(task.id))
        for task, opinion in zip(wanted, opinions, strict=True)
    ]


def unanswered(
    judge: GenerativeJudge, tasks: Sequence[Task], stored: Iterable[Judgement]
) -> list[Task]:
    """The tasks that `judged` would ask of this judge, in their order."""
    return _open(tasks, _own(judge, stored))


def _own(judge: GenerativeJudge, stored: Iterable[Judgement]) -> dict[str, Judgement]:
    return {one.task: one for one in _standing(stored) if one.judge == label(judge)}


def _open(tasks: Sequence[Task], mine: Mapping[str, Judgement]) -> list[Task]:
    return [task for task in tasks if task.id not in mine or is_failure(mine[task.id])]


def label(judge: GenerativeJudge) -> str:
    """The judge's name in records; another prompt, setting or weight is another judge."""
    identity = judge.backend.identity
    return f"grm:{identity.name}:{derived_id('j', identity.weights, judge.version)[2:10]}"


def is_failure(judgement: Judgement) -> bool:
    """Whether it stands for a failure of the machinery, and not for an abstention of the judge."""
    return any(reason.startswith(FAILED) for reason in judgement.reasons)


def judgement_of(
    task: Task,
    opinion: Opinion,
    judge: GenerativeJudge,
    created_at: datetime,
    before: Judgement | None = None,
) -> Judgement:
    """comment: evidence as JSON, with every view in the order shown and its raw answer; ui_version: prompt and
    settings. presentation: the order of the first view. before: the failure that it takes the place of."""
    name = derived_id("jd", task.id, label(judge), before.id if before else None)
    return Judgement(
        id=name,
        project=task.project,
        task=task.id,
        judge_kind=JudgeKind.GRM,
        judge=label(judge),
        answer=_answer(opinion),
        presentation=opinion.seen[0].shown if opinion.seen else task.items,
        idempotency_key=name,
        created_at=created_at,
        reasons=(f"{FAILED}{opinion.failure.kind}",) if opinion.failure else (),
        comment=json.dumps(evidence(opinion, judge), ensure_ascii=False),
        ui_version=judge.version,
        supersedes=before.id if before else None,
    )


def evidence(opinion: Opinion, judge: GenerativeJudge) -> dict[str, object]:
    """All that the judge saw and said of one question."""
    return {
        "template": judge.template.reference,
        "template_sha256": judge.template.sha256,
        "weights": judge.backend.identity.weights,
        "strength": opinion.strength,
        "uncertainty": opinion.uncertainty,
        "disagreement": opinion.disagreement,
        "order_sides": opinion.order_sides,
        "views": [_view(one) for one in opinion.seen],
    }


def _answer(opinion: Opinion) -> Answer:
    if opinion.answer is not None:
        return opinion.answer
    failed = opinion.failure or Failure("unknown", "no answer")
    return Answer(AnswerKind.ABSTENTION, abstention=f"{failed.kind}: {failed.message}")


def _view(one: Seen) -> dict[str, object]:
    shown: dict[str, object] = {"shown": list(one.shown), "criterion": one.criterion}
    if isinstance(one.reading, Failure):
        return shown | {"failure": one.reading.kind, "message": one.reading.message}
    return shown | {"raw": one.reading.raw, "mass": one.reading.mass}


def _standing(stored: Iterable[Judgement]) -> list[Judgement]:
    every = list(stored)
    replaced = {one.supersedes for one in every}
    return [one for one in every if one.id not in replaced]


def _history(prompt: Prompt) -> tuple[Line, ...]:
    """Turns of a dialogue; what was to be said, where there is none."""
    lines = [Line(turn.role, turn.text) for turn in prompt.turns if turn.text]
    if not lines and prompt.text:
        lines = [Line("user", prompt.text)]
    return tuple(lines)


def _reply(rollout: Rollout, material: Material) -> Reply:
    codes = np.array(rollout.codes, np.int32) if rollout.codes else None
    clip = material.sound(rollout.audio) if material.sound and rollout.audio else None
    return Reply(
        rollout.id,
        rollout.text or _spoken(rollout),
        codes,
        clip.samples if clip else None,
        clip.rate if clip else None,
    )


def _spoken(rollout: Rollout) -> str | None:
    """What the assistant said in an episode."""
    said = [turn.text for turn in rollout.turns if turn.role == "assistant" and turn.text]
    return " ".join(said) or None
