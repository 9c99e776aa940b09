"""The policy speaks: candidates for each prompt."""

import random

from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.pipelines.rounds.pipelining import produce_scored
from trivox.pipelines.rounds.production import check_speakable, produce, requests_for
from trivox.platform.errors import ConfigError
from trivox.platform.records import FinishReason, Prompt, Split, Stage


def run(ctx: RoundContext) -> Outcome:
    prompts, excluded = check_speakable(ctx, _drawn(ctx))
    settings = ctx.config.rollout
    requests = requests_for(ctx, prompts, settings.candidates, Stage.ROLLOUT.value, ctx.policy)
    if ctx.config.score.pipelined:
        produce_scored(ctx, requests)
    (rollouts,) = produce(ctx, [(ctx.policy, requests)], settings.sampling, "rollout")
    return Outcome(
        {"policy": ctx.policy.id, "prompt_set": ctx.prompt_set.id},
        {
            "rollouts": [rollout.id for rollout in rollouts],
            "prompts": len(prompts),
            "excluded_prompts": excluded,
            "reached_length_limit": sum(
                rollout.finish_reason is FinishReason.LENGTH for rollout in rollouts
            ),
            "tokens": sum(len(rollout.tokens) for rollout in rollouts),
        },
    )


def _drawn(ctx: RoundContext) -> list[Prompt]:
    """As many training prompts as asked for, drawn by the round's seed."""
    available = ctx.split(Split.TRAIN)
    if not available:
        raise ConfigError(f"prompt set {ctx.prompt_set.reference} has no prompt in split 'train'")
    count = min(ctx.config.rollout.prompts, len(available))
    return random.Random(ctx.round.seed).sample(available, count)
