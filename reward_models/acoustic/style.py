"""Style compliance: asked for slower, higher, softer or a pause, of the whole or of some words, is it so?

The whole is compared with how the voice speaks by itself; words within a text with the rest of the same clip. The
thresholds are those by which Trivox describes recordings in words (platform.audio.style_words).
"""

import re
from collections.abc import Callable, Sequence

import numpy as np

from trivox.platform.audio.style_words import (
    DIMENSIONS,
    THRESHOLDS,
    Thresholds,
    VoiceStatistics,
    limits,
    on_scale,
)
from trivox.platform.hashing import content_hash
from trivox.platform.records import Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed, join
from trivox.reward_models.acoustic.measures import FAMILY, prosody
from trivox.reward_models.audio_checks import RATE, Samples, guarded, speech
from trivox.reward_models.verifiable.recognisers import TimedWord

Align = Callable[[Samples, str, str], list[TimedWord]]
"""Mono speech [n] at 16 kHz, its text, its language -> where its words are."""
Pitch = Callable[[Samples], float | None]
"""Mono speech [n] at 16 kHz -> its median pitch in Hz, None where none was found."""

PAUSE = "pause"
_NEAR_S = 0.35
_WORDS = {
    "slow": "slow slowly slower", "fast": "fast faster quick quickly rapidly",
    "low": "low lower deep deeper", "high": "high higher",
    "soft": "soft softly softer quiet quietly", "loud": "loud loudly louder",
}  # fmt: skip
_ASKED = {form: word for word, forms in _WORDS.items() for form in forms.split()}


