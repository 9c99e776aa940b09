"""A campaign for each kind of question, of one comparison each, with sound that looks like speech."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from tests.annotation.web.sites import LEAD, Site, site_of
from tests.annotation.work.conftest import PLAIN
from trivox.platform.records import (
    Branch,
    Campaign,
    FinishReason,
    Guideline,
    Persona,
    Prompt,
    Rollout,
    Sampling,
    Task,
    TaskKind,
    Turn,
)
from trivox.platform.store import Workspace

RATE, SECONDS = 16_000, 1.0
GUIDELINE = {"en": "# What to listen for\n\nEvery **word**.", "zh": "# 听什么\n\n每个**词**。"}
TEXT = "The small boat crossed the quiet bay before the rain came."
HEARD = "the small boat crossed the quite bay before rain came"
PERSONA = "A calm night-shift nurse. Speaks slowly, never hurries anyone, jokes a little."
HISTORY = (
    ("user", "I cannot sleep again. It is the third night."),
    ("assistant", "Three nights is a lot. Is it the noise, or your thoughts?"),
    ("user", "Mostly thoughts, I think."),
)


def sound(ws: Workspace, number: int) -> str:
    """Harmonics under syllables; each number sounds different."""
    times = np.arange(int(SECONDS * RATE)) / RATE
    pitch = 110 + 13 * number
    wave = sum(np.sin(2 * np.pi * pitch * k * times) / k for k in range(1, 12))
    syllables = np.abs(np.sin(np.pi * (3 + number % 4) * times)) ** 1.5
    made = (0.12 * wave * syllables).astype(np.float32)
    audio = ws.audio.put(made, RATE, project=ws.project, source="test")
    ws.records.add(audio)
    return audio.id


def made(ws: Workspace, prompt: Prompt, index: int, audio: str | None, text: str | None) -> Rollout:
    return Rollout(
        f"ro_{prompt.id[-8:]}_{index}", ws.project, None, prompt.branch, prompt.id, f"policy_{index}", index,
        index, Sampling(), "test", "float32", (1,), (), (0.0,), FinishReason.END, audio=audio, text=text,
    )  # fmt: skip


def ask(
    ws: Workspace,
    name: str,
    kind: TaskKind,
    question: str,
    items: int,
    branch: Branch,
    **prompt: Any,
) -> Campaign:
    """A campaign with one task."""
    now = datetime.now(UTC)
    held = Campaign(
        f"cp_{name}", ws.project, name, branch, GUIDELINE["en"], 1, ("en",), 1, now, plan=PLAIN
    )
    asked = Prompt.of(branch, ("en",), **prompt)
    asr = branch is Branch.ASR
    rollouts = [
        made(ws, asked, index, None if asr else sound(ws, 7 * len(name) + index), HEARD if asr else None)
        for index in range(items)
    ]  # fmt: skip
    ws.tables.write(rollouts, branch=branch, round="none", part=name)
    task = Task(
        f"task_{name}", ws.project, held.id, kind, asked.id, tuple(one.id for one in rollouts), question, "en", 1
    )  # fmt: skip
    ws.records.add(
        held, asked, task, Guideline(f"gl_{name}", ws.project, held.id, 1, GUIDELINE, LEAD, now)
    )
    return held


def every_kind(ws: Workspace) -> Site:
    """Campaigns cp_rating, cp_ranking, cp_yesno, cp_reasons, cp_words and cp_dialogue."""
    tts = {"text": TEXT, "instruction": "calm, a little slower"}
    ask(ws, "rating", TaskKind.RATE, "quality@1", 1, Branch.TTS, **tts)
    ask(ws, "ranking", TaskKind.RANK, "best@1", 4, Branch.TTS, **tts)
    ask(ws, "yesno", TaskKind.CHECK, "intelligible@1", 1, Branch.TTS, text=TEXT)
    voice = sound(ws, 3)
    last = ask(
        ws, "reasons", TaskKind.COMPARE, "why@1", 2, Branch.TTS, voice_audio=voice, text=f"{TEXT} Twice."
    )  # fmt: skip
    ask(ws, "words", TaskKind.TRANSCRIBE, "transcript@1", 1, Branch.ASR, audio=sound(ws, 5))
    ws.records.add(Persona("pe_nurse", ws.project, "nurse", 1, PERSONA))
    turns = tuple(Turn(role, text, sound(ws, 20 + n)) for n, (role, text) in enumerate(HISTORY))
    ask(
        ws, "dialogue", TaskKind.COMPARE, "reply@1", 2, Branch.REALTIME, turns=turns, persona="nurse@1"
    )  # fmt: skip
    return site_of(ws, last)
