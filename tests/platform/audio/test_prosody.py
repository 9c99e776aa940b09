"""Prosody of signals whose measures are known by construction."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import soxr

from trivox.platform.audio.pitch import PitchTracker
from trivox.platform.audio.prosody import Activity, Prosody, measure, semitones
from trivox.platform.errors import BrokenAudio, UsageError
from trivox.platform.text.syllables import SpeechUnit

RATE = 16_000
Wave = npt.NDArray[np.float32]


def tone(hz: float, seconds: float, amplitude: float = 0.1, rate: int = RATE) -> Wave:
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def silence(seconds: float) -> Wave:
    return np.zeros(round(seconds * RATE), np.float32)


def steps(seconds_each: float = 0.5) -> Wave:
    """200 Hz, then 250 Hz, one after the other."""
    return np.concatenate([tone(200, seconds_each), tone(250, seconds_each)])


def test_pitch_of_a_tone() -> None:
    for hz in (100.0, 200.0, 300.0):
        found = measure(tone(hz, 1.0), RATE)
        assert found.pitch_hz == pytest.approx(hz, rel=0.005)
        assert found.pitch_spread == pytest.approx(0, abs=0.1)
        assert found.pitch_slope == pytest.approx(0, abs=0.1)


def test_a_rise_by_slope_and_spread() -> None:
    """An octave in 2 s: 6 semitones per second; 5% to 95% of it are 0.9 * 12 = 10.8 semitones."""
    pitch = (150 * 2 ** (np.arange(200) / 200)).astype(np.float32)
    found = measure(tone(150, 2.0), RATE, pitch=pitch)
    assert found.pitch_slope == pytest.approx(6.0, abs=0.01)
    assert found.pitch_spread == pytest.approx(10.8, abs=0.1)
    assert found.pitch_hz == pytest.approx(150 * math.sqrt(2), rel=0.01)


def test_resampling_by_1_2_raises_by_3_16_semitones() -> None:
    """12 * log2(1.2) = 3.156."""
    wave = tone(200, 1.2)
    raised = soxr.resample(wave, RATE * 1.2, RATE).astype(np.float32)
    before, after = measure(wave, RATE).pitch_hz, measure(raised, RATE).pitch_hz
    assert before and after
    assert semitones(after, before) == pytest.approx(3.156, abs=0.05)
    assert semitones(240, 200) == pytest.approx(3.156, abs=0.001)


def test_twice_the_amplitude_is_6_02_db() -> None:
    """A sine of amplitude 0.1 has an RMS of 0.1 / sqrt(2): -23.01 dB."""
    soft, loud = measure(tone(200, 1.0, 0.1), RATE), measure(tone(200, 1.0, 0.2), RATE)
    assert soft.level_db == pytest.approx(-23.01, abs=0.01)
    assert soft.level_db is not None and loud.level_db is not None
    assert loud.level_db - soft.level_db == pytest.approx(6.02, abs=0.01)
    assert soft.lufs is not None and loud.lufs is not None
    assert loud.lufs - soft.lufs == pytest.approx(6.02, abs=0.01)


def test_pauses_are_gaps_and_do_not_lower_the_level() -> None:
    wave = np.concatenate(
        [silence(0.3), tone(200, 0.5), silence(0.4), tone(200, 0.5), silence(0.1), tone(200, 0.5)]
    )
    found = measure(np.concatenate([wave, silence(0.6)]), RATE, "b b b b")
    assert found.pauses == ((pytest.approx(0.8), pytest.approx(1.2)),)
    assert (found.pause_count, found.pause_s) == (1, pytest.approx(0.4))
    assert found.longest_pause_s == pytest.approx(0.4)
    assert found.seconds == pytest.approx(2.9)
    assert found.speech_s == pytest.approx(2.0)
    assert found.rate == pytest.approx(4 / 2.0)
    assert found.articulation_rate == pytest.approx(4 / 1.6)
    assert found.level_db == pytest.approx(-23.01, abs=0.01)


def test_the_longest_pause_and_a_lower_threshold() -> None:
    wave = np.concatenate(
        [tone(200, 0.5), silence(0.3), tone(200, 0.5), silence(0.1), tone(200, 0.5)]
    )
    found = measure(wave, RATE, activity=Activity(pause_s=0.1))
    assert found.pause_count == 2
    assert found.longest_pause_s == pytest.approx(0.3)
    assert found.pause_s == pytest.approx(0.4)
    assert found.activity.pause_s == 0.1
    without = measure(tone(200, 0.5), RATE)
    assert (without.pause_count, without.pause_s, without.longest_pause_s) == (0, 0, None)


def test_a_gap_as_long_as_the_threshold_is_a_pause() -> None:
    found = [
        measure(np.concatenate([tone(200, 0.5), silence(s), tone(200, 0.5)]), RATE).pause_count
        for s in (0.19, 0.2)
    ]
    assert found == [0, 1]


def test_segments_say_where_speech_is() -> None:
    found = measure(tone(200, 2.0), RATE, "o t", segments=[(0.5, 1.0), (1.3, 1.5)])
    assert found.pauses == ((pytest.approx(1.0), pytest.approx(1.3)),)
    assert found.speech_s == pytest.approx(1.0)
    assert found.articulation_rate == pytest.approx(2 / 0.7)


@pytest.mark.parametrize("segments", [[(0.5, 0.4)], [(0.5, 1.0), (0.9, 1.2)], [(3.0, 3.5)]])
def test_wrong_segments(segments: list[tuple[float, float]]) -> None:
    with pytest.raises(UsageError, match="within the clip"):
        measure(tone(200, 2.0), RATE, segments=segments)


def test_centroid() -> None:
    """A tone's is its frequency; two tones of equal power have it halfway."""
    assert measure(tone(1000, 0.5), RATE).centroid_hz == pytest.approx(1000, rel=0.01)
    both = tone(1000, 0.5) + tone(3000, 0.5)
    assert measure(both, RATE).centroid_hz == pytest.approx(2000, rel=0.01)


