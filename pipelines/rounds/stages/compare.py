"""Candidates become questions to judges."""

from trivox.annotation.comparisons import make_comparisons
from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.platform.hashing import derived_id
from trivox.platform.records import Campaign, Stage

GUIDELINE = (
    "Which of the two clips says the text better? Wrong, missing or unintelligible words weigh most; then "
    "how natural and pleasant the voice sounds."
)


def run(ctx: RoundContext) -> Outcome:
    rollouts = ctx.rollouts(ctx.outputs(Stage.ROLLOUT)["rollouts"])
    languages = {one.prompt: ctx.prompt(one.prompt).languages[0] for one in rollouts}
    campaign = _campaign(ctx, tuple(sorted(set(languages.values()))))
    tasks = make_comparisons(
        campaign, languages, rollouts, ctx.config.compare.pairs_per_prompt, ctx.round.seed
    )
    ctx.ws.records.add(campaign, *tasks)
    return Outcome({"rollouts": len(rollouts)}, {"campaign": campaign.id, "tasks": len(tasks)})


def _campaign(ctx: RoundContext, languages: tuple[str, ...]) -> Campaign:
    return Campaign(
        id=derived_id("campaign", ctx.round.id),
        project=ctx.round.project,
        name=f"comparisons of round {ctx.round.id}",
        branch=ctx.round.branch,
        guideline=GUIDELINE,
        guideline_version=1,
        languages=languages,
        overlap=ctx.config.compare.overlap,
        # The round's own time: a repeated stage makes the same record.
        created_at=ctx.round.created_at,
        round=ctx.round.id,
    )
