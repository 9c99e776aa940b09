"""Judges answer: people through the labelling page, a generative judge, or simulated ones, recorded as what they
are."""

from collections import Counter

from trivox.annotation.simulated import Scores, SimulatedJudge, simulated_judgement
from trivox.annotation.waiting import waiting_tasks
from trivox.pipelines.rounds.context import Outcome, RoundContext, Waiting
from trivox.pipelines.rounds.stages.grm import judge_tasks
from trivox.platform.records import JudgeKind, Judgement, Score, Task


def run(ctx: RoundContext) -> Outcome | Waiting:
    tasks = ctx.ws.records.find(Task, round=ctx.round.id)
    if ctx.config.label.judges == "simulated":
        _simulate(ctx, tasks)
    elif ctx.config.label.grm is not None:
        judge_tasks(ctx, ctx.config.label.grm, tasks)
    elif waiting := waiting_tasks(ctx.ws, ctx.round.id):
        return Waiting(
            f"round {ctx.round.id} waits for people: {len(waiting)} of {len(tasks)} comparisons have no "
            f"judgement yet; label them with `trivox label {ctx.round.id}`"
        )
    counts = Counter(one.judge_kind for one in judgements_of(ctx))
    kinds = {kind.value: counts[kind] for kind in JudgeKind}
    return Outcome({"tasks": len(tasks)}, {"judgements": kinds})


def judgements_of(ctx: RoundContext, kind: JudgeKind | None = None) -> list[Judgement]:
    """Judgements of the round's tasks, by one kind of judge or by all."""
    tasks = {task.id for task in ctx.ws.records.find(Task, round=ctx.round.id)}
    every = ctx.ws.records.find(Judgement, project=ctx.round.project)
    return [one for one in every if one.task in tasks and kind in (None, one.judge_kind)]


def _simulate(ctx: RoundContext, tasks: list[Task]) -> None:
    label = ctx.config.label
    judge = SimulatedJudge(
        seed=ctx.round.seed,
        wer_weight=label.wer_weight,
        mos_weight=label.mos_weight,
        noise=label.noise,
        gates=ctx.config.score.gates,
    )
    scores = _by_component(ctx.scores())
    ctx.ws.records.add(
        *(simulated_judgement(task, scores, judge, ctx.round.created_at) for task in tasks)
    )


def _by_component(scores: list[Score]) -> Scores:
    table: dict[str, dict[str, Score]] = {}
    for one in scores:
        table.setdefault(one.rollout, {})[one.component] = one
    return table
