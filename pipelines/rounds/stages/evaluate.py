"""Candidate and parent speak the held-out prompts; scorers that labelled nothing compare them."""

from datetime import UTC, datetime

from trivox.pipelines.evaluation import Verdicts, compare_policies
from trivox.pipelines.rounds import updating
from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.pipelines.rounds.listening import score
from trivox.pipelines.rounds.production import check_speakable, produce, requests_for
from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Evaluation,
    PolicyVersion,
    Prompt,
    Rollout,
    Sampling,
    ScorerRole,
    Split,
    Stage,
)
from trivox.reward_models.registry import families

SUITE = "tts-held-out@1"


def run(ctx: RoundContext) -> Outcome:
    return updating.evaluate(ctx) if ctx.config.by_rewards else _of_speech(ctx)


def _of_speech(ctx: RoundContext) -> Outcome:
    candidate = ctx.ws.records.get(PolicyVersion, ctx.outputs(Stage.TRAIN)["policy"])
    prompts, excluded = check_speakable(ctx, _held_out(ctx))
    pairs = _speak(ctx, candidate, prompts)
    verdicts = _judge(ctx, pairs)
    evaluation = _record(ctx, candidate, verdicts)
    ctx.ws.records.add(evaluation)
    return Outcome(
        {"candidate": candidate.id, "parent": ctx.policy.id, "prompts": len(prompts)},
        {"evaluation": evaluation.id, "results": verdicts.results, "excluded_prompts": excluded},
    )


def _held_out(ctx: RoundContext) -> list[Prompt]:
    held_out = ctx.split(Split.TEST)[: ctx.config.evaluate.prompts]
    if len(held_out) < 2:
        raise ConfigError(
            f"prompt set {ctx.prompt_set.reference} has {len(held_out)} prompts in split 'test' and an "
            "evaluation needs 2: import it again with a larger test share"
        )
    return held_out


def _speak(
    ctx: RoundContext, candidate: PolicyVersion, prompts: list[Prompt]
) -> list[tuple[Rollout, Rollout]]:
    """(parent's, candidate's) rollout of each prompt, from the same draws."""
    sampling = Sampling(
        temperature=ctx.config.evaluate.temperature, max_tokens=ctx.config.rollout.max_tokens
    )
    wanted = [
        (policy, requests_for(ctx, prompts, 1, Stage.EVALUATE.value, policy))
        for policy in (ctx.policy, candidate)
    ]
    before, after = produce(ctx, wanted, sampling, "evaluate: speak")
    return list(zip(before, after, strict=True))


def _judge(ctx: RoundContext, pairs: list[tuple[Rollout, Rollout]]) -> Verdicts:
    settings = ctx.config.evaluate
    scorers = dict.fromkeys(settings.evaluators, ScorerRole.EVALUATOR)
    if settings.monitor:
        scorers[settings.monitor] = ScorerRole.WATCHER
    scores = score(ctx, [one for pair in pairs for one in pair], scorers, "evaluate: score")
    return compare_policies(
        pairs,
        scores,
        evaluators=settings.evaluators,
        monitor=settings.monitor,
        quality_margin=settings.quality_margin,
        seed=ctx.round.seed,
    )


def _record(ctx: RoundContext, candidate: PolicyVersion, verdicts: Verdicts) -> Evaluation:
    return Evaluation(
        id=derived_id("ev", ctx.round.id, candidate.id, SUITE),
        project=ctx.round.project,
        policy=candidate.id,
        parent=ctx.policy.id,
        suite=SUITE,
        evaluators=families(ctx.config.evaluate.evaluators),
        proxy=ctx.config.proxy_reason() is not None,
        results=verdicts.results,
        per_item=verdicts.per_item,
        round=ctx.round.id,
        created_at=datetime.now(UTC),
    )
