"""What still waits for judges."""

from collections.abc import Iterable

from trivox.platform.records import JudgeKind, Judgement, Task, TaskKind
from trivox.platform.store import Workspace


def waiting_tasks(
    workspace: Workspace, round: str | None, judge_kind: JudgeKind = JudgeKind.HUMAN
) -> list[Task]:
    """Comparisons of the round (None: of the project) that want more judgements of this kind, oldest first."""
    tasks = comparison_tasks(workspace, round)
    return [task for task in tasks if still_waits(workspace, task, judge_kind)]


def comparison_tasks(workspace: Workspace, round: str | None) -> list[Task]:
    """All comparisons of the round, or of the project for None, oldest first."""
    scope = {"project": workspace.project}
    if round is not None:
        scope["round"] = round
    tasks = workspace.records.find(Task, **scope)
    return [task for task in tasks if task.kind == TaskKind.COMPARE]


def still_waits(workspace: Workspace, task: Task, judge_kind: JudgeKind = JudgeKind.HUMAN) -> bool:
    """Whether fewer judges of this kind have answered than the task wants; an abstention is an answer."""
    return len(judges_of(workspace, task, judge_kind)) < task.overlap


def judges_of(
    workspace: Workspace, task: Task, judge_kind: JudgeKind = JudgeKind.HUMAN
) -> set[str]:
    """Who of this kind has answered the task."""
    answers: Iterable[Judgement] = workspace.records.find(
        Judgement, task=task.id, judge_kind=judge_kind
    )
    return {answer.judge for answer in answers}
