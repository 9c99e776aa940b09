"""What every codec offers, whoever made it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CodecSpec:
    """The constants of a codec that token layouts and durations depend on.

    sample_rate in Hz, of both directions: resampling is the caller's; frame_rate in code frames per second;
    codebook_sizes has one entry per codebook; licence of the weights as their makers name it, "" if they do not.
    """

    name: str
    sample_rate: int
    frame_rate: float
    codebook_sizes: tuple[int, ...]
    licence: str = ""

    @property
    def codebooks(self) -> int:
        return len(self.codebook_sizes)

    @property
    def samples_per_frame(self) -> int:
        return round(self.sample_rate / self.frame_rate)


class CodecStream(Protocol):
    """Decoding of one clip as its codes arrive."""

    def push(self, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """int32 [n, codebooks], n >= 0 -> the samples that have become certain, float32 [m], often none."""
        ...

    def flush(self) -> npt.NDArray[np.float32]:
        """The samples that are left; together all calls give n_frames * samples_per_frame of them."""
        ...


class Codec(Protocol):
    """Waveform to codes and back. Both directions are deterministic for given weights."""

    @property
    def spec(self) -> CodecSpec: ...

    @property
    def weights_hash(self) -> str:
        """sha256 over the weights, hexadecimal."""
        ...

    def encode(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """float32 [n] at spec.sample_rate -> int32 [ceil(n / samples_per_frame) or 1, codebooks]."""
        ...

    def decode(self, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """int32 [n_frames, codebooks] -> float32 [n_frames * samples_per_frame], within -1..1: the drained stream,
        bit for bit."""
        ...

    def stream(self) -> CodecStream:
        """A stream for one clip."""
        ...


def drain(stream: CodecStream, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """All samples of the codes, from a fresh stream."""
    return np.concatenate([stream.push(codes), stream.flush()])
