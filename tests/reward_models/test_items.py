"""Prompt and rollout as an item: each branch has its own text and sound."""

from pathlib import Path

import numpy as np
import pytest

from trivox.platform.records import Branch, FinishReason, Prompt, Rollout, Sampling, Turn
from trivox.platform.store import Workspace
from trivox.reward_models.items import item_of

TONE = np.sin(np.arange(8000, dtype=np.float32) / 9)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "ws")


def stored(ws: Workspace, gain: float) -> str:
    return ws.audio.put(TONE * gain, 16_000, project="p", source="test").id


def rollout(prompt: Prompt, audio: str | None, **more: object) -> Rollout:
    return Rollout(
        id="ro", project="p", round=None, branch=prompt.branch, prompt=prompt.id, producer="x", seed=0,
        index=0, sampling=Sampling(), engine="", dtype="", tokens=(), segments=(), logprobs=(),
        finish_reason=FinishReason.END, audio=audio, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_tts_has_the_text_and_the_voice(ws: Workspace) -> None:
    own, voice = stored(ws, 0.5), stored(ws, 0.25)
    prompt = Prompt.of(
        Branch.TTS, ("en",), text="hello", voice_audio=voice, instruction="slow",
        inline_instructions=((0, 5, "high"),),
    )  # fmt: skip
    item = item_of(prompt, rollout(prompt, own), ws.audio)
    assert (item.text, item.hypothesis, item.prompt) == ("hello", None, prompt.id)
    assert (item.instruction, item.directives) == ("slow", ((0, 5, "high"),))
    assert item.samples is not None and item.voice is not None and item.reference is None
    assert np.abs(item.samples).max() > np.abs(item.voice.samples).max()


def test_asr_listens_to_the_recording_and_reads_the_transcript(ws: Workspace) -> None:
    prompt = Prompt.of(Branch.ASR, ("zh", "en"), audio=stored(ws, 0.5), reference_text="真的 true")
    item = item_of(prompt, rollout(prompt, None, text="said"), ws.audio)
    assert (item.text, item.hypothesis, item.language) == ("真的 true", "said", "mul")
    assert item.samples is not None


def test_realtime_is_held_against_its_own_words(ws: Workspace) -> None:
    turns = (Turn("user", "hello"),)
    prompt = Prompt.of(Branch.REALTIME, ("en",), turns=turns, reference_text="good day")
    said = (Turn("user", "hello"), Turn("assistant", "hi there"))
    item = item_of(prompt, rollout(prompt, stored(ws, 0.5), turns=said), ws.audio)
    assert (item.text, item.hypothesis, item.reference_text) == ("hi there", None, "good day")
    assert item.history == turns and item.turns == said


def test_a_silent_rollout_has_no_samples(ws: Workspace) -> None:
    prompt = Prompt.of(Branch.TTS, ("en",), text="hello")
    item = item_of(prompt, rollout(prompt, None), ws.audio)
    assert item.samples is None and item.rate is None