def test_rates_count_letters_or_syllables() -> None:
    wave = tone(200, 1.0)
    letters, chinese = measure(wave, RATE, "the kitchen!"), measure(wave, RATE, "公园吧。")
    assert (letters.unit, letters.units) == (SpeechUnit.CHARACTERS, 10)
    assert letters.articulation_rate == pytest.approx(10.0)
    assert chinese.units == 3
    syllables = measure(wave, RATE, "the kitchen!", unit=SpeechUnit.SYLLABLES)
    assert (syllables.unit, syllables.units) == (SpeechUnit.SYLLABLES, 3)


def missing(found: Prosody) -> dict[str, str]:
    for name in found.failures:
        assert getattr(found, name) is None
    return {name: failure.kind for name, failure in found.failures.items()}


@pytest.mark.parametrize("wave", [silence(1.0), silence(0), tone(200, 1.0, 1e-4)[:80]])
def test_silence_has_no_pitch_and_no_level(wave: Wave) -> None:
    found = measure(wave, RATE, "hello")
    assert set(missing(found).values()) == {"silent_audio"}
    assert {"pitch_hz", "level_db", "rate", "articulation_rate", "lufs"} <= set(found.failures)
    assert found.speech_s == 0


def test_noise_has_a_level_and_no_pitch() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    found = measure(noise, RATE, "shh")
    assert missing(found) == dict.fromkeys(("pitch_hz", "pitch_spread", "pitch_slope"), "unvoiced")
    assert found.level_db == pytest.approx(-20, abs=0.2)


def test_short_and_textless() -> None:
    found = measure(tone(200, 0.2), RATE)
    assert missing(found) == {
        **dict.fromkeys(("units", "rate", "articulation_rate"), "no_text"),
        "pitch_slope": "short_audio",
        "lufs": "short_audio",
    }
    assert missing(measure(tone(200, 1.0), RATE, "...")) == dict.fromkeys(
        ("units", "rate", "articulation_rate"), "no_text"
    )


def test_broken_samples() -> None:
    wave = tone(200, 1.0)
    wave[5] = np.nan
    assert set(missing(measure(wave, RATE, "hello")).values()) == {"broken_audio"}
    with pytest.raises(BrokenAudio, match=r"\(2, 100\)"):
        measure(np.zeros((2, 100), np.float32), RATE)


def test_a_pitch_track_handed_in_is_the_one_taken() -> None:
    wave = steps()
    track = PitchTracker().track(wave, RATE)
    assert measure(wave, RATE, pitch=track) == measure(wave, RATE)
    assert measure(wave, RATE, pitch=track * 2).pitch_hz != measure(wave, RATE).pitch_hz


def test_other_rates_agree() -> None:
    for rate in (8000, 22_050, 48_000):
        found = measure(tone(200, 1.0, rate=rate), rate, "hello")
        assert found.pitch_hz == pytest.approx(200, rel=0.01)
        assert found.level_db == pytest.approx(-23.01, abs=0.05)
        assert found.speech_s == pytest.approx(1.0, abs=0.011)
