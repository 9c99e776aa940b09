"""The shared backbone as a transformers model: frozen audio encoder, linear adapter, causal LM."""

from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from trivox.platform.errors import ConfigError
from trivox.policy.modeling.config import TrivoxConfig, embeddings_for
from trivox.policy.modeling.encoders import family_of, real_frames

_SHAPED_LOGITS = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class _TrivoxPreTrainedModel(PreTrainedModel):
    config_class = TrivoxConfig
    base_model_prefix = "model"
    input_modalities = ("audio", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _skip_keys_device_placement = ["past_key_values"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, Adapter):
            # Encoder frames are layer-normalised: so embeddings of audio begin as large as those of tokens.
            nn.init.normal_(module.weight, std=self._text_std / module.in_features**0.5)

    @property
    def _text_std(self) -> float:
        return float(getattr(self.config.get_text_config(), "initializer_range", 0.02))


class Adapter(nn.Linear):
    """Stacked encoder frames -> one embedding; a class of its own for `_init_weights`."""


class TrivoxModel(_TrivoxPreTrainedModel):
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
        self.post_init()
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
        lengths = _lengths(input_features, feature_mask)
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
        stacked = _stack(frames, frame_counts, self.config.adapter_stack)
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
            inputs_embeds = self.get_input_embeddings()(input_ids)
            if past_key_values is None or past_key_values.get_seq_length() == 0:
                inputs_embeds = self._merged(input_ids, inputs_embeds, input_features, feature_mask)
        outputs: BaseModelOutputWithPast = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **rest,
        )
        return outputs

    def _merged(
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


class TrivoxForCausalLM(_TrivoxPreTrainedModel, GenerationMixin):
    """TrivoxModel with the one output head over text and audio tokens."""

    def __init__(self, config: TrivoxConfig) -> None:
        """Raises ConfigError for a language model that does more to its logits than one matrix product."""
        super().__init__(config)
        text = config.get_text_config()
        for name in _SHAPED_LOGITS:
            if getattr(text, name, None) not in (None, 1, 1.0):
                raise ConfigError(
                    f"language model {text.model_type} has {name} {getattr(text, name)}, which a shared head "
                    "cannot keep: use a model with plain logits"
                )
        self.model = TrivoxModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self._tied_weights_keys = {"lm_head.weight": _embedding_name(self.model)}
        self.post_init()

    @classmethod
    def from_pretrained(  # type: ignore[override]  # one argument more, the rest as transformers has it
        cls, folder: str | Path, *args: Any, encoder: bool = True, **kwargs: Any
    ) -> "TrivoxForCausalLM":
        """As transformers does; encoder=False leaves out encoder and adapter, which the tts branch does not need:
        `hears` is then False and audio in a prompt a ConfigError."""
        if not encoder:
            config = kwargs.pop("config", None) or TrivoxConfig.from_pretrained(folder)
            config.encoder_config = None
            kwargs["config"] = config
        loaded: TrivoxForCausalLM = super().from_pretrained(folder, *args, **kwargs)
        return loaded

    # What encoder=False leaves out.
    _keys_to_ignore_on_load_unexpected = [r"^model\.(encoder|adapter)\."]

    @classmethod
    def compose(
        cls,
        lm: PreTrainedModel,
        encoder: PreTrainedModel | None,
        audio_token_id: int,
        adapter_stack: int = 2,
    ) -> "TrivoxForCausalLM":
        """A backbone around the weights of a causal LM and an encoder; the adapter is random, its embeddings as
        large as those of the LM's tokens.

        Raises ConfigError for an LM whose head has a bias or scales its logits, or an encoder of unknown kind.
        """
        head = lm.get_output_embeddings()
        if getattr(head, "bias", None) is not None:
            raise ConfigError(
                f"language model {lm.config.model_type}: its head has a bias: use one without"
            )
        config = TrivoxConfig(
            text_config=lm.config,
            encoder_config=None if encoder is None else encoder.config,
            adapter_stack=adapter_stack,
            audio_token_id=audio_token_id,
        )
        made = cls(config).to(lm.dtype)
        made.model.language_model.load_state_dict(lm.base_model.state_dict())
        made.lm_head.load_state_dict(head.state_dict())
        if encoder is not None:
            made.take_encoder(encoder)
            made._scale_adapter()
        return made

    def take_encoder(self, encoder: PreTrainedModel) -> None:
        """Copy the weights of an encoder of the same configuration."""
        if self.model.encoder is None:
            raise ConfigError("this backbone has no audio encoder: make one with an encoder_config")
        self.model.encoder.load_state_dict(encoder.state_dict())

    @torch.no_grad()
    def _scale_adapter(self) -> None:
        assert self.model.adapter is not None
        weight = self.model.adapter.weight
        wanted = self.get_input_embeddings().weight.float().std() / weight.shape[1] ** 0.5
        weight.mul_(wanted / weight.float().std())

    @property
    def hears(self) -> bool:
        return self.model.encoder is not None

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.lm_head = cast(nn.Linear, new_embeddings)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        input_features: Tensor | None = None,
        feature_mask: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **rest: Any,
    ) -> CausalLMOutputWithPast:
        """As TrivoxModel; labels [B, L]: ids to predict, each from the position before it, -100 for none."""
        rest.pop("return_dict", None)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            input_features=input_features,
            feature_mask=feature_mask,
            use_cache=use_cache,
            **{name: value for name, value in rest.items() if name not in _OF_THE_LOSS},
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept])
        loss = None
        if labels is not None or rest.get("shift_labels") is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **rest
            )
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


