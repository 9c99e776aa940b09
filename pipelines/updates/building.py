"""From a plan to what a trainer is given: models in memory, prompts in tokens, rewards and watchers as
callables.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trivox.pipelines.realtime.personas import packaged_personas, packaged_rubric
from trivox.pipelines.training.align import aligner_for
from trivox.pipelines.training.data import gather
from trivox.pipelines.training.recipe import TrainingRecipe
from trivox.pipelines.updates.asking import Asker
from trivox.pipelines.updates.dialogues import DialogueEpisodes, Dialogues, Voice
from trivox.pipelines.updates.plan import Plan
from trivox.pipelines.updates.pooling import Workers
from trivox.pipelines.updates.preferences import token_pairs
from trivox.pipelines.updates.rewards import CompositionReward, RunningStatistics, items_of
from trivox.pipelines.updates.samples import Keeper
from trivox.pipelines.updates.watching import (
    Answers,
    AudioWatcher,
    HeldOut,
    to_prompts,
    to_users,
)
from trivox.platform.audio.io import resample
from trivox.platform.records import Branch, Persona, Prompt, Sampling, Split
from trivox.platform.scoring import Item
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone, locate
from trivox.policy.resident import SLOTS
from trivox.policy.rows import Row
from trivox.policy.speaker import Speaker
from trivox.policy.trainers.dpo_watching import DPOWatch
from trivox.policy.trainers.rl.run import Job, OnStep
from trivox.policy.trainers.rl.sources import EpisodeSource, SingleTurn
from trivox.policy.trainers.rl.watchers import Probe
from trivox.reward_models.composition import Composition
from trivox.reward_models.registry import build

HELD_OUT_SAMPLES = 1


def preference_job(ws: Workspace, plan: Plan) -> dict[str, Any]:
    """The arguments of `train_dpo` but folder and reporting."""
    folder = locate(plan.backbone.artefact, ws.root)
    backbone = Backbone.load(folder)
    asker = Asker(ws, Speaker(backbone, backbone.lm, SLOTS))
    recipe = plan.recipe
    moving = recipe.preference_settings.reference_every > 0
    return {
        "backbone_folder": folder,
        "pairs": token_pairs(asker, plan.preferences, recipe.branch),
        "settings": recipe.preference_settings,
        "seed": recipe.seed,
        "start": _start(ws, plan),
        "carried_ids": backbone.tokens.given_ids() if recipe.branch is Branch.TTS else [],
        "reference_cache": None if moving else ws.root / "cache" / "references",
        "rehearsal": _rehearsal(ws, plan, backbone),
        "watch": DPOWatch(_held_out(ws, plan, asker), [one.bound for one in recipe.watch.bounds]),
    }


def _held_out(ws: Workspace, plan: Plan, asker: Asker) -> list[Probe]:
    """Of dpo: prompts that are answered meanwhile, if any were named."""
    prompts = [ws.records.get(Prompt, id_) for id_ in plan.held_out]
    scorers = [build(name) for name in plan.watchers]
    if not prompts or not scorers:
        return []
    answers = to_prompts(asker, prompts, plan.recipe.branch, plan.recipe.seed)
    return [HeldOut(answers, scorers, plan.recipe.watch.every)]


def rewarded_job(ws: Workspace, plan: Plan, folder: Path, on_step: OnStep, workers: Workers) -> Job:
    """A run of PPO or GRPO; what the workers cost is settled before on_step. Raises as `Asker.request` for a
    prompt that cannot be asked, as `Composition.of`, and as `gather` for rows to rehearse."""
    place = locate(plan.backbone.artefact, ws.root)
    backbone = Backbone.load(place)
    asker = Asker(ws, Speaker(backbone, backbone.lm, SLOTS))
    engine = workers.engine(place)  # its actors begin while the rest is read
    composition = (
        None if plan.composition is None else Composition.of(plan.composition, build=workers.build)
    )
    made = _dialogues if plan.recipe.branch is Branch.REALTIME else _single_turns
    source, answers, items = made(ws, plan, asker, composition)
    watch = plan.recipe.watch
    scorers = [build(name) for name in plan.watchers] if answers else []
    probes = [HeldOut(answers, scorers, watch.every, _range(plan))] if answers and scorers else []
    return Job(
        backbone=place,
        source=source,
        folder=folder,
        seed=plan.recipe.seed,
        name=plan.id,
        start=_start(ws, plan),
        rehearsal=_rehearsal(ws, plan, backbone),
        watchers=[Keeper(ws, plan.id, plan.recipe.branch), _hearing(asker, plan, items)],
        probes=probes,
        bounds=[one.bound for one in watch.bounds],
        stateful=[RunningStatistics(composition)] if composition is not None else [],
        loaded=backbone,
        engine=engine,
        on_step=workers.settling(on_step),
    )


def _single_turns(
    ws: Workspace, plan: Plan, asker: Asker, composition: Composition | None
) -> tuple[EpisodeSource, Answers | None, dict[str, Item]]:
    assert composition is not None  # the recipe is refused without one
    recipe, settings = plan.recipe, plan.recipe.gradient
    prompts = [ws.records.get(Prompt, id_) for id_ in plan.train]
    held_out = [ws.records.get(Prompt, id_) for id_ in plan.held_out]
    items = items_of(asker, prompts)
    reward = CompositionReward(composition, asker, recipe.branch, items, recipe.reward.weight)
    source = SingleTurn(
        [asker.ask(prompt) for prompt in prompts],
        reward,
        settings.prompts,
        settings.samples,
        settings.temperature,
        settings.max_tokens,
        recipe.seed,
    )
    answers = to_prompts(asker, held_out, recipe.branch, recipe.seed) if held_out else None
    return source, answers, items


def _dialogues(
    ws: Workspace, plan: Plan, asker: Asker, composition: Composition | None
) -> tuple[EpisodeSource, Answers | None, dict[str, Item]]:
    recipe, settings = plan.recipe, plan.recipe.gradient
    sampling = Sampling(settings.temperature, max_tokens=settings.max_tokens)
    dialogue = recipe.dialogue
    dialogues = Dialogues(
        asker,
        packaged_rubric(ws.project),
        sampling,
        dialogue.turns,
        teacher_voice(asker) if dialogue.user == "teacher" else None,
    )
    weights = recipe.reward.weight, recipe.reward.rubric_weight
    source = DialogueEpisodes(
        dialogues,
        personas_of(ws),
        composition,
        weights,
        settings.prompts,
        settings.samples,
        recipe.seed,
    )
    if not recipe.watch.prompts:
        return source, None, {}
    held_out = replace(
        source,
        prompts=recipe.watch.prompts,
        samples=HELD_OUT_SAMPLES,
        composition=None,
        split=Split.VALIDATION,
        dialogues=replace(dialogues, sampling=_in_use(settings.max_tokens)),
    )
    return source, to_users(held_out), {}


def _in_use(max_tokens: int) -> Sampling:
    from trivox.policy.speaker import REALTIME_SAMPLING

    return replace(REALTIME_SAMPLING, max_tokens=max_tokens)


def personas_of(ws: Workspace) -> Sequence[Persona]:
    """Of the workspace, those that the simulated user's world knows; the packaged ones where it has none."""
    known = [
        one
        for one in ws.records.find(Persona, project=ws.project)
        if {"opening", "address"} <= one.traits.keys()
    ]
    return known or packaged_personas(ws.project)


