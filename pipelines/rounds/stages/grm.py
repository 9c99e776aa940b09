"""A generative judge answers the comparisons of a round."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from trivox.pipelines.rounds.context import RoundContext
from trivox.platform.errors import StageFailed
from trivox.platform.hashing import derived_id
from trivox.platform.personas import registry
from trivox.platform.records import (
    CostEntry,
    JudgeKind,
    Judgement,
    Persona,
    Prompt,
    Rollout,
    Rubric,
    Task,
)
from trivox.platform.scoring import Clip
from trivox.reward_models.generative.config import JudgeConfig, opened
from trivox.reward_models.generative.judge import GenerativeJudge
from trivox.reward_models.generative.judgements import Material, is_failure, judged


def judge_tasks(ctx: RoundContext, config: JudgeConfig, tasks: Sequence[Task]) -> int:
    """Ask for every comparison that this judge has not answered, and store what it says and what it cost; returns
    how many failed. Raises StageFailed when all of them did, as with a server that is not there."""
    rollouts = {one.id: one for one in ctx.rollouts()}
    stored = ctx.ws.records.find(Judgement, project=ctx.round.project, judge_kind=JudgeKind.GRM)
    with opened(config) as judge:
        new = judged(
            judge,
            tasks,
            lambda task: _material(ctx, ctx.prompt(task.prompt), rollouts),
            stored,
            ctx.round.created_at,
        )
        if new:
            ctx.ws.records.add(*new, _cost(ctx, judge, new))
    failed = [one for one in new if is_failure(one)]
    if new and len(failed) == len(new):
        raise StageFailed(
            f"round {ctx.round.id}, label: the judge failed on all {len(new)} comparisons, first with "
            f"{failed[0].answer.abstention}: see to it and run the round again"
        )
    return len(failed)


def _material(ctx: RoundContext, prompt: Prompt, rollouts: Mapping[str, Rollout]) -> Material:
    return Material(
        prompt,
        rollouts,
        registry.resolve(ctx.ws, Persona, prompt.persona) if prompt.persona else None,
        registry.resolve(ctx.ws, Rubric, prompt.rubric) if prompt.rubric else None,
        lambda audio: Clip(*ctx.ws.audio.read(audio)),
    )


def _cost(ctx: RoundContext, judge: GenerativeJudge, new: Sequence[Judgement]) -> CostEntry:
    """What these judgements cost; named by them, so that the same ones are paid once."""
    spent, name = judge.backend.spent, judge.backend.identity.name
    server = ctx.config.label.grm.server if ctx.config.label.grm else None
    return CostEntry(
        id=derived_id("co", ctx.round.id, [one.id for one in new]),
        project=ctx.round.project,
        round=ctx.round.id,
        campaign=None,
        kind="judge",
        quantity=float(spent.requests),
        unit="request",
        price=None if spent.price is None else spent.price / max(1, spent.requests),
        currency=server.currency if server and spent.price is not None else None,
        created_at=ctx.round.created_at,
        note={"judge": name, **asdict(spent)},
    )
