"""Recordings of any length: cut where nobody speaks, heard piece by piece, put together with their times."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from trivox.platform.audio.io import resample, to_mono
from trivox.platform.errors import BrokenAudio
from trivox.policy.hearing.vad import VAD_RATE, Span, speech_spans

Samples = npt.NDArray[np.float32]
BATCH = 16
"""Pieces that are heard at once: what bounds memory, however long the recording is."""


class Heard(Protocol):
    """What was heard in one piece."""

    @property
    def text(self) -> str: ...


T = TypeVar("T", bound=Heard)


class Hearer(Protocol):
    """What `ResidentPolicy.using` answers with, as far as it is needed here."""

    @property
    def longest_s(self) -> float: ...

    @property
    def hearing_rate(self) -> int:
        """Hz of the waves that transcribe takes."""
        ...

    def transcribe(self, waves: Sequence[Samples]) -> Sequence[Heard]: ...


@dataclass(frozen=True)
class HeardSegment(Generic[T]):
    """A piece of a recording, in seconds from its start, and what was heard in it."""

    start_s: float
    end_s: float
    heard: T

    @property
    def text(self) -> str:
        return self.heard.text


@dataclass(frozen=True)
class LongTranscript(Generic[T]):
    """segments in order, without overlap; none where nobody speaks. duration_s: of the whole recording."""

    segments: tuple[HeardSegment[T], ...]
    duration_s: float

    @property
    def has_speech(self) -> bool:
        """False where no speech was found, which is another thing than speech that was not understood."""
        return bool(self.segments)

    @property
    def text(self) -> str:
        return " ".join(segment.text for segment in self.segments if segment.text)


def transcribe_long(
    speaker: Hearer, samples: Samples, rate: int, longest_s: float | None = None
) -> LongTranscript[Heard]:
    """The text of float32 [n] or [n, channels] at rate Hz, of any length; channels are mixed.

    Pieces are at most longest_s, by default as long as the policy hears. Silence, noise and a recording of no
    samples give a transcript without segments. Raises BrokenAudio for samples that are not finite, of another
    shape, or a rate below 1.
    """
    return heard_by_pieces(speaker, speaker.transcribe, samples, rate, longest_s)


def heard_by_pieces(
    speaker: Hearer,
    hear: Callable[[Sequence[Samples]], Sequence[T]],
    samples: Samples,
    rate: int,
    longest_s: float | None = None,
) -> LongTranscript[T]:
    """transcribe_long with another way to hear waves at the speaker's rate, BATCH of them at a time."""
    wave = checked(samples, rate)
    limit = min(speaker.longest_s, longest_s or speaker.longest_s)
    spans = spans_in(wave, rate, limit)
    segments: list[HeardSegment[T]] = []
    for begin in range(0, len(spans), BATCH):
        some = spans[begin : begin + BATCH]
        heard = hear(list(pieces(wave, rate, some, speaker.hearing_rate)))
        segments += [
            HeardSegment(span.start_s, span.end_s, one)
            for span, one in zip(some, heard, strict=True)
        ]
    return LongTranscript(tuple(segments), len(wave) / rate)


def checked(samples: Samples, rate: int) -> Samples:
    """Mono float32 [n]; raises BrokenAudio as transcribe_long does."""
    if samples.ndim not in (1, 2) or rate < 1:
        raise BrokenAudio(
            f"audio of shape {samples.shape} at {rate} Hz: give [n] or [n, channels] and a rate above 0"
        )
    if not np.isfinite(samples).all():
        raise BrokenAudio(
            "audio with samples that are NaN or infinite: export it again as 16-bit PCM"
        )
    return to_mono(np.asarray(samples, np.float32))


def spans_in(wave: Samples, rate: int, longest_s: float) -> list[Span]:
    """Where mono float32 [n] at rate Hz has speech."""
    return speech_spans(resample(wave, rate, VAD_RATE), longest_s) if len(wave) else []


def pieces(wave: Samples, rate: int, spans: Sequence[Span], target: int) -> Iterator[Samples]:
    """The waves of the spans, resampled to target Hz one by one."""
    for span in spans:
        first, last = (round(sample * rate / VAD_RATE) for sample in (span.first, span.last))
        yield resample(wave[first:last], rate, target)
