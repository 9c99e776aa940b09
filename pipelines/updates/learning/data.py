"""What the learning runs are given: speech that is hard to hear, and preferences made of scores."""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from trivox.pipelines.imports.publish import add_set
from trivox.pipelines.nano.domain import request, split_of
from trivox.pipelines.nano.teachers import HIBARI_VOICE, RATE, Manner, speak
from trivox.pipelines.updates.asking import Asker
from trivox.platform.errors import WorkError
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.progress import progress
from trivox.platform.records import (
    Branch,
    FinishReason,
    JudgeKind,
    Preference,
    PreferenceSet,
    Prompt,
    PromptItem,
    PromptSet,
    Rollout,
    Sampling,
    Split,
)
from trivox.platform.store import Workspace
from trivox.reward_models.composition import Composition

Wave = npt.NDArray[np.float32]
SPEEDS = (0.9, 1.0, 1.15)
PITCHES = (0.85, 1.0, 1.2)
"""Of the teacher's voice: some that nano has learned from, and some that it has not."""


def spoken_set(
    ws: Workspace, name: str, counts: dict[Split, int], seed: int, noise_db: float | None
) -> PromptSet:
    """Requests of the domain spoken by the teacher at speeds and pitches of its own for each clip, with noise so
    many dB below the speech (None: none). The same arguments give the same set; splits share no text."""
    prompts, items = list[Prompt](), list[PromptItem]()
    wanted = [(split, text) for split in counts for text in texts(split, counts[split], seed)]
    for split, text in progress(wanted, f"speaking {name}"):
        rng = np.random.default_rng(derived_seed("clip", seed, text))
        manner = Manner(float(rng.choice(SPEEDS)), float(rng.choice(PITCHES)))
        wave = speak(text, HIBARI_VOICE, manner, None)
        audio = ws.audio.put(
            noisy(wave, noise_db, rng), RATE, project=ws.project, source=f"trivox:learn:{name}"
        )
        prompt = Prompt.of(Branch.ASR, ("en-US",), audio=audio.id, reference_text=text)
        ws.records.add(audio)
        prompts.append(prompt)
        group = derived_id("gr", text)
        items.append(PromptItem(prompt.id, split, group, "Apache-2.0", f"trivox:learn:{name}"))
    with ws.records.transaction():
        ws.records.add(*prompts)
        return add_set(ws, name, items)[0]


def texts(split: Split, count: int, seed: int) -> list[str]:
    """count different requests of a split. Raises WorkError where the domain has not so many."""
    rng, found = random.Random(derived_seed("learn", split.value, seed)), dict[str, None]()
    for _ in range(400 * max(1, count)):
        if len(found) == count:
            return list(found)
        text = request(rng).text
        if split_of(text) is split:
            found[text] = None
    raise WorkError(f"split {split.value} has {len(found)} different requests, not {count}")


def noisy(wave: Wave, noise_db: float | None, rng: np.random.Generator) -> Wave:
    """With pink noise noise_db below the level of the speech; clipped to full scale."""
    if noise_db is None:
        return wave
    spectrum = np.fft.rfft(rng.standard_normal(len(wave)))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    noise = np.fft.irfft(spectrum, len(wave))
    level = np.sqrt(np.mean(wave**2)) * 10 ** (-noise_db / 20)
    mixed = wave + noise * level / np.sqrt(np.mean(noise**2))
    return np.asarray(np.clip(mixed, -1, 32767 / 32768), np.float32)


def scored_preferences(
    asker: Asker,
    prompts: Sequence[Prompt],
    composition: Composition,
    sampling: Sampling,
    candidates: int,
    name: str,
    seed: int,
    least: float = 0.1,
) -> PreferenceSet:
    """Candidates for each prompt, scored at once: each of the best two is preferred to each of the worst two where
    their totals are more than `least` apart. The judges are scores, and the set says so: simulated. Answers are
    kept as rollouts."""
    ws, branch = asker.ws, prompts[0].branch
    asked = [(one, index) for one in prompts for index in range(candidates)]
    requests = [
        asker.request(one, sampling, derived_seed(seed, "candidate", one.id, index))
        for one, index in asked
    ]
    said = asker.speaker.engine.generate(requests)
    items = {one.id: asker.item(one) for one in prompts}
    rollouts = [
        _rollout(ws.project, name, one, index, tuple(g.tokens), tuple(g.logprobs), sampling)
        for (one, index), g in zip(asked, said, strict=True)
    ]
    rollouts = [
        replace(r, finish_reason=g.finish_reason) for r, g in zip(rollouts, said, strict=True)
    ]
    answers = [
        asker.answered(items[r.prompt], branch, r.tokens, r.finish_reason, r.id) for r in rollouts
    ]
    scores = composition.score(answers)
    totals = {r.id: one.total.value for r, one in zip(rollouts, scores, strict=True)}
    ws.tables.write(rollouts, branch=branch, round=name, part="candidates")
    preferences, dropped = extreme_pairs(rollouts, totals, least)
    made = PreferenceSet(
        derived_id(
            "ps", ws.project, name, composition.info.weights_hash, [p.id for p in preferences]
        ),
        ws.project,
        name,
        f"best-worst:{composition.info.name}@1",
        tuple(preferences),
        dropped,
    )
    ws.records.add(made)
    return made


def extreme_pairs(
    rollouts: Sequence[Rollout], totals: Mapping[str, float | None], least: float
) -> tuple[list[Preference], dict[str, int]]:
    """Of each prompt the best two before the worst two, where their totals are more than `least` apart; and how
    many pairs were dropped. What has no total stands in no pair."""
    by_prompt: dict[str, list[tuple[float, Rollout]]] = {}
    for one in rollouts:
        if (total := totals[one.id]) is not None:
            by_prompt.setdefault(one.prompt, []).append((total, one))
    found, dropped = list[Preference](), {"too close": 0, "the same": 0}
    for scored in by_prompt.values():
        scored.sort(key=lambda pair: pair[0])
        for (low, worse), (high, better) in itertools.product(scored[:2], scored[-2:]):
            if better.tokens == worse.tokens:
                dropped["the same"] += 1
            elif high - low <= least:
                dropped["too close"] += 1
            else:
                found.append(_preference(better, worse, high - low))
    return found, dropped


def _preference(better: Rollout, worse: Rollout, gap: float) -> Preference:
    id_, margin = derived_id("pf", better.id, worse.id), min(3.0, 1.0 + 4 * gap)
    judges = (JudgeKind.SIMULATED,)
    return Preference(id_, better.prompt, better.id, worse.id, margin, 1.0, (), judges)


def _rollout(
    project: str,
    name: str,
    prompt: Prompt,
    index: int,
    tokens: tuple[int, ...],
    logprobs: tuple[float, ...],
    sampling: Sampling,
) -> Rollout:
    return Rollout(
        id=derived_id("ro", name, prompt.id, index),
        project=project,
        round=name,
        branch=prompt.branch,
        prompt=prompt.id,
        producer="nano",
        seed=0,
        index=index,
        sampling=sampling,
        engine="in-process",
        dtype="float32",
        tokens=tokens,
        segments=(),
        logprobs=logprobs,
        finish_reason=FinishReason.END,
    )