_OF_THE_LOSS = ("num_items_in_batch", "shift_labels")


def clips_of_rows(placeholders: list[int], embeddings: list[int]) -> list[int]:
    """How many clips each row holds: placeholders of each row, embeddings of each clip, both in order.

    Raises ConfigError for a row whose placeholders do not end where a clip ends, and for clips left over.
    """
    clips, taken = [], 0
    for row, wanted in enumerate(placeholders):
        first, found = taken, 0
        while found < wanted and taken < len(embeddings):
            found += embeddings[taken]
            taken += 1
        if found != wanted:
            raise ConfigError(
                f"row {row} has {wanted} audio placeholders and its clips make {found} embeddings "
                f"({' + '.join(map(str, embeddings[first:taken])) or 'no clip is left'}): write one "
                "placeholder for each embedding"
            )
        clips.append(taken - first)
    if taken < len(embeddings):
        raise ConfigError(
            f"the rows have {sum(placeholders)} audio placeholders and the {len(embeddings)} clips make "
            f"{sum(embeddings)} embeddings: write one placeholder for each embedding"
        )
    return clips


def _lengths(features: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return torch.full((len(features),), features.shape[1], device=features.device)
    return mask.to(features.device).sum(1)


def _stack(frames: Tensor, counts: list[int], stack: int) -> Tensor:
    """[A, T, C] -> [A, ceil(T / stack), stack * C]; what lies after a clip's own frames becomes 0."""
    real = real_frames(torch.tensor(counts, device=frames.device), frames.shape[1])
    frames = frames * real[..., None].to(frames)
    frames = nn.functional.pad(frames, (0, 0, 0, -frames.shape[1] % stack))
    return frames.reshape(len(frames), -1, stack * frames.shape[2])


def _embedding_name(model: TrivoxModel) -> str:
    embedding = model.get_input_embeddings()
    for name, module in model.named_modules():
        if module is embedding:
            return f"model.{name}.weight"
    raise ConfigError(f"language model {model.config.text_config.model_type}: no input embedding")


AutoModel.register(TrivoxConfig, TrivoxModel)
AutoModelForCausalLM.register(TrivoxConfig, TrivoxForCausalLM)
