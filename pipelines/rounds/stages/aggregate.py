"""Judgements become preferences."""

from trivox.annotation.aggregation import aggregate
from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.pipelines.rounds.stages.label import judgements_of
from trivox.platform.records import JudgeKind, Task, Voided


def run(ctx: RoundContext) -> Outcome:
    settings = ctx.config.aggregate
    # People may have judged a simulated round later, or the other way round: one kind makes the set.
    judgements = judgements_of(ctx, JudgeKind(ctx.config.label.judges))
    preferences = aggregate(
        ctx.ws.records.find(Task, round=ctx.round.id),
        judgements,
        project=ctx.round.project,
        round=ctx.round.id,
        min_margin=settings.min_margin,
        min_confidence=settings.min_confidence,
        method=settings.method,
        heard_only=settings.heard_only,
        voided={one.judgement for one in ctx.ws.records.find(Voided, project=ctx.round.project)},
    )
    ctx.ws.records.add(preferences)
    return Outcome(
        {"judgements": len(judgements)},
        {
            "preference_set": preferences.id,
            "preferences": len(preferences.preferences),
            "dropped": preferences.dropped,
        },
    )