def teacher_voice(asker: Asker) -> Voice:
    """The teacher says the user's words; each is synthesised once. Raises MissingModel when first asked."""
    from trivox.pipelines.nano.teachers import HIBARI_VOICE, RATE, Manner, speak

    said: dict[str, np.ndarray] = {}

    def voice(text: str) -> np.ndarray:
        if text not in said:
            wave = speak(text, HIBARI_VOICE, Manner(), None)
            said[text] = resample(wave, RATE, asker.speaker.hearing_rate)
        return said[text]

    return voice


def _hearing(asker: Asker, plan: Plan, items: dict[str, Item]) -> AudioWatcher:
    clips = plan.recipe.watch.clips
    voiced = clips > 0 and any(item.voice is not None for item in items.values())
    speaker = build("speaker-similarity") if voiced else None
    return AudioWatcher(asker, plan.recipe.branch, clips, items, speaker)


def _rehearsal(ws: Workspace, plan: Plan, backbone: Backbone) -> Sequence[Row]:
    """Rows of the sets, at most as many as the recipe says, drawn by its seed."""
    asked = plan.recipe.rehearsal
    if not plan.recipe.rehearsal_share:
        return ()
    recipe = TrainingRecipe(data=asked.data, seed=plan.recipe.seed, on_unusable="exclude")
    rows = gather(ws, backbone, recipe, aligner_for(backbone)).rows
    rng = np.random.default_rng([plan.recipe.seed, 3])
    drawn = rng.permutation(len(rows))[: asked.rows].tolist()
    return [rows[index] for index in drawn]


def _range(plan: Plan) -> float:
    """What lies between the worst and the best reward of an answer."""
    reward, realtime = plan.recipe.reward, plan.recipe.branch is Branch.REALTIME
    of_composition = 0.0 if plan.composition is None else reward.weight * plan.composition.scale
    turns = plan.recipe.dialogue.turns if realtime else 1
    return turns * (of_composition + (reward.rubric_weight if realtime else 0.0))


def _start(ws: Workspace, plan: Plan) -> Path | None:
    if plan.parent.backbone is None:
        return None
    return locate(plan.parent.artefact, ws.root)
