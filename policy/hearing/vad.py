"""Where speech is: Silero VAD (github.com/snakers4/silero-vad, MIT), whose weights come inside its package."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import ConfigError

VAD_RATE = 16_000
"""Hz of the samples that are listened to."""
PAUSE_S = 0.5
"""A pause as long as this ends a span, as between two sentences."""
PAD_S = 0.2
"""Kept before and after the speech, where the pause is long enough: consonants are quiet."""
SHORTEST_S = 0.15
SHORTEST_LIMIT_S = 1.0
_FRAME = 512


@dataclass(frozen=True)
class Span:
    """Samples first to last (not included) at VAD_RATE."""

    first: int
    last: int

    @property
    def start_s(self) -> float:
        return self.first / VAD_RATE

    @property
    def end_s(self) -> float:
        return self.last / VAD_RATE


def speech_spans(samples: npt.NDArray[np.float32], longest_s: float) -> list[Span]:
    """The spans of speech in mono float32 [n] at VAD_RATE, in order, none longer than longest_s; [] for none.

    Speech without a pause of PAUSE_S is cut at its longest pause, and where it has none at longest_s. Raises
    ConfigError for longest_s below SHORTEST_LIMIT_S.
    """
    if longest_s < SHORTEST_LIMIT_S:
        raise ConfigError(
            f"spans of at most {longest_s:g} s are asked for: allow at least {SHORTEST_LIMIT_S:g} s"
        )
    return spans_of(_network().audio_forward(samples), len(samples), longest_s)


def spans_of(speech: npt.NDArray[np.float32], length: int, longest_s: float) -> list[Span]:
    """The spans from the probability of speech in each frame of 32 ms, of `length` samples."""
    from silero_vad import get_speech_timestamps_from_probs

    found = get_speech_timestamps_from_probs(
        speech.tolist(),
        sampling_rate=VAD_RATE,
        min_speech_duration_ms=round(1000 * SHORTEST_S),
        min_silence_duration_ms=round(1000 * PAUSE_S),
        speech_pad_ms=round(1000 * PAD_S),
        max_speech_duration_s=longest_s,
        audio_length_samples=length,
    )
    return [Span(int(one["start"]), int(one["end"])) for one in found]


@lru_cache(maxsize=1)
def _network() -> Any:
    """Takes half a minute of audio in one call, on one thread."""
    from silero_vad import load_silero_vad

    return load_silero_vad(sequence=True, max_frames=1024)
