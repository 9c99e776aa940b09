"""Clips as a browser gets them: plain WAV under an opaque key, and how much of each was fetched."""

import io
import re
import secrets
import wave
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from trivox.annotation.work.shapes import RangeNotSatisfiable

__all__ = ["Clip", "RangeNotSatisfiable", "Slice", "byte_range", "to_wav"]

_RANGE = re.compile(r"bytes=([0-9]{0,12})-([0-9]{0,12})")


class Slice(NamedTuple):
    """Bytes first..last, both included."""

    first: int
    last: int


@dataclass
class Clip:
    """One side of a view. item is never sent; a WAV made anew from the samples tells nothing but the sound."""

    item: str
    wav: bytes
    duration_s: float
    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    _fetched: list[Slice] = field(default_factory=list)

    @classmethod
    def of(cls, item: str, samples: npt.NDArray[Any], rate: int) -> Self:
        """samples: float [n] or [n, channels], full scale 1.0."""
        return cls(item, to_wav(samples, rate), len(samples) / rate)

    def fetch(self, range_header: str | None) -> tuple[Slice, bytes]:
        """The bytes asked for, noted as fetched; the whole clip without a range, or with one of another form.

        Raises RangeNotSatisfiable.
        """
        wanted = byte_range(range_header, len(self.wav))
        self._fetched.append(wanted)
        return wanted, self.wav[wanted.first : wanted.last + 1]

    @property
    def fetched(self) -> bool:
        """Whether every byte was sent."""
        reached = 0
        for first, last in sorted(self._fetched):
            if first > reached:
                return False
            reached = max(reached, last + 1)
        return reached >= len(self.wav)


def byte_range(header: str | None, size: int) -> Slice:
    """The bytes of `size` that a Range header asks for; all of them without one, or for one of another form.

    Raises RangeNotSatisfiable.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return Slice(0, size - 1)
    first, last = match.groups()
    if not first:
        wanted = Slice(max(0, size - int(last)), size - 1)
    else:
        wanted = Slice(int(first), min(int(last), size - 1) if last else size - 1)
    if wanted.first > wanted.last:
        raise RangeNotSatisfiable(f"{header} is outside the clip's {size} bytes")
    return wanted


def to_wav(samples: npt.NDArray[Any], rate: int) -> bytes:
    """16-bit WAV of float samples [n] or [n, channels], full scale 1.0."""
    columns = samples[:, None] if samples.ndim == 1 else samples
    pcm = np.clip(np.rint(columns.astype(np.float64) * 32768), -32768, 32767).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(columns.shape[1])
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm.tobytes())
    return file.getvalue()
