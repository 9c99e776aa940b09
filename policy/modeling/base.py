"""The base model: frozen audio encoder, linear adapter, language model without its head."""

from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPast

from trivox.platform.errors import ConfigError
from trivox.policy.modeling.config import TrivoxConfig, embeddings_for
from trivox.policy.modeling.encoders import family_of
from trivox.policy.modeling.merging import clip_lengths, clips_of_rows, stack_frames


class TrivoxPreTrainedModel(PreTrainedModel):
    config: TrivoxConfig
    config_class = TrivoxConfig
    base_model_prefix = "model"
    input_modalities = ["audio", "text"]
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _skip_keys_device_placement = ["past_key_values"]

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]  # untyped in transformers
        if isinstance(module, Adapter):
            # Encoder frames are layer-normalised: so embeddings of audio begin as large as those of tokens.
            init.normal_(module.weight, std=self._text_std / module.in_features**0.5)

    @property
    def _text_std(self) -> float:
        return float(getattr(self.config.get_text_config(), "initializer_range", 0.02))


class Adapter(nn.Linear):
    """Stacked encoder frames -> one embedding; a class of its own for `_init_weights`."""


class TrivoxModel(TrivoxPreTrainedModel):
    """Encoder, adapter and the language model without its head. Audio is merged here, in the base model, since
    trainers with a fused head call this and never the forward of TrivoxForCausalLM."""

    def __init__(self, config: TrivoxConfig) -> None:
        super().__init__(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.encoder: PreTrainedModel | None = None
        self.adapter: Adapter | None = None
        if config.encoder_config is not None:
            family = family_of(config.encoder_config)
            self.encoder = family.build(config.encoder_config)
            stacked = family.width(config.encoder_config) * config.adapter_stack
            self.adapter = Adapter(stacked, config.hidden_size)
        self.post_init()  # type: ignore[no-untyped-call]  # untyped in transformers
        self._freeze_encoder()

    def _freeze_encoder(self) -> None:
        if self.encoder is not None:
            self.encoder.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self._freeze_encoder()
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        super().requires_grad_(requires_grad)
        self._freeze_encoder()
        return self

    def get_input_embeddings(self) -> nn.Module:
        return cast(nn.Module, self.language_model.get_input_embeddings())

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def hear(self, input_features: Tensor, feature_mask: Tensor | None = None) -> list[Tensor]:
        """Clips float [A, T, F] with 1 for real frames, first of all, [A, T] -> per clip its embeddings [n, H].

        Raises BrokenAudio for a clip without frames or longer than the encoder hears, ConfigError for features
        of another width than the encoder's and for a backbone without encoder.
        """
        lengths = clip_lengths(input_features, feature_mask)
        counts = [embeddings_for(self.config, length) for length in lengths.tolist()]
        assert (
            self.encoder is not None and self.adapter is not None
        )  # embeddings_for refuses otherwise
        family = family_of(self.config.encoder_config)
        if input_features.shape[-1] != family.bins(self.config.encoder_config):
            raise ConfigError(
                f"clips have {input_features.shape[-1]} bins a frame and the encoder reads "
                f"{family.bins(self.config.encoder_config)}: make them with this backbone's feature extractor"
            )
        with torch.no_grad():
            frames = family.run(self.encoder, input_features.to(self.encoder.dtype), lengths)
        frame_counts = [family.frames(self.config.encoder_config, n) for n in lengths.tolist()]
        stacked = stack_frames(frames, frame_counts, self.config.adapter_stack)
        embedded = self.adapter(stacked.to(self.adapter.weight.dtype))
        return [clip[:count] for clip, count in zip(embedded, counts, strict=True)]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        input_features: Tensor | None = None,
        feature_mask: Tensor | None = None,
        use_cache: bool | None = None,
        **rest: Any,
    ) -> BaseModelOutputWithPast:
        """input_ids [B, L] with a placeholder per embedding; input_features float [A, T, F]: all clips of the
        batch, row after row; feature_mask [A, T]: 1 for real frames, which come first in a clip.

        Raises ConfigError for placeholders that are not as many as the embeddings of the audio, else as `hear`.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ConfigError("neither input_ids nor inputs_embeds is given: give one of them")
            begins = past_key_values is None or past_key_values.get_seq_length() == 0
            inputs_embeds = self.get_input_embeddings()(input_ids)
            if begins or input_features is not None:
                inputs_embeds = self.merged(input_ids, inputs_embeds, input_features, feature_mask)
        elif input_features is not None:
            raise ConfigError(
                "inputs_embeds and input_features are given: give input_ids with the features"
            )
        outputs: BaseModelOutputWithPast = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **rest,
        )
        return outputs

    def merged(
        self, ids: Tensor, embedded: Tensor, features: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Embeddings [B, L, H] with those of the audio in the place of the placeholders."""
        places = ids == self.config.audio_token_id
        if features is None or len(features) == 0:
            self._check_none(int(places.sum()))
            return embedded
        clips = self.hear(features.to(embedded.device), mask)
        clips_of_rows(places.sum(1).tolist(), [len(clip) for clip in clips])
        return embedded.masked_scatter(places[..., None], torch.cat(clips).to(embedded))

    def _check_none(self, placeholders: int) -> None:
        if placeholders:
            way_out = (
                "give its features" if self.encoder is not None else "load it with its encoder"
            )
            raise ConfigError(
                f"the prompts have {placeholders} audio placeholders and audio for 0 is given: {way_out}"
            )


AutoModel.register(TrivoxConfig, TrivoxModel)
