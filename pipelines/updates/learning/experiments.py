"""The three learning runs: what is trained, on which reward, and by whom it is judged."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trivox.pipelines.imports import builtin_prompts
from trivox.pipelines.updates.asking import Asker
from trivox.pipelines.updates.evaluating import compare, evaluate
from trivox.pipelines.updates.learning.data import scored_preferences, spoken_set
from trivox.pipelines.updates.recipe import UpdateRecipe
from trivox.pipelines.updates.service import update
from trivox.pipelines.updates.suites import Suites
from trivox.pipelines.workspaces import init_workspace
from trivox.platform.errors import NotFound, WorkError
from trivox.platform.hashing import derived_id
from trivox.platform.records import Branch, PreferenceSet, Prompt, Sampling, Split
from trivox.platform.registry import resolve
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically
from trivox.policy.backbone import Backbone, locate
from trivox.policy.resident import SLOTS
from trivox.policy.speaker import Speaker
from trivox.reward_models.cache import ScoreFile
from trivox.reward_models.composition import Composition
from trivox.reward_models.composition.config import CompositionConfig

HARD = (0.10, 0.40)
"""WER at the start, on speech that is hard."""
JUDGED = 4
"""Times `held_out`: recordings that asr is judged on; fewer could not tell a tenth of WER from chance."""
READ = 6
"""Times `held_out`: sentences that tts is judged on; fewer could not tell two points of WER from chance."""
NOISES_DB = (15.0, 10.0, 5.0, 0.0, -2.0, -4.0, -6.0)

MANNERS = ("heart slow", "michael slow", "emma slow")
SLOW = {"by": "target", "target": 11.5, "tolerance": 6.0}
"""Letters a second at which the teachers speak slowly, 0.72 of their pace; nano does at 0.83 of its own."""
FOLLOWED = CompositionConfig.model_validate(
    {
        "name": "followed",
        "version": 3,
        "branch": "tts",
        "gate": [
            {"scorer": name}
            for name in ("audible", "end", "duration", "silence", "clipping", "clicks", "echo")
        ],
        "component": [
            {"scorer": "speaking-rate", "weight": 5.0, "normalise": SLOW, "clip": (0.0, 1.0)},
            {
                "scorer": "whisper-base-wer",
                "weight": 2.0,
                "normalise": {"by": "range", "worst": 1.0, "best": 0.0},
                "clip": (0.0, 1.0),
            },
        ],
    }
)
"""What takes are preferred by: how near they are to the pace that was asked for, and the words that Whisper hears,
so that pace is not paid for with words."""


@dataclass(frozen=True)
class Scale:
    """How large the runs are; TINY only shows that they run. lines: sentences that tts takes are made of;
    dialogues: steps of PPO over dialogues."""

    train: int
    lines: int
    held_out: int
    steps: int
    dialogues: int
    samples: int
    users: int
    candidates: int
    parent: str = "nano"


FULL = Scale(
    train=256, lines=192, held_out=128, steps=60, dialogues=18, samples=8, users=192, candidates=10
)
TINY = Scale(train=8, lines=9, held_out=4, steps=2, dialogues=2, samples=2, users=2, candidates=2)


def open_place(root: Path) -> Workspace:
    """The workspace of the runs, made where there is none."""
    try:
        return Workspace.open(root)
    except NotFound:
        return init_workspace(root)


def asr(ws: Workspace, seed: int, scale: Scale) -> dict[str, Any]:
    """GRPO on the packaged reward of asr, on noisy speech; judged by the true words of other recordings. Clean
    speech must not get worse.

    Raises WorkError where no noise makes the start as hard as it has to be.
    """
    learned_from, judged_on = _hard_sets(ws, scale)
    recipe = UpdateRecipe.model_validate(
        {
            "algorithm": "grpo",
            "branch": "asr",
            "parent": scale.parent,
            "prompts": learned_from,
            "seed": seed,
            "watch": {"prompts": min(16, scale.train // 2), "every": 10},
            "grpo": {
                "steps": 2 * scale.steps,
                "prompts": 8,
                "samples": scale.samples,
                "max_tokens": 96,
                "learning_rate": 2e-4,
                "kl_coefficient": 0.02,
                "scale": "none",
                "normalisation": "dr_grpo",
            },
        }
    )
    hard = Suites.model_validate(
        {
            "asr": {
                "prompts": judged_on,
                "count": JUDGED * scale.held_out,
                "scorers": ["transcript-errors"],
            }
        }
    )
    clean = Suites.model_validate({"asr": {"prompts": _clean(ws, scale), "count": scale.held_out}})
    return _learned(ws, recipe, f"learn-asr-{seed}", {"hard": hard, "clean": clean})


def tts(ws: Workspace, seed: int, scale: Scale) -> dict[str, Any]:
    """DPO on takes of sentences that are to be spoken slowly: preferred is what comes nearer to the pace of the
    teachers, by our measure, with fewer wrong words by Whisper. Judged on other sentences by the pace that librosa
    measures, by the words that PocketSphinx hears and by DNSMOS; both versions speak as in use."""
    backbone = Backbone.load(locate(resolve(ws, scale.parent).artefact, ws.root))
    asker = Asker(ws, Speaker(backbone, backbone.lm, SLOTS))
    made = _preferences(ws, asker, seed, scale)
    recipe = UpdateRecipe.model_validate(
        {
            "algorithm": "dpo",
            "branch": "tts",
            "parent": scale.parent,
            "preferences": [made.id],
            "seed": seed,
            "dpo": {"epochs": 1, "batch_size": 8, "learning_rate": 5e-5, "sft_weight": 1.0},
        }
    )
    prompts = builtin_prompts(
        ws, "learn-slow-test", train=0, test=READ * scale.held_out, seed=102, manners=MANNERS
    )
    suites = Suites.model_validate(
        {
            "tts": {
                "prompts": prompts.reference,
                "count": READ * scale.held_out,
                "main": "librosa-rate",
                "scorers": ["librosa-rate", "pocketsphinx-wer", "dnsmos"],
            },
            # The others are looked at by themselves and break no tie.
            "tie": {"librosa-rate": 0.2, "pocketsphinx-wer": 100.0, "dnsmos": 5.0},
            "wanted": {"librosa-rate": -1},
        }
    )
    return _learned(ws, recipe, f"learn-tts-{seed}", {"held-out": suites})


def realtime(ws: Workspace, seed: int, scale: Scale) -> dict[str, Any]:
    """PPO over dialogues of three turns on the rubric's rules, by the words that the policy writes; judged with
    other users by the same reward, with some of them also by the words that Whisper hears in its speech. Both
    versions speak at the temperature of the training.

    Only words are rewarded, so only they are learned; each turn is judged by its own reward."""
    recipe = UpdateRecipe.model_validate(
        {
            "algorithm": "ppo",
            "branch": "realtime",
            "parent": scale.parent,
            "seed": seed,
            "reward": {"weight": 0},
            "watch": {"scorers": ["pocketsphinx-wer"], "prompts": 4, "every": 10},
            "ppo": {
                "steps": scale.dialogues,
                "prompts": 3 * scale.samples,
                "samples": 1,
                "max_tokens": 320,
                "learning_rate": 2e-3,
                "warmup_steps": 1,
                "minibatch_turns": 24,
                "inner_epochs": 2,
                "critic_warmup": 1,
                "turn_discount": 0.0,
                "decay": 0.97,
                "value_decay": 1.0,
                "learns": "words",
            },
        }
    )
    asked = {"count": scale.users, "temperature": 1.0}
    written = Suites.model_validate({"realtime": asked | {"scorers": []}})
    heard = {"count": max(2, scale.users // 4), "scorers": ["pocketsphinx-wer"], "heard": True}
    by_ear = Suites.model_validate({"realtime": asked | heard})
    return _learned(ws, recipe, f"learn-realtime-{seed}", {"held-out": written, "by-ear": by_ear})


EXPERIMENTS: dict[Branch, Callable[[Workspace, int, Scale], dict[str, Any]]] = {
    Branch.ASR: asr,
    Branch.TTS: tts,
    Branch.REALTIME: realtime,
}


def _learned(
    ws: Workspace, recipe: UpdateRecipe, name: str, suites: dict[str, Suites]
) -> dict[str, Any]:
    """Train, then hold the candidate against its parent on every suite. Its name tells runs of another recipe or
    other weights apart."""
    weights = resolve(ws, recipe.parent).artefact_hash
    name += f"-{derived_id('learn', recipe.model_dump(mode='json'), weights)[-8:]}"
    clock = ws.root / f"{name}.seconds"
    began = time.perf_counter()
    try:
        made = update(ws, recipe, name)
    finally:  # a run that is broken off and gone on with took both times
        seconds = time.perf_counter() - began
        write_atomically(clock, str(_seconds(clock) + seconds).encode())
    candidate, parent = resolve(ws, made["id"]), resolve(ws, made["parent"])
    branch = recipe.branch
    found = {
        which: compare(ws, candidate, parent, branch, suite) for which, suite in suites.items()
    }
    return {
        "branch": branch.value,
        "policy": candidate.id,
        "weights": candidate.artefact_hash,
        "parent": parent.name,
        "parent_weights": parent.artefact_hash,
        "recipe": made["recipe"],
        "steps": made["steps"],
        "training_s": _training_s(made["metrics"]) or _seconds(clock),
        "kl": max((one.get("kl", 0.0) for one in made["metrics"]), default=0.0),
        "reward": [made["metrics"][0].get("reward"), made["metrics"][-1].get("reward")],
        "results": {which: one.results for which, one in found.items()},
        "rows": {which: list(one.per_item) for which, one in found.items()},
    }


def _seconds(clock: Path) -> float:
    return float(clock.read_text()) if clock.exists() else 0.0


def _training_s(metrics: list[dict[str, float]]) -> float:
    """Of PPO and GRPO, whose steps say what they took, also where a run was resumed."""
    phases = ("rollout_s", "update_s")
    return sum(one.get(phase, 0.0) for one in metrics for phase in phases)


def _hard_sets(ws: Workspace, scale: Scale) -> tuple[str, str]:
    """What is learned from and what it is judged on, with the first noise at which the parent's WER lies in HARD;
    recordings with the others are made only to be heard. The two share no text."""
    counts = {Split.TRAIN: scale.train, Split.VALIDATION: 16, Split.TEST: scale.held_out}
    parent, rates = resolve(ws, scale.parent), dict[float, float]()
    for noise in NOISES_DB:
        name = f"learn-noise-{noise:g}"
        spoken_set(ws, name, {Split.TEST: min(32, scale.held_out)}, 0, noise)
        suites = Suites.model_validate({"asr": {"prompts": name}})
        found = evaluate(ws, parent, Branch.ASR, suites).results["figures"]["transcript-errors"]
        rates[noise] = found["mean"]
        if HARD[0] <= rates[noise] <= HARD[1] or scale is TINY:
            learned_from = spoken_set(ws, "learn-hard", counts, 1, noise)
            judged = {Split.TEST: JUDGED * scale.held_out}
            judged_on = spoken_set(ws, "learn-hard-test", judged, 1, noise)
            return learned_from.reference, judged_on.reference
    shown = ", ".join(f"{noise:g} dB: {rate:.1%}" for noise, rate in rates.items())
    raise WorkError(
        f"no noise makes speech as hard as {HARD[0]:.0%} to {HARD[1]:.0%} WER for {parent.name} ({shown}): "
        "name other "
        "levels in NOISES_DB"
    )


def _clean(ws: Workspace, scale: Scale) -> str:
    spoken_set(ws, "learn-clean", {Split.TEST: scale.held_out}, 2, None)
    return "learn-clean"


def _preferences(ws: Workspace, asker: Asker, seed: int, scale: Scale) -> PreferenceSet:
    """Made once for a seed and taken from the store afterwards."""
    name = f"learn-slow-{FOLLOWED.version}-{seed}-{scale.lines}"
    if known := ws.records.find(PreferenceSet, project=ws.project, round=name):
        return known[0]
    lines = builtin_prompts(
        ws, f"learn-slow-{seed}", train=scale.lines, test=0, seed=200 + seed, manners=MANNERS
    )
    prompts = [ws.records.get(Prompt, id_) for id_ in lines.prompts(Split.TRAIN)]
    composition = Composition.of(FOLLOWED, ScoreFile.of(ws.root))
    sampling = Sampling(0.8, max_tokens=700)
    return scored_preferences(
        asker, prompts, composition, sampling, scale.candidates, name, seed, 0.05
    )
