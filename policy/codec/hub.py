"""Codecs of transformers behind the codec interface, by hub id or folder."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trivox.platform.errors import ConfigError, CorruptObject
from trivox.policy.codec.families import CODEC_FAMILIES, family_of_codec
from trivox.policy.codec.interface import CodecSpec, CodecStream, drain
from trivox.policy.codec.streaming import ChunkedStream, Samples, Window
from trivox.policy.hub import loading

CONFIG_FILE = "config.json"
KIND = "transformers"
_COPY = "model"


class HubCodec:
    """A codec of transformers, in float32 on the CPU, read through its first `codebooks` codebooks.

    source: the hub id or folder it was loaded from.
    """

    def __init__(
        self, model: Any, source: str, codebooks: int | None = None, licence: str = ""
    ) -> None:
        """Raises ConfigError for a model that is no codec, or for more codebooks than it has."""
        self.model, self.source = model.float().eval().requires_grad_(False), source
        self._family = family_of_codec(model.config)
        sizes = self._family.sizes(model.config)
        chosen = len(sizes) if codebooks is None else codebooks
        if not 1 <= chosen <= len(sizes):
            raise ConfigError(
                f"codec {source} has {len(sizes)} codebooks and {chosen} are asked for"
            )
        rate, hop = self._family.rate(model.config), self._family.hop(model.config)
        self.spec = CodecSpec(model.config.model_type, rate, rate / hop, sizes[:chosen], licence)
        self.weights_hash = _hash_of(model)

    @torch.no_grad()
    def encode(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """float32 [n] at spec.sample_rate -> int32 [ceil(n / samples_per_frame) or 1, codebooks]."""
        hop = self.spec.samples_per_frame
        frames = max(1, -(-len(samples) // hop))
        padded = np.pad(samples, (0, frames * hop - len(samples))).astype(np.float32)
        codes = self._family.encode(self.model, padded, self.spec.codebooks)
        coded: npt.NDArray[np.int32] = codes[:, :frames].T.contiguous().int().numpy()
        return coded

    def decode(self, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """int32 [n_frames, codebooks] -> float32 [n_frames * samples_per_frame], clipped to -1..1."""
        return drain(self.stream(), codes)

    def stream(self) -> CodecStream:
        """Chunks and context of each family are in `trivox.policy.codec.families`."""
        render = self._family.renderer(self.model)

        @torch.no_grad()
        def samples(window: Window) -> Samples:
            codes = torch.from_numpy(window.codes.T.astype(np.int64))
            wave: Samples = render(codes, window.skip, window.count).clamp(-1, 1).numpy()
            return wave

        chunking = self._family.chunking(self.model.config)
        return ChunkedStream(chunking, self.spec.codebooks, samples)

    def save(self, folder: Path, copy: bool = True) -> None:
        """Writes a codec folder: with the weights, or naming the hub id or folder they come from."""
        folder.mkdir(parents=True, exist_ok=True)
        if copy:
            self.model.save_pretrained(folder / _COPY)
        named = {
            "codec": KIND,
            "source": _COPY if copy else self.source,
            "codebooks": self.spec.codebooks,
            "licence": self.spec.licence,
            "weights_hash": self.weights_hash,
        }
        (folder / CONFIG_FILE).write_text(json.dumps(named, indent=2))

    @classmethod
    def load(cls, source: str, codebooks: int | None = None) -> "HubCodec":
        """From a hub id or a transformers folder. Raises NotFound, MissingModel, ConfigError."""
        return cls(_pretrained(source), source, codebooks, _licence(source))

    @classmethod
    def load_folder(cls, folder: Path) -> "HubCodec":
        """From a codec folder that `save` wrote. Raises CorruptObject where the weights are others."""
        named = json.loads((folder / CONFIG_FILE).read_text())
        copied = named["source"] == _COPY
        source = str(folder / _COPY) if copied else named["source"]
        codec = cls(_pretrained(source), source, named["codebooks"], named["licence"])
        if codec.weights_hash != named["weights_hash"]:
            raise CorruptObject(
                f"codec {source}: its weights have sha256 {codec.weights_hash[:12]}, the backbone was made with "
                f"{named['weights_hash'][:12]}: give the weights of that time, or make the backbone anew"
            )
        return codec


def _pretrained(source: str) -> Any:
    from transformers import AutoConfig, AutoModel

    with loading("codec", source, f"it must be one of {', '.join(CODEC_FAMILIES)}"):
        family_of_codec(AutoConfig.from_pretrained(source))
        return AutoModel.from_pretrained(source, dtype=torch.float32)


def _hash_of(model: Any) -> str:
    """sha256 over names, shapes and float32 values of the weights, however they are stored in files."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _licence(source: str) -> str:
    """As the model card's head has it; "" where there is no card at hand."""
    from huggingface_hub import try_to_load_from_cache

    card: Any = Path(source) / "README.md"
    if not Path(source).is_dir():
        card = try_to_load_from_cache(source, "README.md")
    if not isinstance(card, str | Path) or not Path(card).exists():
        return ""
    found = re.search(r"^license:\s*(\S+)", Path(card).read_text(errors="replace"), re.MULTILINE)
    return found[1] if found else ""
