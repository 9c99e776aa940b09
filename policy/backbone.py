"""The shared model as it lies on disk: a transformers causal LM, its token map, and a codec beside it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from trivox.platform.errors import NotFound
from trivox.platform.hashing import content_hash, sha256_file, sha256_files
from trivox.policy.codec import Codec, NanoCodec
from trivox.policy.vocabulary import TOKEN_MAP_FILE, TokenMap

WEIGHTS_FILE = "model.safetensors"
CODEC_FOLDER = "codec"
PACKAGED = "package:"
_NEEDED = (
    WEIGHTS_FILE,
    "config.json",
    "tokenizer.json",
    TOKEN_MAP_FILE,
    f"{CODEC_FOLDER}/{WEIGHTS_FILE}",
    f"{CODEC_FOLDER}/config.json",
)
_CHECKPOINTS = Path(__file__).parent / "checkpoints"


@dataclass
class Backbone:
    """Weights in memory. lm is in eval mode and float32; one thread per process is set on loading."""

    folder: Path
    lm: PreTrainedModel
    tokens: TokenMap
    codec: Codec
    tokenizer_hash: str

    @classmethod
    def load(cls, folder: Path) -> "Backbone":
        """Raises NotFound, naming the missing file."""
        for needed in _NEEDED:
            if not (folder / needed).exists():
                raise NotFound(f"backbone {folder}: {needed} is missing: give a folder that has it")
        # Small matrices: a second thread spends its time waiting for the first.
        torch.set_num_threads(1)
        # transformers draws a bar for each load; Trivox draws its own where the wait is worth one.
        disable_progress_bar()
        lm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return cls(
            folder,
            lm.eval(),
            TokenMap.load(folder),
            NanoCodec.load(folder / CODEC_FOLDER),
            sha256_files([folder / TOKEN_MAP_FILE, folder / "tokenizer.json"]),
        )

    @property
    def position_limit(self) -> int:
        return int(self.lm.config.max_position_embeddings)


def locate(artefact: str, root: Path) -> Path:
    """The folder of an artefact: `package:NAME` ships with Trivox, anything else lies under root."""
    if artefact.startswith(PACKAGED):
        return _CHECKPOINTS / artefact.removeprefix(PACKAGED)
    return root / artefact


def backbone_hash(folder: Path) -> str:
    """sha256 over the weights of language model and codec."""
    return content_hash(
        [sha256_file(path / WEIGHTS_FILE) for path in (folder, folder / CODEC_FOLDER)]
    )
