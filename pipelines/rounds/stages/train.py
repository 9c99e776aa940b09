"""Preferences update the policy: a LoRA adapter of the branch."""

import os
import shutil
from functools import cache
from pathlib import Path

from trivox.pipelines.consent import require_consent
from trivox.pipelines.rounds import updating
from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.pipelines.speaking import marked, stored_voice
from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_id
from trivox.platform.progress import bar, say
from trivox.platform.records import (
    Consent,
    PolicyStatus,
    PolicyVersion,
    PreferenceSet,
    Stage,
)
from trivox.platform.registry import register
from trivox.platform.store.artefacts import adapter_of
from trivox.policy.backbone import CODEC_FOLDER
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.codec import load_codec
from trivox.policy.trainers.dpo import TokenPair, TrainedAdapter, train_dpo
from trivox.policy.vocabulary import TokenMap

ARTEFACTS = "artefacts"


def run(ctx: RoundContext) -> Outcome:
    return updating.train(ctx) if ctx.config.by_rewards else _by_preferences(ctx)


def _by_preferences(ctx: RoundContext) -> Outcome:
    preferences = ctx.ws.records.get(PreferenceSet, ctx.outputs(Stage.AGGREGATE)["preference_set"])
    tokens = TokenMap.load(ctx.backbone_folder)
    pairs = _pairs(ctx, tokens, preferences)
    folder = ctx.ws.root / ARTEFACTS / adapter_of(ctx.round.id)
    partial = folder.with_suffix(".partial")
    trained = _gone_on(ctx, tokens, pairs, partial)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    policy = _candidate(ctx, folder, trained)
    register(ctx.ws, policy)
    return Outcome(
        {"preference_set": preferences.id, "parent": ctx.policy.id},
        {
            "policy": policy.id,
            "pairs": len(pairs),
            "steps": trained.steps,
            "metrics": trained.metrics,
            "adapter_hash": trained.weights_hash,
        },
    )


def _pairs(ctx: RoundContext, tokens: TokenMap, preferences: PreferenceSet) -> list[TokenPair]:
    said = {rollout.id: rollout for rollout in ctx.rollouts()}
    both = [(said[one.chosen], said[one.rejected]) for one in preferences.preferences]
    prompts = _prompts(ctx, tokens, {chosen.prompt for chosen, _ in both})
    return [
        TokenPair(prompts[chosen.prompt], list(chosen.tokens), list(rejected.tokens))
        for chosen, rejected in both
    ]


def _prompts(ctx: RoundContext, tokens: TokenMap, ids: set[str]) -> dict[str, list[int]]:
    """Each prompt as its rollouts were sampled after it. Raises RefusedByConsent where a voice may not be imitated
    or trained on any more: consent may end while comparisons wait for people."""
    codec = cache(lambda: load_codec(ctx.backbone_folder / CODEC_FOLDER))
    asked = [ctx.prompt(id_) for id_ in ids]
    for voice in sorted({one.voice_audio for one in asked if one.voice_audio is not None}):
        for use in (Consent.CLONE, Consent.TRAIN):
            require_consent(ctx.ws, voice, use)
    return {
        one.id: tts_prompt(
            tokens, marked(one), one.instruction or "", stored_voice(ctx.ws.audio, one, codec)
        )
        for one in asked
    }


def _gone_on(
    ctx: RoundContext, tokens: TokenMap, pairs: list[TokenPair], folder: Path
) -> TrainedAdapter:
    """From the last checkpoint of this round. Those that do not fit, of another version of Trivox or damaged, are
    the round's own to throw away: it then trains from the start."""
    try:
        return _train(ctx, tokens, pairs, folder)
    except ConfigError as error:
        if not any(folder.glob("checkpoint-*")):
            raise
        say(f"round {ctx.round.id} trains from the start: {error}")
        shutil.rmtree(folder)
    return _train(ctx, tokens, pairs, folder)


def _train(
    ctx: RoundContext, tokens: TokenMap, pairs: list[TokenPair], folder: Path
) -> TrainedAdapter:
    with bar() as shown:
        task = shown.add_task("train", total=None)

        def step(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)
            ctx.go_on()

        return train_dpo(
            ctx.backbone_folder,
            pairs,
            ctx.config.train,
            folder,
            ctx.round.seed,
            start=ctx.adapter_folder(ctx.policy),
            carried_ids=tokens.given_ids(),
            on_step=step,
        )


def _candidate(ctx: RoundContext, folder: Path, trained: TrainedAdapter) -> PolicyVersion:
    return PolicyVersion(
        id=derived_id("po", ctx.round.id, trained.weights_hash),
        project=ctx.round.project,
        name=f"{ctx.backbone.name}-{ctx.round.branch.value}-{ctx.round.id[-6:]}",
        branch=ctx.round.branch,
        parents={ctx.policy.id: 1.0},
        backbone=ctx.backbone.id,
        artefact=str(folder.relative_to(ctx.ws.root)),
        artefact_hash=trained.weights_hash,
        round=ctx.round.id,
        status=PolicyStatus.CANDIDATE,
        created_at=ctx.round.created_at,
    )
