"""Words beside a voice's own medians."""

import math
from dataclasses import replace

import pytest

from trivox.pipelines.descriptions import (
    STYLE_WORDS,
    Deviation,
    Thresholds,
    VoiceStatistics,
    describe,
    deviation,
    voice_statistics,
    words_of,
)
from trivox.platform.audio.prosody import Prosody
from trivox.platform.errors import UsageError
from trivox.platform.text.syllables import SpeechUnit

USUAL = Prosody(
    seconds=2.0,
    span=(0.0, 2.0),
    unit=SpeechUnit.CHARACTERS,
    units=20,
    rate=10.0,
    articulation_rate=10.0,
    pitch_hz=200.0,
    pitch_spread=6.0,
    pitch_slope=0.0,
    level_db=-24.0,
    lufs=None,
    centroid_hz=500.0,
    pauses=(),
)
VOICE = VoiceStatistics(3, 10.0, 200.0, -24.0)


def test_medians_leave_out_what_was_not_measured() -> None:
    clips = [
        replace(USUAL, articulation_rate=8.0, pitch_hz=None, level_db=-30.0),
        replace(USUAL, articulation_rate=14.0, pitch_hz=180.0, level_db=-20.0),
        replace(USUAL, articulation_rate=9.0, pitch_hz=220.0, level_db=-21.0),
    ]
    assert voice_statistics(clips) == VoiceStatistics(3, 9.0, 200.0, -21.0)
    mute = replace(USUAL, pitch_hz=None)
    assert voice_statistics([mute]).pitch_hz is None
    with pytest.raises(UsageError, match="at least one"):
        voice_statistics([])
    with pytest.raises(UsageError, match="characters and syllables"):
        voice_statistics([USUAL, replace(USUAL, unit=SpeechUnit.SYLLABLES)])


def test_deviation() -> None:
    """8 of 10 is 0.8; 225 over 200 Hz is 12 * log2(1.125) = 2.04 semitones; -30 under -24 is -6 dB."""
    found = deviation(replace(USUAL, articulation_rate=8.0, pitch_hz=225.0, level_db=-30.0), VOICE)
    assert found.rate == pytest.approx(0.8)
    assert found.pitch == pytest.approx(2.039, abs=0.001)
    assert found.energy == pytest.approx(-6.0)


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        ((1.0, 0.0, 0.0), ()),
        ((0.85, -1.4, -4.5), ()),
        ((1.18, 1.4, 3.5), ()),
        ((0.84, -1.5, -4.6), ("slow", "low", "soft")),
        ((1.19, 1.5, 3.6), ("fast", "high", "loud")),
        ((None, None, 5.0), ("loud",)),
        ((None, None, None), ()),
    ],
)
def test_words_begin_beyond_the_thresholds(
    difference: tuple[float | None, float | None, float | None], words: tuple[str, ...]
) -> None:
    assert words_of(Deviation(*difference)) == words


def test_other_thresholds() -> None:
    strict = Thresholds(slow=0.5, high_semitones=3.0)
    assert words_of(Deviation(0.6, 2.0, 0.0), strict) == ()
    with pytest.raises(ValueError, match="slow"):
        Thresholds(slow=1.2)


def test_describe_says_nothing_of_what_is_missing() -> None:
    slow = replace(USUAL, articulation_rate=5.0, pitch_hz=None)
    assert describe(slow, VOICE) == ("slow",)
    assert describe(USUAL, VOICE) == ()
    assert describe(replace(USUAL, level_db=math.nan), VoiceStatistics(1, None, None, None)) == ()
    assert STYLE_WORDS == ("slow", "fast", "low", "high", "soft", "loud")
