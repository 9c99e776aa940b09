"""A generative judge answers the comparisons of a round."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

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
from trivox.platform.records.budgets import CostKind
from trivox.platform.scoring import Clip
from trivox.platform.store.budgets import check_budget
from trivox.reward_models.generative.backends import Spent
from trivox.reward_models.generative.config import JudgeConfig, opened
from trivox.reward_models.generative.judge import GenerativeJudge
from trivox.reward_models.generative.judgements import Material, is_failure, judged, unanswered

WAVES = 4
"""Comparisons of one batch, for each that is asked at once: a batch ends with its slowest answer."""


def judge_tasks(ctx: RoundContext, config: JudgeConfig, tasks: Sequence[Task]) -> int:
    """Ask for every comparison that this judge has not answered, batch by batch: what it says of a batch and what
    that cost are stored together before the next is asked, so that whatever ends the work costs one batch at most.
    Returns how many failed.

    Raises StageFailed when all comparisons of a batch did, as with a server that is not there; BudgetSpent and
    Stopped between two batches.
    """
    known = {one.id for one in tasks}
    rollouts = {one.id: one for one in ctx.rollouts()}
    grm = ctx.ws.records.find(Judgement, project=ctx.round.project, judge_kind=JudgeKind.GRM)
    stored = [one for one in grm if one.task in known]
    failed, answered = 0, any(not is_failure(one) for one in stored)
    size = WAVES * (config.server.parallel if config.server else config.batch)
    with opened(config) as judge:
        for some in _batches(unanswered(judge, tasks, stored), size):
            _go_on(ctx, some)
            before = judge.backend.spent
            new = judged(
                judge,
                some,
                lambda task: _material(ctx, ctx.prompt(task.prompt), rollouts),
                stored,
                ctx.round.created_at,
            )
            with ctx.ws.records.transaction():
                ctx.ws.records.add(*new, _cost(ctx, judge, some, new, before))
            bad = [one for one in new if is_failure(one)]
            failed, down = failed + len(bad), len(bad) == len(new)
            if down and (not answered or len(new) == size):
                raise _failed(ctx, bad)
            answered = answered or not down
    return failed


def _batches(tasks: Sequence[Task], size: int) -> list[Sequence[Task]]:
    return [tasks[start : start + size] for start in range(0, len(tasks), size)]


def _go_on(ctx: RoundContext, tasks: Sequence[Task]) -> None:
    """Whether the round, and each campaign of the tasks, may pay for them."""
    ctx.go_on()
    for campaign in sorted({one.campaign for one in tasks}):
        check_budget(
            ctx.ws.records, project=ctx.round.project, campaign=campaign, kind=CostKind.JUDGE
        )


def _failed(ctx: RoundContext, bad: Sequence[Judgement]) -> StageFailed:
    return StageFailed(
        f"round {ctx.round.id}, label: the judge failed on all {len(bad)} comparisons, first with "
        f"{bad[0].answer.abstention}: see to it and run the round again"
    )


def _material(ctx: RoundContext, prompt: Prompt, rollouts: Mapping[str, Rollout]) -> Material:
    return Material(
        prompt,
        rollouts,
        registry.resolve(ctx.ws, Persona, prompt.persona) if prompt.persona else None,
        registry.resolve(ctx.ws, Rubric, prompt.rubric) if prompt.rubric else None,
        lambda audio: Clip(*ctx.ws.audio.read(audio)),
    )


def _cost(
    ctx: RoundContext,
    judge: GenerativeJudge,
    tasks: Sequence[Task],
    new: Sequence[Judgement],
    before: Spent,
) -> CostEntry:
    """What these judgements cost; named by them, so that the same ones are paid once. before: what the backend had
    used by then."""
    spent, name = _since(before, judge.backend.spent), judge.backend.identity.name
    server = ctx.config.label.grm.server if ctx.config.label.grm else None
    campaigns = {one.campaign for one in tasks}
    return CostEntry(
        id=derived_id("co", ctx.round.id, [one.id for one in new]),
        project=ctx.round.project,
        round=ctx.round.id,
        campaign=campaigns.pop() if len(campaigns) == 1 else None,
        kind=CostKind.JUDGE.value,
        quantity=float(spent.requests),
        unit="request",
        price=None if spent.price is None else spent.price / max(1, spent.requests),
        currency=server.currency if server and spent.price is not None else None,
        created_at=ctx.round.created_at,
        note={"judge": name, **asdict(spent)},
    )


def _since(before: Spent, now: Spent) -> Spent:
    price = None if now.price is None else now.price - (before.price or 0.0)
    return replace(
        now,
        requests=now.requests - before.requests,
        retries=now.retries - before.retries,
        prompt_tokens=now.prompt_tokens - before.prompt_tokens,
        completion_tokens=now.completion_tokens - before.completion_tokens,
        price=price,
    )