class StyleCompliance:
    """0..1, the mean over everything that was asked: 1 where the change reaches the threshold of its word, 0
    where it is none or goes the other way, in between by how far it goes (logarithm of the pace, semitones, dB).

    The voice's own manner is `Item.baseline`, else the pitch and level of `Item.voice`. Fails typed where no style
    is asked for, or where something asked cannot be measured. evidence: each word with its part of the score.
    """

    def __init__(
        self,
        align: Align | None,
        made_of: str,
        thresholds: Thresholds = THRESHOLDS,
        *,
        name: str = "style",
        families: Sequence[str] = (FAMILY, "whisper"),
        pitch: Pitch | None = None,
    ) -> None:
        """align: finds words in time, None: directives within a text are not judged. made_of: the sha256 of what
        aligns, or another name of what measures. pitch: who measures it, None for our own tracker."""
        self._align, self._thresholds, self._pitch = align, thresholds, pitch
        below, above = limits(thresholds)
        self._limits = {
            word: float(bound[index])
            for index, pair in enumerate(DIMENSIONS.values())
            for word, bound in zip(pair, (below, above), strict=True)
        }
        self.info = ScorerInfo(
            name=name,
            version="1",
            weights_hash=content_hash([made_of, thresholds.model_dump(), _NEAR_S]),
            family=join(families),
            component="style",
            unit="fraction",
            direction=Direction.HIGHER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        words = asked_words(item.instruction or "")
        if not words and not item.directives:
            return failed(FailureKind.NO_STYLE, f"rollout {item.rollout}: no style was asked for")
        samples = speech(item)
        if isinstance(samples, Value):
            return samples
        try:
            found = self._whole(item, samples, words) | self._parts(item, samples)
        except _Unmeasured as unmeasured:
            return failed(FailureKind.UNMEASURED, str(unmeasured))
        told = ", ".join(f"{asked} {part:.2f}" for asked, part in found.items())
        return Value(float(np.mean([*found.values()])), evidence=told)

    def _whole(self, item: Item, samples: Samples, words: Sequence[str]) -> dict[str, float]:
        if not words:
            return {}
        own = baseline(item, self._pitch)
        clip = self._scale(samples, item.text)
        usual = on_scale(own.rate, own.pitch_hz, own.level_db)
        return {word: self._reached(word, clip, usual) for word in words}

    def _parts(self, item: Item, samples: Samples) -> dict[str, float]:
        if not item.directives:
            return {}
        if item.text is None:
            raise _Unmeasured("directives without the text that they stand in")
        if self._align is None:
            raise _Unmeasured(f"scorer {self.info.name} judges no directives within a text")
        words = self._align(samples, item.text, item.language)
        if not words:
            raise _Unmeasured("no word of the text was found in the clip")
        found = {}
        for start, end, word in item.directives:
            where = f"({word}) at {start}"
            if word == PAUSE:
                found[where] = float(_pause_near(samples, words, start, self._thresholds.pause_s))
            else:
                found[where] = self._part(item.text, samples, words, (start, end), word)
        return found

    def _part(
        self, text: str, samples: Samples, words: list[TimedWord], at: tuple[int, int], word: str
    ) -> float:
        """The part of the text beside the rest of the clip."""
        inside = [one for one in words if one.start >= at[0] and one.end <= at[1]]
        outside = [one for one in words if one not in inside]
        if not inside or not outside:
            raise _Unmeasured(f"({word}): it needs words within its span and others beside it")
        part, rest = (self._of_words(samples, text, some) for some in (inside, outside))
        return self._reached(word, part, rest)

    def _scale(self, samples: Samples, text: str | None) -> list[float]:
        found = prosody(samples, text)
        pitch = found.pitch_hz if self._pitch is None else self._pitch(samples)
        return on_scale(found.articulation_rate, pitch, found.level_db)

    def _of_words(self, samples: Samples, text: str, words: Sequence[TimedWord]) -> list[float]:
        """Pace, pitch and level of some words: their sound laid end to end."""
        pieces = [samples[round(one.begin_s * RATE) : round(one.end_s * RATE)] for one in words]
        said = " ".join(text[one.start : one.end] for one in words)
        return self._scale(np.concatenate(pieces), said)

    def _reached(self, word: str, value: Sequence[float], usual: Sequence[float]) -> float:
        index = next(i for i, pair in enumerate(DIMENSIONS.values()) if word in pair)
        change = value[index] - usual[index]
        if not np.isfinite(change):
            dimension = [*DIMENSIONS][index]
            raise _Unmeasured(f"{word!r}: {dimension} is unknown of the clip or of its voice")
        return float(np.clip(change / self._limits[word], 0, 1))


class _Unmeasured(Exception):
    """Something asked for that cannot be measured."""


def asked_words(instruction: str) -> tuple[str, ...]:
    """The words of style in an instruction, "speak slowly, high" -> slow, high; each once, in order."""
    said = re.findall(r"[a-z]+", instruction.lower())
    return tuple(dict.fromkeys(_ASKED[word] for word in said if word in _ASKED))


def pyin_pitch(samples: Samples) -> float | None:
    """Median of the voiced frames by pYIN (Mauch and Dixon 2014), of librosa: another tracker than ours."""
    import librosa

    found, voiced, _ = librosa.pyin(samples, fmin=60.0, fmax=500.0, sr=RATE, hop_length=256)
    return float(np.median(found[voiced])) if bool(voiced.any()) else None


def baseline(item: Item, pitch: Pitch | None = None) -> VoiceStatistics:
    """How the voice speaks by itself: what the item says, else pitch and level of its recording."""
    if item.baseline is not None:
        return item.baseline
    if item.voice is None:
        raise _Unmeasured("neither statistics nor a recording of the voice to compare with")
    named = Item("the voice asked for", item.voice.samples, item.voice.rate, None, "")
    samples = speech(named)
    if isinstance(samples, Value):
        assert samples.failure is not None
        raise _Unmeasured(f"the voice asked for: {samples.failure.message}")
    found = prosody(samples, None)
    hz = found.pitch_hz if pitch is None else pitch(samples)
    return VoiceStatistics(1, None, hz, found.level_db)


def _pause_near(samples: Samples, words: list[TimedWord], at: int, least_s: float) -> bool:
    """Whether a pause lies where the word before `at` ends and the one after begins."""
    before = [one.end_s for one in words if one.end <= at]
    after = [one.begin_s for one in words if one.start >= at]
    low = (before[-1] if before else 0.0) - _NEAR_S
    high = (after[0] if after else len(samples) / RATE) + _NEAR_S
    pauses = prosody(samples, None).pauses
    return any(end - begin >= least_s and low <= begin and end <= high for begin, end in pauses)
