"""Where speech is, in synthetic speech whose pauses are known, and the limits that spans keep."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import ConfigError
from trivox.policy.hearing.vad import VAD_RATE, spans_of, speech_spans

SPEECH = Path(__file__).parents[2] / "data" / "speech" / "turn_off_the_light_in_the_bedroom.flac"
PAUSE = np.zeros(VAD_RATE, np.float32)


@pytest.fixture(scope="module")
def sentence() -> np.ndarray:
    """2.3 s."""
    return np.asarray(soundfile.read(SPEECH, dtype="float32")[0])


def test_two_sentences_with_a_pause_between(sentence: np.ndarray) -> None:
    """Silence to 1 s, speech to 3.3 s, silence to 4.3 s, speech to 6.6 s."""
    wave = np.concatenate([PAUSE, sentence, PAUSE, sentence])
    first, second = speech_spans(wave, 10)
    assert 1.0 < first.start_s < 1.5 and 3.0 < first.end_s < 3.5
    assert 4.3 < second.start_s < 4.8 and second.end_s == pytest.approx(6.6, abs=0.2)


def test_speech_without_pauses_is_cut_at_the_limit(sentence: np.ndarray) -> None:
    wave = np.concatenate([sentence[5000:30_000]] * 5)
    spans = speech_spans(wave, 3)
    assert len(spans) >= 3
    assert all(span.end_s - span.start_s <= 3 for span in spans)
    assert sum(span.end_s - span.start_s for span in spans) > 0.9 * len(wave) / VAD_RATE


def test_a_long_span_is_cut_at_its_longest_pause() -> None:
    """Speech with pauses of 0.16 s at 1.6 s and 0.32 s at 3.2 s, at most 5 s: cut at the longer one."""
    frames = np.ones(250, np.float32)
    frames[50:55] = 0
    frames[100:110] = 0
    first, second = spans_of(frames, 250 * 512, 5)
    assert first.end_s == pytest.approx(3.36, abs=0.03)
    assert second.start_s == pytest.approx(3.36, abs=0.03)
    assert second.end_s == 8


@pytest.mark.parametrize(
    "wave",
    [
        np.zeros(VAD_RATE, np.float32),
        np.zeros(0, np.float32),
        np.ones(1, np.float32),
        np.random.default_rng(0).normal(0, 0.1, VAD_RATE).astype(np.float32),
    ],
    ids=["silence", "no samples", "one sample", "noise"],
)
def test_no_speech(wave: np.ndarray) -> None:
    assert speech_spans(wave, 10) == []


def test_limit_too_short() -> None:
    with pytest.raises(ConfigError, match="at most 0.5 s are asked for: allow at least 1 s"):
        speech_spans(PAUSE, 0.5)


RUNS = st.lists(st.tuples(st.sampled_from([0.0, 0.4, 0.9]), st.integers(1, 60)), max_size=12)


@given(RUNS, st.sampled_from([1.0, 1.3, 2.0, 5.0]), st.integers(0, 511))
def test_spans_are_in_order_and_keep_the_limit(
    runs: list[tuple[float, int]], longest_s: float, missing: int
) -> None:
    speech = (
        np.repeat(*zip(*runs, strict=True)).astype(np.float32) if runs else np.zeros(0, np.float32)
    )
    length = max(0, len(speech) * 512 - missing)
    before = 0
    for span in spans_of(speech, length, longest_s):
        assert before <= span.first < span.last <= length
        assert span.last - span.first <= longest_s * VAD_RATE
        before = span.last
