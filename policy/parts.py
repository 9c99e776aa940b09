"""The parts that users bring: a causal LM with its tokenizer, and an audio encoder with its features."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
)

from trivox.platform.errors import ConfigError
from trivox.policy.encoder.nano import NanoEncoderConfig
from trivox.policy.hub import loading
from trivox.policy.modeling.encoders import ENCODER_FAMILIES, family_of
from trivox.policy.processing import NanoFeatureExtractor

EMBEDDINGS_PER_S = 12.5
_FEATURES_PER_S = 100
_WANTED_LM = "give a causal LM with one output head, such as a Llama or a Qwen, and its tokenizer"
_TOWERS = ("audio_tower", "encoder")


@dataclass(frozen=True)
class Hearing:
    """An audio encoder, what makes its features, and how many of its frames make one embedding."""

    encoder: PreTrainedModel
    extractor: Any
    stack: int


def load_tokenizer(source: str) -> Any:
    """Raises as `loading` does, and ConfigError for a tokenizer without a tokenizer.json."""
    with loading("backbone", source, _WANTED_LM):
        tokenizer = AutoTokenizer.from_pretrained(source)
    if not tokenizer.is_fast:
        raise ConfigError(
            f"backbone {source}: its tokenizer has no tokenizer.json: convert it to a fast one"
        )
    return tokenizer


def check_lm(source: str) -> None:
    """Before weights are read: raises as `loading` does, and ConfigError for a model without one output head."""
    with loading("backbone", source, _WANTED_LM):
        config = AutoConfig.from_pretrained(source)
        if config.is_encoder_decoder:
            raise ConfigError(
                f"backbone {source} is a {config.model_type}, an encoder-decoder: {_WANTED_LM}"
            )
        if type(config) not in AutoModelForCausalLM._model_mapping:
            raise ConfigError(
                f"backbone {source} is a {config.model_type}, of which transformers has no causal LM: {_WANTED_LM}"
            )
        with torch.device("meta"):
            check_head(source, AutoModelForCausalLM.from_config(config))


def load_lm(source: str) -> PreTrainedModel:
    """In the dtype of its checkpoint. Raises as `loading` does."""
    with loading("backbone", source, _WANTED_LM):
        return cast(PreTrainedModel, AutoModelForCausalLM.from_pretrained(source, dtype="auto"))


def check_head(source: str, lm: Any) -> None:
    """Raises ConfigError, naming the class, unless the LM has one linear output head over one vocabulary."""
    head, rows = lm.get_output_embeddings(), lm.get_input_embeddings()
    if isinstance(head, nn.Linear) and isinstance(rows, nn.Embedding):
        if head.out_features == rows.num_embeddings:
            return
        found = f"{head.out_features} outputs over {rows.num_embeddings} embeddings"
    else:
        found = f"{type(head).__name__} for outputs and {type(rows).__name__} for embeddings"
    raise ConfigError(
        f"backbone {source} is a {type(lm).__name__} with {found}: models with a head per codebook or a depth "
        f"transformer cannot be trained here: {_WANTED_LM}"
    )


def load_hearing(source: str) -> Hearing:
    """The audio encoder of a whole model (Whisper, Qwen2-Audio, Qwen3-ASR, a Trivox backbone) or one by itself.

    Raises as `loading` does, and ConfigError for a model without an encoder that Trivox can call.
    """
    wanted = f"give one of {', '.join(sorted(ENCODER_FAMILIES))}, with its preprocessor_config.json"
    with loading("encoder", source, wanted):
        encoder = _encoder_of(source)
        family = family_of(encoder.config)
        if isinstance(encoder.config, NanoEncoderConfig):
            extractor: Any = NanoFeatureExtractor()
        else:
            extractor = AutoFeatureExtractor.from_pretrained(source)
    seconds = 10
    frames = family.frames(encoder.config, seconds * _FEATURES_PER_S)
    return Hearing(encoder, extractor, max(1, round(frames / seconds / EMBEDDINGS_PER_S)))


def _encoder_of(source: str) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(source)
    whole = AutoModel.from_pretrained(source, dtype="auto")
    if config.model_type in ENCODER_FAMILIES and config.model_type != "whisper":
        return cast(PreTrainedModel, whole)
    for name in _TOWERS:
        if isinstance(tower := getattr(whole, name, None), PreTrainedModel):
            return tower
    raise ConfigError(
        f"encoder {source} is a {config.model_type}, which has no audio encoder that Trivox can call: use one of "
        f"{', '.join(sorted(ENCODER_FAMILIES))}"
    )
