"""Prosody as scores: pitch, its spread, level, pace, pauses. Measures to watch: none is better for being higher.

A policy that is rewarded for words alone goes flat (No Verifiable Reward for Prosody): watch the spread of its
pitch. As a reward a measure needs a target in the composition.
"""

from collections.abc import Callable, Sequence

from trivox.platform.audio.pitch import PitchTracker
from trivox.platform.audio.prosody import ACTIVITY, Prosody, measure
from trivox.platform.hashing import content_hash
from trivox.platform.records import Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.reward_models.audio_checks import RATE, Samples, guarded, speech

FAMILY = "prosody"
_MEASURED: dict[str, tuple[str, Callable[[Prosody], float | None]]] = {
    "pitch-level": ("Hz", lambda found: found.pitch_hz),
    "pitch-spread": ("semitones", lambda found: found.pitch_spread),
    "level": ("dB", lambda found: found.level_db),
    "speaking-rate": ("characters/s", lambda found: found.articulation_rate),
    "pauses": ("s", lambda found: found.pause_s),
    "longest-pause": ("s", lambda found: found.longest_pause_s or 0.0),
}
_FAILED_AS = {
    "pitch-level": "pitch_hz",
    "pitch-spread": "pitch_spread",
    "level": "level_db",
    "speaking-rate": "articulation_rate",
}
MEASURES = tuple(_MEASURED)
"""pitch-level: median F0; pitch-spread: from its 5th to its 95th percentile; level: RMS of the speech, full scale
1.0 is 0 dB; speaking-rate: letters and digits of the text per second without pauses; pauses and longest-pause:
silences of 0.2 s or more between words."""


class ProsodyMeasure:
    """One of MEASURES. What cannot be measured (whispers have no pitch) fails typed."""

    def __init__(self, name: str) -> None:
        self._unit, self._value = _MEASURED[name]
        self.info = ScorerInfo(
            name=name,
            version="1",
            weights_hash=content_hash([name, repr(ACTIVITY), repr(PitchTracker())]),
            family=FAMILY,
            component=name,
            unit=self._unit,
            direction=Direction.NEITHER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        samples = speech(item)
        if isinstance(samples, Value):
            return samples
        found = prosody(samples, item.text)
        value = self._value(found)
        cause = found.failures.get(_FAILED_AS.get(self.info.name, "pitch_hz"))
        if value is None and cause is not None:
            return failed(FailureKind.UNMEASURED, f"{cause.kind}: {cause.message}")
        if not found.speech_s:
            return failed(FailureKind.UNMEASURED, "no speech to measure")
        assert value is not None
        return Value(value)


def prosody(samples: Samples, text: str | None) -> Prosody:
    """The measures of mono speech [n] at 16 kHz, loudness left out."""
    return measure(samples, RATE, text, loudness=False)
