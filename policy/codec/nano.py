"""The nano codec: two residual codebooks of 512 entries at 25 Hz, decoded by a source-filter vocoder."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trivox.platform.hashing import sha256_file
from trivox.policy.codec.features import (
    FEATURES,
    FRAME_RATE,
    SAMPLE_RATE,
    SAMPLES_PER_FRAME,
    features,
)
from trivox.policy.codec.interface import CodecSpec, drain
from trivox.policy.codec.nano_stream import NanoStream, Noise
from trivox.policy.codec.rvq import ResidualVQ
from trivox.policy.codec.vocoder import SourceFilterVocoder

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
_NOISE_SEED = 20250


class NanoCodec(nn.Module):
    """Speech at 16 kHz <-> int32 codes [n_frames, 2] at 25 Hz."""

    def __init__(
        self, codebooks: int = 2, size: int = 512, width: int = 160, weights_hash: str = ""
    ) -> None:
        super().__init__()
        self.quantiser = ResidualVQ(codebooks, size, FEATURES)
        self.vocoder = SourceFilterVocoder(width)
        self.weights_hash = weights_hash
        self._config = {"codebooks": codebooks, "size": size, "width": width}
        self.spec = CodecSpec("nano", SAMPLE_RATE, FRAME_RATE, (size,) * codebooks)

    @torch.no_grad()
    def encode(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """float32 [n] at 16 kHz -> int32 [ceil(n / 640), 2]; an empty input gives one frame of silence."""
        codes: npt.NDArray[np.int32] = (
            self.quantiser.encode(torch.from_numpy(features(samples))).int().numpy()
        )
        return codes

    def decode(self, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """int32 [n_frames, 2] -> float32 [n_frames * 640], clipped to -1..1; the same codes, the same samples."""
        return drain(self.stream(), codes)

    def stream(self) -> NanoStream:
        """The first samples come once 17 frames (0.68 s) are there, then in chunks that grow to ten frames."""
        return NanoStream(self.quantiser, self.vocoder, Noise(_NOISE_SEED))

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors into folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG_FILE).write_text(json.dumps({"codec": "nano", **self._config}, indent=2))
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, folder / WEIGHTS_FILE)

    @classmethod
    def load(cls, folder: Path) -> "NanoCodec":
        config = json.loads((folder / CONFIG_FILE).read_text())
        config.pop("codec")
        codec = cls(**config, weights_hash=sha256_file(folder / WEIGHTS_FILE))
        codec.load_state_dict(load_file(folder / WEIGHTS_FILE))
        return codec.eval()


def fixed_noise(frames: int) -> Tensor:
    """Uniform noise in -1..1, float32 [640 * frames]; a longer one begins with a shorter one."""
    generator = torch.Generator().manual_seed(_NOISE_SEED)
    return torch.rand(frames * SAMPLES_PER_FRAME, generator=generator) * 2 - 1
