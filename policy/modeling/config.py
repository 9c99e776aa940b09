"""What a Trivox backbone is made of: the configuration of its language model, its encoder and what joins them."""

from typing import Any, ClassVar

import torch
from transformers import AutoConfig, PretrainedConfig
from transformers.configuration_utils import SubConfigSpec

from trivox.platform.errors import BrokenAudio, ConfigError
from trivox.policy.encoder.nano import NanoEncoderConfig
from trivox.policy.modeling.encoders import family_of
from trivox.policy.vocabulary import SPECIALS


class TrivoxConfig(PretrainedConfig):
    """text_config: of any causal LM that transformers knows, over text and audio tokens.

    encoder_config: of an audio encoder (`ENCODER_FAMILIES`), None for a backbone that does not hear.
    adapter_stack: encoder frames side by side in one embedding; audio_token_id: the placeholder of one embedding.
    """

    model_type = "trivox"
    # trl asks every config for it; without a class attribute its own model loading fails.
    auto_map: ClassVar[dict[str, str]] = {}
    sub_configs_defaults = {
        "text_config": SubConfigSpec(AutoConfig, model_type="llama"),
        "encoder_config": SubConfigSpec(
            AutoConfig, model_type=NanoEncoderConfig.model_type, optional=True
        ),
    }

    text_config: Any = None
    encoder_config: Any = None
    adapter_stack: int = 2
    audio_token_id: int = SPECIALS.index("<|audio|>")
    tie_word_embeddings: bool = False
    pad_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    bos_token_id: int | None = None

    def __post_init__(self, **rest: Any) -> None:
        """Raises ConfigError for an encoder of an unknown kind and for a stack below 1."""
        super().__post_init__(**rest)  # type: ignore[no-untyped-call]  # untyped in transformers
        if self.adapter_stack < 1:
            raise ConfigError(f"adapter_stack is {self.adapter_stack}: stack at least 1 frame")
        if self.encoder_config is not None:
            family_of(self.encoder_config)
        text = self.get_text_config()
        self.tie_word_embeddings = bool(text.tie_word_embeddings)
        for name in ("pad_token_id", "eos_token_id", "bos_token_id"):
            if getattr(self, name) is None:
                setattr(self, name, getattr(text, name, None))

    @property
    def vocab_size(self) -> int:
        return int(self.get_text_config().vocab_size)

    @property
    def hidden_size(self) -> int:
        return int(self.get_text_config().hidden_size)

    @property
    def num_hidden_layers(self) -> int:
        return int(self.get_text_config().num_hidden_layers)

    @property
    def max_position_embeddings(self) -> int:
        return int(self.get_text_config().max_position_embeddings)


def embeddings_for(config: PretrainedConfig, feature_frames: int) -> int:
    """Placeholders that a clip of so many feature frames takes: its encoder frames by adapter_stack, rounded up.

    Raises BrokenAudio for no frames or more than the encoder hears, ConfigError for a backbone without encoder.
    """
    encoder = getattr(config, "encoder_config", None)
    if encoder is None:
        raise ConfigError(
            "this backbone has no audio encoder: load it with encoder=True, or give it a prompt without audio"
        )
    if feature_frames < 1:
        raise BrokenAudio(f"a clip has {feature_frames} feature frames: give at least 1")
    family = family_of(encoder)
    longest = family.longest(encoder)
    if longest is not None and feature_frames > longest:
        raise BrokenAudio(
            f"a clip has {feature_frames} feature frames and encoder {encoder.model_type} "
            f"hears {longest} at most: cut it in parts"
        )
    return -(-family.frames(encoder, feature_frames) // int(config.adapter_stack))


def default_dtype() -> torch.dtype:
    """bfloat16 where there is a GPU, float32 on a CPU."""
    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


AutoConfig.register(TrivoxConfig.model_type, TrivoxConfig)
