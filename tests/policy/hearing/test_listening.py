"""Turns cut while samples arrive: the same probabilities as for the whole recording, and the limits that hold."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from trivox.platform.errors import ConfigError
from trivox.policy.hearing import vad
from trivox.policy.hearing.listening import (
    FRAME,
    FRAME_S,
    Endpointing,
    Listener,
    SpeechStarted,
    TurnEnded,
    VoiceActivity,
)
from trivox.policy.hearing.vad import VAD_RATE

SPEECH = Path(__file__).parents[2] / "data" / "speech" / "turn_off_the_light_in_the_bedroom.flac"
SECOND = np.zeros(VAD_RATE, np.float32)


@pytest.fixture(scope="module")
def sentence() -> np.ndarray:
    """2.3 s."""
    return np.asarray(soundfile.read(SPEECH, dtype="float32")[0])


def heard(
    listener: Listener, wave: np.ndarray, size: int = 1000
) -> list[SpeechStarted | TurnEnded]:
    return [
        event for at in range(0, len(wave), size) for event in listener.push(wave[at : at + size])
    ]


def test_frame_by_frame_as_in_one_pass(sentence: np.ndarray) -> None:
    activity = VoiceActivity()
    frames = [sentence[at : at + FRAME] for at in range(0, len(sentence) - FRAME, FRAME)]
    found = [activity(frame) for frame in frames]
    whole = vad._network().audio_forward(sentence)[: len(found)]
    np.testing.assert_allclose(found, whole, atol=0.02)
    assert max(found) > 0.9


def test_a_sentence_is_a_turn(sentence: np.ndarray) -> None:
    """Silence to about 1.3 s, speech to about 3.1 s: known after 0.5 s of silence, padded by 0.3 s."""
    wave = np.concatenate([SECOND, sentence, SECOND])
    started, ended = heard(Listener(Endpointing()), wave)
    assert isinstance(started, SpeechStarted) and isinstance(ended, TurnEnded)
    assert 1.0 < started.at_s < 1.5
    assert started.known_s - started.at_s == pytest.approx(4 * FRAME_S)
    assert ended.start_s == pytest.approx(started.at_s - 0.3, abs=FRAME_S)
    assert ended.end_s == pytest.approx(ended.known_s - 0.2, abs=FRAME_S)
    first = round(ended.start_s * VAD_RATE)
    np.testing.assert_array_equal(ended.samples, wave[first : first + len(ended.samples)])


@pytest.mark.parametrize("size", [1, 160, 511, 512, 50_000])
def test_turns_do_not_depend_on_how_samples_arrive(sentence: np.ndarray, size: int) -> None:
    wave = np.concatenate([SECOND[:4000], sentence[:20_000], SECOND])
    one, other = heard(Listener(Endpointing()), wave), heard(Listener(Endpointing()), wave, size)
    assert [type(event) for event in one] == [type(event) for event in other]
    assert one[0] == other[0] and one[1].known_s == other[1].known_s


def test_a_turn_is_cut_at_its_longest(sentence: np.ndarray) -> None:
    wave = np.concatenate([sentence[5000:30_000]] * 5)
    turns = [
        event
        for event in heard(Listener(Endpointing(longest_s=3)), wave)
        if isinstance(event, TurnEnded)
    ]
    assert len(turns) >= 2 and all(turn.cut for turn in turns)
    assert all(2.9 < turn.end_s - turn.start_s <= 3 for turn in turns)


def test_silence_and_noise_are_no_turn_and_take_no_memory() -> None:
    listener = Listener(Endpointing())
    noise = np.random.default_rng(0).normal(0, 0.1, 20 * VAD_RATE).astype(np.float32)
    assert heard(listener, np.concatenate([SECOND, noise]), 16_000) == []
    assert len(listener._kept) <= 10


def test_a_click_begins_no_turn(sentence: np.ndarray) -> None:
    """64 ms of speech where 1 s is asked for."""
    wave = np.concatenate([SECOND, sentence[8000:9024], SECOND])
    assert heard(Listener(Endpointing(shortest_s=1.0)), wave) == []


def test_ending_by_hand(sentence: np.ndarray) -> None:
    listener = Listener(Endpointing())
    assert listener.end() is None
    (started,) = heard(listener, sentence[:16_000])
    assert listener.in_turn and isinstance(started, SpeechStarted)
    ended = listener.end()
    assert ended is not None and ended.end_s == ended.known_s and not listener.in_turn
    assert listener.end() is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"threshold": 1.0}, "a threshold of 1: give a probability"),
        ({"silence_s": -1.0}, "silence_s is -1: give 0 to 10 seconds"),
        ({"longest_s": 1.0}, "at most 1 s leave no second of speech beside 0.5 s of silence"),
    ],
)
def test_rules_that_cannot_be(given: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Endpointing(**given)
