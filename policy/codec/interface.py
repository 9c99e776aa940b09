"""What every codec offers, whoever made it."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class CodecSpec:
    """The constants of a codec that token layouts and durations depend on.

    sample_rate in Hz; frame_rate in code frames per second; codebook_sizes has one entry per codebook.
    """

    name: str
    sample_rate: int
    frame_rate: float
    codebook_sizes: tuple[int, ...]

    @property
    def codebooks(self) -> int:
        return len(self.codebook_sizes)

    @property
    def samples_per_frame(self) -> int:
        return round(self.sample_rate / self.frame_rate)


class Codec(Protocol):
    """Waveform to codes and back. Both directions are deterministic for given weights."""

    @property
    def spec(self) -> CodecSpec: ...

    @property
    def weights_hash(self) -> str:
        """sha256 over the weights, hexadecimal."""
        ...

    def encode(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """float32 [n] at spec.sample_rate -> int32 [n_frames, codebooks]."""
        ...

    def decode(self, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """int32 [n_frames, codebooks] -> float32 [n_frames * samples_per_frame], within -1..1."""
        ...
