"""Samples on their way in and out: 16-bit PCM and a rate that changes without a seam."""

import numpy as np
import numpy.typing as npt
import soxr

from trivox.platform.errors import BrokenAudio

Samples = npt.NDArray[np.float32]
_FULL_SCALE = 32768


def from_pcm16(data: bytes) -> Samples:
    """Little-endian 16-bit PCM, mono -> float32 [n]; raises BrokenAudio for half a sample."""
    if len(data) % 2:
        raise BrokenAudio(f"{len(data)} bytes of 16-bit PCM: samples have 2 bytes, send whole ones")
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(_FULL_SCALE)


def to_pcm16(samples: Samples) -> bytes:
    """float32 [n] -> little-endian 16-bit PCM; what exceeds full scale is clipped."""
    scaled = np.rint(samples.astype(np.float64) * _FULL_SCALE)
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes()


class RateChange:
    """`resample` of one stream as it comes (soxr, high quality)."""

    def __init__(self, rate: int, target: int) -> None:
        same = rate == target
        self._stream = None if same else soxr.ResampleStream(rate, target, 1, "float32", "HQ")

    def push(self, samples: Samples, last: bool = False) -> Samples:
        """float32 [n] at rate -> [m] at target; last: nothing follows, and what is held back comes too."""
        if self._stream is None:
            return samples
        changed: Samples = self._stream.resample_chunk(np.ascontiguousarray(samples), last)
        return changed
