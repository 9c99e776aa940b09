"""Measured prosody as words: slow or fast, low or high, soft or loud beside the voice's own manner."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from trivox.platform.audio.prosody import Prosody, semitones
from trivox.platform.errors import UsageError
from trivox.platform.text.directives import OPPOSITES

DIMENSIONS = dict(zip(("rate", "pitch", "energy"), OPPOSITES, strict=True))
"""The word below and the word above a voice's own median, by dimension; between them it is normal: no word."""
STYLE_WORDS = tuple(word for pair in OPPOSITES for word in pair)


class Thresholds(BaseModel):
    """How far from the voice's own median a clip lies to earn a word."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slow: float = Field(0.85, gt=0, lt=1)
    """Articulation rate below this share of the median."""
    fast: float = Field(1.18, gt=1)
    """Articulation rate above this multiple of the median."""
    low_semitones: float = Field(-1.4, lt=0)
    high_semitones: float = Field(1.4, gt=0)
    soft_db: float = Field(-4.5, lt=0)
    loud_db: float = Field(3.5, gt=0)
    certainty: float = Field(2.5, ge=0)
    """Usual spreads that a change within a clip exceeds to be written as a directive."""
    part_words: int = Field(2, ge=1)
    """Least words on each side of such a change."""
    part_s: float = Field(0.4, gt=0)
    """Least seconds on each side of it."""
    pause_s: float = Field(0.3, ge=0.1)
    """Least seconds of silence that are written as a pause."""


THRESHOLDS = Thresholds()


@dataclass(frozen=True)
class VoiceStatistics:
    """Medians over the clips of one voice; None for a measure that no clip has.

    rate: articulation rate in units per second; pitch_hz; level_db: RMS of speech, full scale 1.0 is 0 dB.
    """

    clips: int
    rate: float | None
    pitch_hz: float | None
    level_db: float | None


@dataclass(frozen=True)
class Deviation:
    """How a clip differs from its voice; None where either side lacks the measure.

    rate: ratio; pitch: semitones; energy: dB.
    """

    rate: float | None
    pitch: float | None
    energy: float | None


def voice_statistics(clips: Sequence[Prosody]) -> VoiceStatistics:
    """Medians of one voice. Raises UsageError for no clips, or for rates counted in several units."""
    if not clips:
        raise UsageError("no clips to take a voice's medians from: give at least one")
    if len(units := sorted({clip.unit for clip in clips})) > 1:
        raise UsageError(f"rates in {' and '.join(units)}: count all clips in one unit")
    return VoiceStatistics(
        len(clips),
        _median(clip.articulation_rate for clip in clips),
        _median(clip.pitch_hz for clip in clips),
        _median(clip.level_db for clip in clips),
    )


def deviation(prosody: Prosody, statistics: VoiceStatistics) -> Deviation:
    """The clip beside its voice's medians."""
    rate, pitch, level = prosody.articulation_rate, prosody.pitch_hz, prosody.level_db
    own = statistics.level_db
    return Deviation(
        rate / statistics.rate if rate and statistics.rate else None,
        semitones(pitch, statistics.pitch_hz) if pitch and statistics.pitch_hz else None,
        level - own if level is not None and own is not None else None,
    )


def describe(
    prosody: Prosody, statistics: VoiceStatistics, thresholds: Thresholds = THRESHOLDS
) -> tuple[str, ...]:
    """Words out of STYLE_WORDS in their order, at most one a dimension; no word where normal or not measured."""
    return words_of(deviation(prosody, statistics), thresholds)


def words_of(difference: Deviation, thresholds: Thresholds = THRESHOLDS) -> tuple[str, ...]:
    """The words that a difference earns."""
    ranges = {
        "rate": (difference.rate, thresholds.slow, thresholds.fast),
        "pitch": (difference.pitch, thresholds.low_semitones, thresholds.high_semitones),
        "energy": (difference.energy, thresholds.soft_db, thresholds.loud_db),
    }
    found = (_word(dimension, *ranges[dimension]) for dimension in DIMENSIONS)
    return tuple(word for word in found if word)


def on_scale(rate: float | None, pitch_hz: float | None, level_db: float | None) -> list[float]:
    """Rate, pitch and energy where differences add up: logarithm, semitones, dB; NaN where not measured."""
    tone = 12 * math.log2(pitch_hz) if pitch_hz else math.nan
    level = math.nan if level_db is None else level_db
    return [math.log(rate) if rate else math.nan, tone, level]


def limits(
    thresholds: Thresholds,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The thresholds below and above on that scale: [3] each."""
    below = [math.log(thresholds.slow), thresholds.low_semitones, thresholds.soft_db]
    above = [math.log(thresholds.fast), thresholds.high_semitones, thresholds.loud_db]
    return np.array(below), np.array(above)


def _word(dimension: str, value: float | None, low: float, high: float) -> str | None:
    below, above = DIMENSIONS[dimension]
    if value is None or low <= value <= high:
        return None
    return below if value < low else above


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
