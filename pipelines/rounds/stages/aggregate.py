"""Judgements become preferences."""

from trivox.annotation.aggregate import aggregate
from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.pipelines.rounds.stages.label import judgements_of
from trivox.platform.records import Task


def run(ctx: RoundContext) -> Outcome:
    settings, judgements = ctx.config.aggregate, judgements_of(ctx)
    preferences = aggregate(
        ctx.ws.records.find(Task, round=ctx.round.id),
        judgements,
        project=ctx.round.project,
        round=ctx.round.id,
        min_margin=settings.min_margin,
        min_confidence=settings.min_confidence,
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
