"""Clips as a browser gets them: plain WAV, whole or by range."""

import io
import re
import wave
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from trivox.annotation.work.shapes import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=([0-9]{0,12})-([0-9]{0,12})")


class Slice(NamedTuple):
    """Bytes first..last, both included."""

    first: int
    last: int


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
