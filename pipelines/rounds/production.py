"""Making rollouts through a Ray pool: shared by the stages that need any."""

import math
from collections.abc import Mapping, Sequence

from trivox.pipelines.consent import require_consent
from trivox.pipelines.pools.cluster import ensure_ray
from trivox.pipelines.pools.pool import WorkerPool
from trivox.pipelines.pools.rollouts import RolloutBatch, RolloutRequest, RolloutUnit, RolloutWorker
from trivox.pipelines.pools.units import chunks, unit_size
from trivox.pipelines.pools.weights import SharedAdapter, share
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.speaking import marked
from trivox.platform.errors import ConfigError, UnspeakableText
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import (
    Consent,
    PolicyVersion,
    Prompt,
    Rollout,
    Sampling,
)
from trivox.policy.backbone import backbone_hash
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.vocabulary import TokenMap

Wanted = Sequence[tuple[PolicyVersion, Sequence[RolloutRequest]]]
Missing = Sequence[tuple[PolicyVersion, tuple[RolloutRequest, ...]]]


def requests_for(
    ctx: RoundContext, prompts: Sequence[Prompt], count: int, stage: str, policy: PolicyVersion
) -> list[RolloutRequest]:
    """count requests for each prompt. The seed does not depend on the policy, so policies are compared on
    the same draws. Raises RefusedByConsent for a voice that may not be imitated."""
    for prompt in prompts:
        if prompt.voice_audio is not None:
            require_consent(ctx.ws, prompt.voice_audio, Consent.CLONE)
    return [
        RolloutRequest(
            id=derived_id("ro", ctx.round.id, stage, policy.id, prompt.id, index),
            prompt=prompt,
            seed=derived_seed(ctx.round.seed, stage, prompt.id, index),
            index=index,
        )
        for prompt in prompts
        for index in range(count)
    ]


def produce(
    ctx: RoundContext,
    wanted: Wanted,
    sampling: Sampling,
    label: str,
) -> list[list[Rollout]]:
    """For each policy the rollouts of its requests, in their order; those that are stored already are not
    made again. One pool serves all policies: an actor swaps adapters by unit."""
    missing = missing_of(ctx, wanted)
    if missing:
        _fill_in(ctx, missing, sampling, label)
    return [ctx.rollouts([one.id for one in requests]) for _, requests in wanted]


def missing_of(ctx: RoundContext, wanted: Wanted) -> Missing:
    """Units of requests by policy, without those whose rollouts are all stored."""
    stored, settings = {rollout.id for rollout in ctx.rollouts()}, ctx.config.rollout
    return [
        (policy, tuple(batch))
        for policy, requests in wanted
        for batch in chunks(requests, unit_size(settings.slots, settings.workers, len(requests)))
        if any(one.id not in stored for one in batch)
    ]


def _fill_in(
    ctx: RoundContext,
    missing: Missing,
    sampling: Sampling,
    label: str,
) -> None:
    """Make the rollouts that are missing and store each batch as it comes."""
    with rollout_pool(ctx, len(missing)) as pool:
        units = rollout_units(ctx, missing, sampling)
        for index, batch in pool.map(units, label, size=letters):
            keep_rollouts(ctx, units[index], batch, pool.seconds[index])


def rollout_pool(ctx: RoundContext, units: int) -> WorkerPool:
    settings, round_ = ctx.config.rollout, ctx.round
    arguments = (ctx.ws.root, ctx.backbone_folder, settings.slots, round_.project, round_.id)
    workers = workers_for(ctx, settings.workers, units)
    return WorkerPool(RolloutWorker, workers, *arguments, resources=settings.resources.resources)


def rollout_units(
    ctx: RoundContext,
    missing: Missing,
    sampling: Sampling,
) -> list[RolloutUnit]:
    """The requests with the adapters of their policies, which go into the object store."""
    adapters = _shared(ctx, {policy.id: policy for policy, _ in missing})
    return [
        RolloutUnit(requests, adapters[policy.id], policy.id, sampling)
        for policy, requests in missing
    ]


def keep_rollouts(
    ctx: RoundContext, unit: RolloutUnit, batch: RolloutBatch, seconds: float
) -> None:
    """Store what a unit made, as one part; raises Stopped and BudgetSpent after it."""
    part, round_ = f"rollouts-{derived_id('part', [one.id for one in unit.requests])}", ctx.round
    ctx.book_unit(part, seconds, ctx.config.rollout.resources.resources)
    ctx.ws.records.add(*batch.audio)
    ctx.ws.tables.write(batch.rollouts, branch=round_.branch, round=round_.id, part=part)
    ctx.go_on()


def workers_for(ctx: RoundContext, wanted: int, units: int) -> int:
    """No more than there are units: the start of an actor is dear. Starts a Ray of this machine alone where there
    is none yet."""
    ensure_ray(cpu_slots(ctx.config))
    return min(wanted, units)


def cpu_slots(config: RoundConfig) -> int:
    """CPUs for the largest pool of a round, whichever comes first, or for those that work side by side."""
    speaking = config.rollout.workers * config.rollout.resources.cpus
    hearing = config.score.workers * config.score.resources.cpus
    pipelined = config.score.pipelined
    return math.ceil(round(speaking + hearing if pipelined else max(speaking, hearing), 6))


def _shared(
    ctx: RoundContext, policies: Mapping[str, PolicyVersion]
) -> dict[str, SharedAdapter | None]:
    """By policy what its workers are sent: nothing for the backbone, which each of them holds."""
    folders = {name: ctx.adapter_folder(policy) for name, policy in policies.items()}
    if not any(folders.values()):
        return dict.fromkeys(folders)
    backbone = backbone_hash(ctx.backbone_folder)
    return {
        name: None if folder is None else share(folder, backbone)
        for name, folder in folders.items()
    }


def letters(unit: RolloutUnit) -> int:
    """How long a unit takes goes with the longest text in it: its slots empty one by one until that is said."""
    return max(len(one.prompt.text or "") for one in unit.requests)


def check_speakable(ctx: RoundContext, prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[str]]:
    """Prompts that the policy has tokens for, and ids of those it has not.

    Raises UnspeakableText for the first of those when the configuration says "refuse", and ConfigError
    when nothing is left.
    """
    tokens = TokenMap.load(ctx.backbone_folder)
    kept, excluded = [], []
    for prompt in prompts:
        try:
            tts_prompt(tokens, marked(prompt), prompt.instruction or "")
            kept.append(prompt)
        except UnspeakableText as error:
            if ctx.config.rollout.on_unspeakable == "refuse":
                where = f"prompt {prompt.id} of {ctx.prompt_set.reference}"
                raise UnspeakableText(error.text, error.strange, error.alphabet, where) from None
            excluded.append(prompt.id)
    if not kept:
        raise ConfigError(
            f"{ctx.prompt_set.reference}: none of {len(prompts)} prompts can be spoken by "
            f"{ctx.backbone.name}: import prompts in its alphabet"
        )
    return kept, excluded
