"""Asked for slow, high, soft or a pause: on speech whose pace, pitch and level were changed on purpose."""

from dataclasses import replace

import numpy as np
import pytest
import soxr

from trivox.platform.audio.style_words import VoiceStatistics, voice_statistics
from trivox.platform.records import Direction
from trivox.platform.scoring import Clip, Item
from trivox.reward_models.acoustic.measures import ProsodyMeasure, prosody
from trivox.reward_models.acoustic.style import StyleCompliance, asked_words, pyin_pitch
from trivox.reward_models.audio_checks import Samples
from trivox.reward_models.registry import build
from trivox.reward_models.verifiable.recognisers import TimedWord

RATE = 16_000


def no_words(samples: Samples, text: str, language: str) -> list[TimedWord]:
    return []


def own(english: list[Item]) -> VoiceStatistics:
    """The voice of the clips, by two of them."""
    heard = [one for one in english[1:] if one.samples is not None]
    return voice_statistics(
        [prosody(one.samples, one.text) for one in heard if one.samples is not None]
    )


def resampled(samples: Samples, factor: float) -> Samples:
    """Slower and lower (factor < 1) or faster and higher."""
    return np.asarray(soxr.resample(samples, RATE * factor, RATE), np.float32)


@pytest.mark.parametrize(
    ("asked", "made", "opposite"),
    [("slow", 0.75, "fast"), ("fast", 1.4, "slow"), ("low", 0.75, "high"), ("high", 1.4, "low")],
)
def test_what_was_asked_is_found_and_its_opposite_is_not(
    asked: str, made: float, opposite: str, english: list[Item]
) -> None:
    one = english[0]
    assert one.samples is not None
    item = replace(one, samples=resampled(one.samples, made), baseline=own(english))
    scorer = StyleCompliance(no_words, "none")
    items = [replace(item, instruction=word) for word in (asked, opposite, f"{asked}, {opposite}")]
    assert [found.value for found in scorer.score(items)] == [1.0, 0.0, 0.5]


def test_level_against_the_recording_of_the_voice(english: list[Item]) -> None:
    """9 dB less than the voice is soft, threshold -4.5 dB; 2.25 dB less reaches half of it."""
    one = english[0]
    assert one.samples is not None
    item = replace(one, voice=Clip(one.samples, RATE), instruction="please speak softly")
    quiet = [
        replace(item, samples=one.samples * np.float32(10 ** (-db / 20))) for db in (9, 2.25, 0)
    ]
    found = [value.value for value in StyleCompliance(no_words, "none").score(quiet)]
    assert found == [1.0, pytest.approx(0.5, abs=0.02), pytest.approx(0.0, abs=1e-4)]


def tones(*parts: tuple[float, float, float]) -> tuple[Samples, list[tuple[float, float]]]:
    """Harmonic tones of (seconds, Hz, gain) end to end, and where each is."""
    pieces, at, where = [], 0.0, []
    for seconds, hertz, gain in parts:
        time = np.arange(round(seconds * RATE)) / RATE
        wave = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 6))
        pieces.append(0.1 * gain * np.asarray(wave))
        where.append((at, at + seconds))
        at += seconds
    return np.concatenate(pieces).astype(np.float32), where


TEXT = "turn on the light"


def directed(
    samples: Samples, where: list[tuple[float, float]], *directives: tuple[int, int, str]
) -> float | str:
    """The score of "turn on" and "the light", said in the first and last stretch of sound."""

    def align(clip: Samples, text: str, language: str) -> list[TimedWord]:
        return [TimedWord(0, 7, *where[0]), TimedWord(8, 17, *where[-1])]

    item = Item("r", samples, RATE, TEXT, "en", directives=directives)
    [found] = StyleCompliance(align, "none").score([item])
    return found.value if found.value is not None else found.failure.kind if found.failure else ""


def test_a_part_is_compared_with_the_rest_by_hand() -> None:
    """6 letters in 0.6 s are 10/s, 8 in 1.2 s are 6.67/s: slower than 0.85. 180 over 120 Hz is 7 semitones:
    high."""
    samples, where = tones((0.6, 120, 1), (1.2, 180, 0.5))
    end = len(TEXT)
    assert directed(samples, where, (8, end, "slow")) == 1.0
    assert directed(samples, where, (8, end, "fast")) == 0.0
    assert directed(samples, where, (8, end, "high"), (8, end, "soft")) == 1.0
    assert directed(samples, where, (8, end, "high"), (8, end, "loud")) == 0.5
    assert directed(samples, where, (0, 7, "low")) == 1.0


