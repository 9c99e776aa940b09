"""The shared model as it lies on disk: a transformers causal LM, its token map, and a codec beside it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
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
    """Weights in memory. lm is in eval mode and float32, and has no dropout in training mode either: policy
    updates compare log-probs with those of sampling. One thread per process is set on loading."""

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
        _turn_off_dropout(lm)
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


def _turn_off_dropout(model: PreTrainedModel) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        # Attention modules keep theirs as a number, which trl's own disable_dropout does not find.
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0  # type: ignore[assignment]  # torch types attributes as modules


@contextmanager
def without_renaming_notices() -> Iterator[None]:
    """peft and trl still ask transformers by a name that transformers is giving up: nothing a user can act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


def backbone_hash(folder: Path) -> str:
    """sha256 over the weights of language model and codec."""
    return content_hash(
        [sha256_file(path / WEIGHTS_FILE) for path in (folder, folder / CODEC_FOLDER)]
    )
