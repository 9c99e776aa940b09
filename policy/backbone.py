"""The shared model as it lies on disk: a transformers causal LM, its token map, and a codec beside it."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForCausalLM, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.hashing import content_hash, sha256_file, sha256_files
from trivox.platform.store.artefacts import bring
from trivox.policy.codec import Codec, codec_folder_hash, load_codec
from trivox.policy.codec.layouts import FLAT, check_sequential
from trivox.policy.encoder.nano import NanoEncoderConfig
from trivox.policy.modeling import TrivoxConfig, TrivoxForCausalLM, default_dtype, embeddings_for
from trivox.policy.mtp.blocks import MTPBlocks
from trivox.policy.processing import NanoFeatureExtractor, features_of
from trivox.policy.vocabulary import TOKEN_MAP_FILE, TokenMap

WEIGHTS_FILE = "model.safetensors"
SHARDS_FILE = f"{WEIGHTS_FILE}.index.json"
CODEC_FOLDER = "codec"
PACKAGED = "package:"
_NEEDED = (
    "config.json",
    "tokenizer.json",
    TOKEN_MAP_FILE,
    f"{CODEC_FOLDER}/config.json",
)
_EXTRACTOR_FILES = ("preprocessor_config.json", "processor_config.json")
_CHECKPOINTS = Path(__file__).parent / "checkpoints"
_SMALL = 50_000_000
"""Parameters; below it a second thread spends its time waiting for the first."""
_THREADS = torch.get_num_threads()


@dataclass
class Backbone:
    """Weights in memory. lm is in eval mode, on the GPU in bfloat16 if there is one and else in float32. It has no
    dropout in training mode either: policy updates compare log-probs with those of sampling. Loading sets the
    threads of the process: one for a model below 50 M parameters, else torch's default. mtp: blocks of multi-token
    prediction, where the folder has them.

    feature_extractor: of transformers' kind, None where the backbone does not hear.
    """

    folder: Path
    lm: PreTrainedModel
    tokens: TokenMap
    codec: Codec
    tokenizer_hash: str
    feature_extractor: Any = None
    mtp: MTPBlocks | None = None

    @classmethod
    def load(cls, folder: Path, encoder: bool = True) -> "Backbone":
        """A folder of a plain causal LM, which does not hear, or of a TrivoxForCausalLM; encoder=False leaves out
        the encoder and adapter of the latter, which tts does not need.

        Raises NotFound, naming the missing file; ConfigError for an LM and a token map that do not fit together;
        UnsupportedLayout; MissingModel for a codec that is named by its hub id and cannot be had.
        """
        _check_files(folder)
        # transformers draws a bar for each load; Trivox draws its own where the wait is worth one.
        disable_progress_bar()
        lm = _load_lm(folder, encoder)
        torch.set_num_threads(1 if lm.num_parameters() < _SMALL else _THREADS)
        tokens = TokenMap.load(folder)
        _check_fit(folder, lm, tokens)
        return cls(
            folder,
            lm,
            tokens,
            load_codec(folder / CODEC_FOLDER),
            sha256_files([folder / TOKEN_MAP_FILE, folder / "tokenizer.json"]),
            _load_extractor(folder, lm),
            MTPBlocks.load(folder, lm),
        )

    @property
    def position_limit(self) -> int:
        return int(self.lm.config.get_text_config().max_position_embeddings)

    @property
    def hears(self) -> bool:
        return self.feature_extractor is not None

    @property
    def hearing_rate(self) -> int:
        """Hz of the audio that `features` takes. Raises ConfigError for a backbone that does not hear."""
        return int(self._extractor.sampling_rate)

    def features(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """float32 [n] at hearing_rate -> float32 [T, F] for `Row` and `Request`; raises as `features_of`."""
        return features_of(self._extractor, samples)

    def embeddings(self, features: npt.NDArray[np.float32]) -> int:
        """Placeholders that these features take in a prompt; raises as `embeddings_for`."""
        return embeddings_for(self.lm.config, len(features))

    @property
    def _extractor(self) -> Any:
        if self.feature_extractor is None:
            raise ConfigError(
                f"backbone {self.folder} does not hear: load it with its encoder, or use one that has an encoder"
            )
        return self.feature_extractor


def weight_files(folder: Path) -> list[Path]:
    """The safetensors of a model folder, one or as many as its index names; raises NotFound for a missing one."""
    if not (folder / SHARDS_FILE).exists():
        names = [WEIGHTS_FILE]
    else:
        index = json.loads((folder / SHARDS_FILE).read_text())
        names = sorted(set(index["weight_map"].values()))
    for name in names:
        if not (folder / name).exists():
            raise NotFound(f"backbone {folder}: {name} is missing: give a folder that has it")
    return [folder / name for name in names]


def _check_files(folder: Path) -> None:
    weight_files(folder)
    for needed in _NEEDED:
        if not (folder / needed).exists():
            raise NotFound(f"backbone {folder}: {needed} is missing: give a folder that has it")
    codec_folder_hash(folder / CODEC_FOLDER)


def _load_lm(folder: Path, encoder: bool) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder)
    if isinstance(config, TrivoxConfig):
        lm: PreTrainedModel = TrivoxForCausalLM.from_pretrained(
            folder, encoder=encoder, dtype=default_dtype()
        )
    else:
        lm = cast(
            PreTrainedModel, AutoModelForCausalLM.from_pretrained(folder, dtype=default_dtype())
        )
    _turn_off_dropout(lm)
    if torch.cuda.is_available():
        torch.nn.Module.to(lm, "cuda")  # transformers wraps its own without types
    lm.eval()
    return lm


def _check_fit(folder: Path, lm: PreTrainedModel, tokens: TokenMap) -> None:
    rows = int(lm.config.get_text_config().vocab_size)
    if rows != tokens.vocab_size:
        raise ConfigError(
            f"backbone {folder}: its model has {rows} tokens and its token map {tokens.vocab_size}: "
            "write the token map for this model"
        )
    check_sequential(tokens.layout)
    if tokens.carries == "words" and tokens.layout != FLAT:
        raise ConfigError(
            f"backbone {folder}: its token map has speech word by word in the layout {tokens.layout!r}: only "
            f"{FLAT!r} can be cut between words: write carries = none"
        )
    placeholder = getattr(lm.config, "audio_token_id", tokens.audio)
    if placeholder != tokens.audio:
        raise ConfigError(
            f"backbone {folder}: its model takes token {placeholder} for audio and its token map "
            f"{tokens.audio}: write audio_token_id {tokens.audio} into config.json"
        )


def _load_extractor(folder: Path, lm: PreTrainedModel) -> Any:
    """Raises NotFound for an encoder of another kind than nano's without the settings of its features."""
    encoder = getattr(lm.config, "encoder_config", None)
    if encoder is None:
        return None
    if any((folder / name).exists() for name in _EXTRACTOR_FILES):
        return AutoFeatureExtractor.from_pretrained(folder)
    if isinstance(encoder, NanoEncoderConfig):
        return NanoFeatureExtractor()
    raise NotFound(
        f"backbone {folder}: {_EXTRACTOR_FILES[0]} is missing: save the feature extractor of its "
        f"{encoder.model_type} encoder there"
    )


def locate(artefact: str, root: Path) -> Path:
    """The folder of an artefact: `package:NAME` ships with Trivox, anything else lies under root or is fetched
    from where the workspace at root keeps artefacts: then raises NotFound, CorruptObject."""
    if artefact.startswith(PACKAGED):
        return _CHECKPOINTS / artefact.removeprefix(PACKAGED)
    return bring(root, artefact)


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
    codec = codec_folder_hash(folder / CODEC_FOLDER)
    return content_hash([*map(sha256_file, weight_files(folder)), codec])