def test_another_tracker_hears_the_same_pitch_by_hand() -> None:
    """A voice of 120 Hz, and 0.7 semitones above it: half of the 1.4 that make it high, and no part of low. Words
    within a text are not this scorer's."""
    samples, _ = tones((1.5, 120 * 2 ** (0.7 / 12), 1))
    assert pyin_pitch(samples) == pytest.approx(120 * 2 ** (0.7 / 12), rel=0.005)
    item = Item("r", samples, RATE, TEXT, "en", baseline=VoiceStatistics(1, 10.0, 120.0, -20.0))
    asked = [replace(item, instruction=word) for word in ("speak high", "low")]
    found = build("style-pyin").score([*asked, replace(item, directives=((0, 7, "low"),))])
    assert [one.value for one in found[:2]] == [pytest.approx(0.5, abs=0.06), 0.0]
    assert found[2].failure is not None and found[2].failure.kind == "unmeasured"


def test_pace_by_another_measure_by_hand() -> None:
    """14 letters in stretches of 0.6 and 0.8 s with half a second of silence between them: 10 a second. Without a
    sound, or a text, there is no pace."""
    samples, _ = tones((0.6, 120, 1), (0.5, 120, 0), (0.8, 120, 1))
    item = Item("r", samples, RATE, TEXT, "en")
    scorer = build("librosa-rate")
    found, silent, bare = scorer.score(
        [item, replace(item, samples=samples * np.float32(0)), replace(item, text=None)]
    )
    assert found.value == pytest.approx(10, rel=0.05)
    assert silent.failure is not None and bare.failure is not None
    assert scorer.info.family == "librosa" and scorer.info.direction is Direction.NEITHER


def test_silence_has_no_pitch() -> None:
    assert pyin_pitch(np.zeros(RATE, np.float32)) is None


def test_a_pause_is_looked_for_where_it_was_asked() -> None:
    samples, where = tones((0.6, 120, 1), (0.5, 120, 0), (0.8, 120, 1))
    assert directed(samples, where, (8, 8, "pause")) == 1.0
    assert directed(samples, where, (17, 17, "pause")) == 0.0
    without, there = tones((0.6, 120, 1), (0.8, 120, 1))
    assert directed(without, there, (8, 8, "pause")) == 0.0


def test_what_cannot_be_compared_fails_typed(english: list[Item]) -> None:
    samples, where = tones((0.6, 120, 1), (0.8, 120, 1))
    assert directed(samples, where, (0, len(TEXT), "slow")) == "unmeasured"
    scorer = StyleCompliance(no_words, "none")
    items = [
        english[0],
        replace(english[0], instruction="say it as you like"),
        replace(english[0], instruction="slow"),
        replace(english[0], directives=((0, 4, "slow"),)),
        replace(english[0], samples=None, instruction="slow"),
    ]
    kinds = [one.failure.kind for one in scorer.score(items) if one.failure]
    assert kinds == ["no_style", "no_style", "unmeasured", "unmeasured", "no_audio"]


def test_words_of_an_instruction() -> None:
    assert asked_words("Emma, slowly and HIGH; slow!") == ("slow", "high")
    assert asked_words("with a smile") == ()


def test_measures_by_hand() -> None:
    """Two tones of 0.6 and 0.8 s around 0.5 s of nothing; 15 letters said in 1.4 s without the pause."""
    samples, _ = tones((0.6, 150, 1), (0.5, 150, 0), (0.8, 150, 1))
    item = Item("r", samples, RATE, "turn on the lights", "en")
    value = {
        name: ProsodyMeasure(name).score([item])[0].value
        for name in ("pitch-level", "pauses", "longest-pause", "speaking-rate")
    }
    assert value["pitch-level"] == pytest.approx(150, rel=0.01)
    assert value["pauses"] == value["longest-pause"] == pytest.approx(0.5, abs=0.03)
    assert value["speaking-rate"] == pytest.approx(15 / 1.4, rel=0.03)


def test_noise_has_no_pitch_and_that_is_no_zero() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    [found] = ProsodyMeasure("pitch-level").score([Item("r", noise, RATE, None, "en")])
    assert found.failure is not None and found.failure.kind == "unmeasured"
