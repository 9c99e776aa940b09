"""How a clip is spoken, in numbers: rate, pitch, level, pauses, colour of the voice. No model is asked.

A measure that cannot be taken is None, and `failures` says why under the measure's name; it is never 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from trivox.platform.audio.loudness import loudness_lufs
from trivox.platform.audio.pitch import PitchTracker
from trivox.platform.errors import BrokenAudio, UsageError
from trivox.platform.records import Failure
from trivox.platform.text.syllables import SpeechUnit, count_units

Float: TypeAlias = npt.NDArray[np.float32]
Span: TypeAlias = tuple[float, float]
"""Begin and end in seconds."""

HOP_S = 0.01
CENTROID_CEILING_HZ = 8000.0
_WINDOW_S = 0.032
_LEAST_VOICED = 5
_LEAST_SLOPE_S = 0.3
_SPREAD = (5, 95)


class ProsodyFailure(StrEnum):
    """Why a measure is None."""

    BROKEN_AUDIO = "broken_audio"
    SILENT_AUDIO = "silent_audio"
    SHORT_AUDIO = "short_audio"
    UNVOICED = "unvoiced"
    NO_TEXT = "no_text"


@dataclass(frozen=True)
class Activity:
    """What counts as speech and what as a pause.

    A frame of 10 ms is silent when its RMS lies below_db or more under the clip's 95th percentile, or under
    floor_db (full scale 1.0 is 0 dB). A pause is silence of pause_s or longer between two stretches of speech.
    """

    below_db: float = 30.0
    floor_db: float = -60.0
    pause_s: float = 0.2


ACTIVITY = Activity()


@dataclass(frozen=True)
class Prosody:
    """The measures of one clip; None where `failures` has the measure's name.

    seconds: of the clip; span: begin of the first and end of the last speech in seconds; units: syllables or
    characters of the text, as unit says; rate and articulation_rate: units per second with and without
    pauses; pitch_hz: median; pitch_spread: semitones from the 5th to the 95th percentile; pitch_slope:
    semitones per second by least squares; level_db: RMS of the frames with speech, full scale 1.0 is 0 dB;
    lufs: BS.1770; centroid_hz: of the mean power spectrum up to 8 kHz, a coarse mark of voice and channel;
    pauses: begin and end in seconds; activity: the thresholds that they were found with.
    """

    seconds: float
    span: Span
    unit: SpeechUnit
    units: int | None
    rate: float | None
    articulation_rate: float | None
    pitch_hz: float | None
    pitch_spread: float | None
    pitch_slope: float | None
    level_db: float | None
    lufs: float | None
    centroid_hz: float | None
    pauses: tuple[Span, ...]
    activity: Activity = ACTIVITY
    failures: Mapping[str, Failure] = field(default_factory=dict)

    @property
    def speech_s(self) -> float:
        """Seconds from the first to the last speech, pauses included; 0 where there is none."""
        return self.span[1] - self.span[0]

    @property
    def pause_count(self) -> int:
        return len(self.pauses)

    @property
    def pause_s(self) -> float:
        """Seconds of all pauses together."""
        return sum(end - begin for begin, end in self.pauses)

    @property
    def longest_pause_s(self) -> float | None:
        """None without a pause."""
        return max((end - begin for begin, end in self.pauses), default=None)


def semitones(hz: float, over_hz: float) -> float:
    """The interval from over_hz up to hz: 12 * log2(hz / over_hz)."""
    return 12 * float(np.log2(hz / over_hz))


def measure(
    samples: Float,
    rate: int,
    text: str | None = None,
    *,
    unit: SpeechUnit = SpeechUnit.CHARACTERS,
    pitch: Float | None = None,
    segments: Sequence[Span] | None = None,
    activity: Activity = ACTIVITY,
    loudness: bool = True,
) -> Prosody:
    """The prosody of samples, float32 [n], mono, full scale 1.0, at rate Hz.

    text: what is said; unit: what the rates count; pitch: Hz per 10 ms, 0 where unvoiced, when it is known
    already; segments: where there is speech (word times, say), otherwise the level decides; loudness=False
    leaves lufs out, the slowest part.
    Raises BrokenAudio for samples that are not [n], UsageError for segments out of order or out of the clip.
    """
    if samples.ndim != 1:
        raise BrokenAudio(f"samples of shape {samples.shape}: prosody is measured on mono [n]")
    if not np.isfinite(samples).all():
        return _nothing(samples, rate, unit, activity, ProsodyFailure.BROKEN_AUDIO)
    levels = frame_levels(samples, rate)
    spoken = _active(levels, activity) if segments is None else _covered(segments, len(levels))
    if not spoken.any():
        return _nothing(samples, rate, unit, activity, ProsodyFailure.SILENT_AUDIO)
    track = PitchTracker().track(samples, rate) if pitch is None else pitch
    return _measured(samples, rate, text, unit, track, spoken, activity, loudness)


def frame_levels(samples: Float, rate: int) -> npt.NDArray[np.float64]:
    """Mean square of each whole 10 ms: float64 [n_frames]."""
    hop = round(HOP_S * rate)
    whole = samples[: len(samples) // hop * hop].astype(np.float64)
    levels: npt.NDArray[np.float64] = (whole.reshape(-1, hop) ** 2).mean(1)
    return levels


def _measured(
    samples: Float,
    rate: int,
    text: str | None,
    unit: SpeechUnit,
    pitch: Float,
    spoken: npt.NDArray[np.bool_],
    activity: Activity,
    loudness: bool,
) -> Prosody:
    failures: dict[str, Failure] = {}
    begin, end, pauses = _pauses(spoken, activity.pause_s)
    speech_s = (end - begin) * HOP_S
    units = _units(text, unit, failures)
    silent_s = sum(until - since for since, until in pauses)
    median, spread, slope = _pitch(pitch, failures)
    lufs = loudness_lufs(samples, rate) if loudness else None
    if loudness and lufs is None:
        failures["lufs"] = Failure(
            ProsodyFailure.SHORT_AUDIO, f"{len(samples) / rate:.2f} s: too short or too silent"
        )
    return Prosody(
        seconds=len(samples) / rate,
        span=(begin * HOP_S, end * HOP_S),
        unit=unit,
        units=units,
        rate=units / speech_s if units else None,
        articulation_rate=units / (speech_s - silent_s) if units else None,
        pitch_hz=median,
        pitch_spread=spread,
        pitch_slope=slope,
        level_db=_level_db(samples, rate, spoken),
        lufs=lufs,
        centroid_hz=_centroid(samples, rate, spoken),
        pauses=pauses,
        activity=activity,
        failures=failures,
    )


_MEASURES = (
    "rate articulation_rate pitch_hz pitch_spread pitch_slope level_db lufs centroid_hz".split()
)


def _nothing(
    samples: Float, rate: int, unit: SpeechUnit, activity: Activity, kind: ProsodyFailure
) -> Prosody:
    """A clip of which nothing can be measured but its length."""
    failure = Failure(kind, f"no speech in {len(samples) / rate:.2f} s of audio")
    if kind is ProsodyFailure.BROKEN_AUDIO:
        failure = Failure(kind, "samples that are not finite")
    every: dict[str, None] = dict.fromkeys(_MEASURES)
    return Prosody(
        seconds=len(samples) / rate,
        span=(0.0, 0.0),
        unit=unit,
        units=None,
        pauses=(),
        activity=activity,
        failures=dict.fromkeys([*_MEASURES, "units"], failure),
        **every,
    )


def _active(levels: npt.NDArray[np.float64], activity: Activity) -> npt.NDArray[np.bool_]:
    if len(levels) == 0:
        return np.zeros(0, bool)
    decibels = 10 * np.log10(levels + 1e-20)
    threshold = max(float(np.percentile(decibels, 95)) - activity.below_db, activity.floor_db)
    spoken: npt.NDArray[np.bool_] = decibels > threshold
    return spoken


def _covered(segments: Sequence[Span], frames: int) -> npt.NDArray[np.bool_]:
    """Frames that segments cover; raises UsageError."""
    spoken, last = np.zeros(frames, bool), 0.0
    for begin, end in segments:
        if not last <= begin < end or round(begin / HOP_S) >= frames:
            raise UsageError(
                f"segment {begin:.3f}-{end:.3f} s after {last:.3f} s in a clip of {frames * HOP_S:.2f} s: "
                "give segments in order that lie within the clip"
            )
        spoken[round(begin / HOP_S) : max(round(end / HOP_S), round(begin / HOP_S) + 1)] = True
        last = end
    return spoken


def _pauses(spoken: npt.NDArray[np.bool_], least_s: float) -> tuple[int, int, tuple[Span, ...]]:
    """First frame of speech, the one after the last, and the gaps between in seconds."""
    where = np.flatnonzero(spoken)
    steps = np.diff(where)
    # 1e-9: 0.2 s are 20 frames also where their product is 0.2000...01.
    gaps = np.flatnonzero((steps - 1) * HOP_S >= least_s - 1e-9)
    spans = [((where[g] + 1) * HOP_S, where[g + 1] * HOP_S) for g in gaps if steps[g] > 1]
    return int(where[0]), int(where[-1]) + 1, tuple((float(a), float(b)) for a, b in spans)


def _units(text: str | None, unit: SpeechUnit, failures: dict[str, Failure]) -> int | None:
    units = count_units(text, unit) if text is not None else 0
    if units:
        return units
    failure = Failure(ProsodyFailure.NO_TEXT, f"no {unit} to count in {text!r}")
    failures.update(dict.fromkeys(("units", "rate", "articulation_rate"), failure))
    return None


def _pitch(
    pitch: Float, failures: dict[str, Failure]
) -> tuple[float | None, float | None, float | None]:
    """Median in Hz, spread in semitones, slope in semitones per second."""
    voiced = np.flatnonzero(pitch > 0)
    if len(voiced) < _LEAST_VOICED:
        why = Failure(ProsodyFailure.UNVOICED, f"{len(voiced)} voiced frames of {len(pitch)}")
        failures.update(dict.fromkeys(("pitch_hz", "pitch_spread", "pitch_slope"), why))
        return None, None, None
    tones = 12 * np.log2(pitch[voiced].astype(np.float64))
    low, high = np.percentile(tones, _SPREAD)
    median = float(2 ** (np.median(tones) / 12))
    if (span := (voiced[-1] - voiced[0]) * HOP_S) < _LEAST_SLOPE_S:
        failures["pitch_slope"] = Failure(ProsodyFailure.SHORT_AUDIO, f"voiced for {span:.2f} s")
        return median, float(high - low), None
    slope = np.polyfit(voiced * HOP_S, tones, 1)[0]
    return median, float(high - low), float(slope)


def _level_db(samples: Float, rate: int, spoken: npt.NDArray[np.bool_]) -> float | None:
    mean_square = float(frame_levels(samples, rate)[spoken].mean())
    return 10 * float(np.log10(mean_square)) if mean_square > 0 else None


def _centroid(samples: Float, rate: int, spoken: npt.NDArray[np.bool_]) -> float | None:
    """Centre of gravity in Hz of the power spectrum over the frames with speech."""
    hop, size = round(HOP_S * rate), round(_WINDOW_S * rate)
    starts = np.flatnonzero(spoken)[::2] * hop
    padded = np.pad(samples, (size // 2, size))
    frames = padded[(starts + hop // 2)[:, None] + np.arange(size)[None]] * np.hanning(size)
    power = (np.abs(np.fft.rfft(frames)) ** 2).sum(0)
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    heard = frequencies <= CENTROID_CEILING_HZ
    total = power[heard].sum()
    return float((power * frequencies)[heard].sum() / total) if total > 0 else None
