"""The checkpoint that ships, on clips, in a row and on what is no speech; what holds for any checkpoint."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trivox.pipelines.workspaces import packaged_nano
from trivox.policy.backbone import locate
from trivox.policy.hearing.beam import nbest
from trivox.policy.hearing.long import transcribe_long
from trivox.policy.resident import ResidentPolicy
from trivox.policy.speaker import ASR_SAMPLING, Speaker

SPEECH = Path(__file__).parents[2] / "data" / "speech"
RATE = 16_000


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    folder = locate(packaged_nano("default").artefact, Path())
    with ResidentPolicy(folder).using(None) as ready:
        assert ready.hearing_rate == RATE
        yield ready


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    names = sorted(SPEECH.glob("*_the_*.flac"))
    return [np.asarray(soundfile.read(name, dtype="float32")[0]) for name in names]


def test_one_hypothesis_is_greedy_decoding(speaker: Speaker, clips: list[np.ndarray]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    for wave in (*clips, noise, np.zeros(1, np.float32)):
        (greedy,) = speaker.transcribe([wave])
        (only,) = nbest(speaker, wave, 1).candidates
        assert (only.text, only.tokens) == (greedy.text, greedy.generation.tokens)


def test_five_hypotheses_end_and_none_beats_the_first(
    speaker: Speaker, clips: list[np.ndarray]
) -> None:
    for wave in clips:
        candidates = nbest(speaker, wave, 5).candidates
        assert all(len(one.tokens) <= ASR_SAMPLING.max_tokens for one in candidates)
        assert max(one.score for one in candidates) == candidates[0].score


def test_clips_in_a_row_are_heard_one_by_one(speaker: Speaker, clips: list[np.ndarray]) -> None:
    pause = np.zeros(RATE, np.float32)
    row = np.concatenate([part for clip in clips for part in (clip, pause)])
    found = transcribe_long(speaker, row, RATE)
    begins = np.cumsum([0, *(len(clip) + RATE for clip in clips[:-1])]) / RATE
    for segment, clip, begin in zip(found.segments, clips, begins, strict=True):
        assert begin <= segment.start_s < segment.end_s <= begin + len(clip) / RATE + 0.3
    assert found.text == " ".join(one.text for one in found.segments if one.text)
