"""Made-up projects of any size, the same for the same seed: to try datasets on, and to measure with."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from trivox.annotation.aggregation.preferences import aggregate
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Audio,
    Branch,
    Campaign,
    Consent,
    FinishReason,
    JudgeKind,
    Judgement,
    Prompt,
    PromptItem,
    PromptSet,
    Rollout,
    Sampling,
    Segment,
    SegmentKind,
    Speaker,
    Split,
    Task,
    TaskKind,
    Tie,
)
from trivox.platform.store import Workspace

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
ROUND = "made-up"
_WORDS = (
    "turn on off the light lamp in kitchen bedroom please call john mary now 光 灯 打开".split()
)
_PER_PROMPT = 2


@dataclass(frozen=True)
class Size:
    """How much is made: prompts, each with rollouts, of which pairs are judged."""

    prompts: int
    rollouts: int
    judgements: int


def judged_project(
    ws: Workspace, prompts: int = 6, judgements_each: int = 3, voices: int = 2, seed: int = 0
) -> None:
    """Prompts with recorded voices, two rollouts each, a question about them, answers by people and by
    simulated judges, and the preferences of the people."""
    rng = random.Random(seed)
    heard = [_voice(ws, number) for number in range(voices)]
    made = [_prompt(number, rng, heard) for number in range(prompts)]
    ws.records.add(*made, _prompt_set(ws, made), _campaign(ws))
    rollouts = [
        one for n, prompt in enumerate(made) for one in _rollouts(ws, prompt, n, rng, heard)
    ]
    ws.tables.write(rollouts, branch=Branch.TTS, round=ROUND, part="a")
    tasks = [_task(ws, rollouts[i : i + 2]) for i in range(0, len(rollouts), 2)]
    ws.records.add(*tasks)
    judged = [
        judgement(ws, task, number, rng) for task in tasks for number in range(judgements_each)
    ]
    ws.records.add(*judged)
    people = [one for one in judged if one.judge_kind is JudgeKind.HUMAN]
    ws.records.add(aggregate(tasks, people, project=ws.project, round=None))


def _voice(ws: Workspace, number: int) -> Audio:
    """A recording of half a second by a speaker who allows everything."""
    speaker = Speaker(
        derived_id("sp", ws.project, number), ws.project, f"voice {number}", tuple(Consent), False
    )
    ws.records.add(speaker)
    return _sound(ws, 200.0 + 50 * number, speaker.id, "CC-BY-4.0")


def _sound(ws: Workspace, pitch: float, speaker: str | None, licence: str | None) -> Audio:
    time = np.arange(8000) / 16_000
    wave = 0.3 * np.sin(2 * np.pi * pitch * time, dtype=np.float64)
    made = ws.audio.put(
        wave, 16_000, project=ws.project, source="made up", speaker=speaker, licence=licence
    )
    ws.records.add(made)
    return made


def _prompt(number: int, rng: random.Random, heard: list[Audio]) -> Prompt:
    text = f"{' '.join(rng.choices(_WORDS, k=6))} {number}"
    voice = heard[number % len(heard)].id if heard else None
    language = "zh-CN" if number % 5 == 4 else "en-US"
    return Prompt.of(Branch.TTS, (language,), text=text, voice_audio=voice)


def _prompt_set(ws: Workspace, made: list[Prompt]) -> PromptSet:
    items = tuple(
        PromptItem(
            one.id,
            Split.TEST if n % 3 == 2 else Split.TRAIN,
            derived_id("gr", n // 2 * 2 if n % 6 < 2 else n),
            "CC-BY-4.0",
            f"made-up:{n}",
        )
        for n, one in enumerate(made)
    )
    return PromptSet(derived_id("ps", ws.project, len(made)), ws.project, "made-up", 1, items)


def _campaign(ws: Workspace) -> Campaign:
    return Campaign(
        derived_id("cp", ws.project),
        ws.project,
        "Which is better?",
        Branch.TTS,
        "Listen.",
        1,
        ("en-US",),
        3,
        BEGUN,
    )


def _rollouts(
    ws: Workspace, prompt: Prompt, number: int, rng: random.Random, heard: list[Audio]
) -> list[Rollout]:
    made = [rollout(ws.project, prompt, index, rng) for index in range(_PER_PROMPT)]
    if not heard:
        return made
    pitches = [300.0 + 7 * (number * _PER_PROMPT + index) for index in range(_PER_PROMPT)]
    sounds = [_sound(ws, pitch, None, None) for pitch in pitches]
    return [replace(one, audio=sound.id) for one, sound in zip(made, sounds, strict=True)]


def rollout(project: str, prompt: Prompt, index: int, rng: random.Random) -> Rollout:
    tokens = tuple(rng.randrange(4096) for _ in range(24))
    return Rollout(
        id=derived_id("ro", prompt.id, index),
        project=project,
        round=ROUND,
        branch=prompt.branch,
        prompt=prompt.id,
        producer="external:made-up",
        seed=rng.randrange(2**31),
        index=index,
        sampling=Sampling(0.8, 20, 0.95, 512),
        engine="made-up",
        dtype="float32",
        tokens=tokens,
        segments=(Segment(SegmentKind.AUDIO, "assistant", 0, len(tokens), True),),
        logprobs=tuple(-rng.random() for _ in tokens),
        finish_reason=FinishReason.END,
        text=prompt.text,
        codes=tuple((token % 1024,) for token in tokens),
        codes_layout="flat",
        timings={"decode": rng.random()},
    )


def _task(ws: Workspace, pair: list[Rollout]) -> Task:
    items = tuple(one.id for one in pair)
    campaign = derived_id("cp", ws.project)
    return Task(
        id=derived_id("task", campaign, *items),
        project=ws.project,
        campaign=campaign,
        kind=TaskKind.COMPARE,
        prompt=pair[0].prompt,
        items=items,
        question="naturalness@1",
        language="en-US",
        overlap=3,
    )


def judgement(ws: Workspace, task: Task, number: int, rng: random.Random) -> Judgement:
    """Every third by a simulated judge. All but every fifth are of one mind about a question; the second judge
    finds one question in seven even."""
    kind = JudgeKind.SIMULATED if number % 3 == 2 else JudgeKind.HUMAN
    side = 1 if derived_seed(task.id) % 2 else -1
    strength = rng.choice((1, 2, 3)) * (-side if number % 5 == 4 else side)
    answer = Answer(AnswerKind.COMPARISON, comparison=strength)
    if number % 5 == 3:
        answer = Answer(AnswerKind.TIE, tie=Tie.BOTH_GOOD)
    name = derived_id("jd", task.id, number)
    return Judgement(
        id=name,
        project=ws.project,
        task=task.id,
        judge_kind=kind,
        judge=f"{kind.value}:{number}",
        answer=answer,
        presentation=task.items if number % 2 else task.items[::-1],
        idempotency_key=name,
        created_at=BEGUN + timedelta(seconds=rng.randrange(10**7)),
        reasons=("noise",) if number % 4 == 0 else (),
        comment=f"judge {number} heard it" if number % 5 == 0 else None,
        heard_s={task.items[0]: 0.5, task.items[1]: rng.random()},
        taken_s=rng.random() * 30,
    )


def fill(ws: Workspace, size: Size, seed: int = 0, batch: int = 2000) -> None:
    """A project without sound and of any size, made and written a batch at a time."""
    rng = random.Random(seed)
    ws.records.add(_campaign(ws))
    each = max(1, size.rollouts // size.prompts)
    pairs = max(1, each // 2)
    per_task = -(-size.judgements // (size.prompts * pairs))
    left = size.judgements
    for start, prompts in _prompt_batches(size.prompts, max(1, batch // each), rng):
        made = [[rollout(ws.project, one, i, rng) for i in range(each)] for one in prompts]
        ws.records.add(*prompts)
        flat = [one for some in made for one in some]
        ws.tables.write(flat, branch=Branch.TTS, round=ROUND, part=f"{start:08d}")
        tasks = [_task(ws, some[i * 2 : i * 2 + 2]) for some in made for i in range(pairs)]
        ws.records.add(*tasks)
        held: list[Judgement] = []
        for task in tasks:
            asked = min(per_task, left)
            left -= asked
            held += [judgement(ws, task, number, rng) for number in range(asked)]
            if len(held) >= batch:
                ws.records.add(*held)
                held = []
        if held:
            ws.records.add(*held)


def _prompt_batches(
    count: int, batch: int, rng: random.Random
) -> Iterator[tuple[int, list[Prompt]]]:
    for start in range(0, count, batch):
        yield start, [_prompt(n, rng, []) for n in range(start, min(start + batch, count))]
