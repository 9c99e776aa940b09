"""The shared backbone as transformers loads, trains and samples it: the base model with one output head."""

import copy
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from trivox.platform.errors import ConfigError
from trivox.policy.modeling.base import TrivoxModel, TrivoxPreTrainedModel
from trivox.policy.modeling.config import TrivoxConfig, embeddings_for
from trivox.policy.modeling.merging import clip_lengths, clips_of_rows

_OF_THE_LOSS = ("num_items_in_batch", "shift_labels")
_SHAPED_LOGITS = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class TrivoxForCausalLM(TrivoxPreTrainedModel, GenerationMixin):
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
        self.post_init()  # type: ignore[no-untyped-call]  # untyped in transformers

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
            encoder_config=None if encoder is None else _nameless(encoder.config),
            adapter_stack=adapter_stack,
            audio_token_id=audio_token_id,
        )
        made = cls(config)
        nn.Module.to(made, dtype=lm.dtype)  # transformers wraps its own without types
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
        wanted = (
            cast(nn.Embedding, self.get_input_embeddings()).weight.float().std()
            / weight.shape[1] ** 0.5
        )
        weight.mul_(wanted / weight.float().std())

    @property
    def hears(self) -> bool:
        return self.model.encoder is not None

    def get_input_embeddings(self) -> nn.Module:
        return cast(nn.Module, self.model.get_input_embeddings())

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        return cast(nn.Module, self.lm_head)

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.lm_head = cast(nn.Linear, new_embeddings)

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Any = None,
        **inputs: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """Several completions of a row: its clips are repeated as a whole, not one by one."""
        features, mask = inputs.pop("input_features", None), inputs.pop("feature_mask", None)
        expand = super()._expand_inputs_for_generation  # type: ignore[misc]  # its self is a Protocol
        expanded: tuple[Any, dict[str, Any]] = expand(
            expand_size, is_encoder_decoder, input_ids, **inputs
        )
        if features is None or input_ids is None:
            return expanded
        order = self._clip_order(input_ids, clip_lengths(features, mask), expand_size)
        repeated = {"input_features": features[order]}
        if mask is not None:
            repeated["feature_mask"] = mask[order]
        return expanded[0], expanded[1] | repeated

    def _clip_order(self, input_ids: Tensor, lengths: Tensor, times: int) -> list[int]:
        """Indices of the clips of the rows, each row's `times` times over."""
        embeddings = [embeddings_for(self.config, length) for length in lengths.tolist()]
        places = (input_ids == self.config.audio_token_id).sum(1)
        order, first = [], 0
        for count in clips_of_rows(places.tolist(), embeddings):
            order += list(range(first, first + count)) * times
            first += count
        return order

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


def _nameless(config: PretrainedConfig) -> PretrainedConfig:
    """Without the folder that it was loaded from: that is of this machine alone."""
    copied = copy.deepcopy(config)
    copied.name_or_path = ""
    return copied


def _embedding_name(model: TrivoxModel) -> str:
    embedding = model.get_input_embeddings()
    for name, module in model.named_modules():
        if module is embedding:
            return f"model.{name}.weight"
    raise ConfigError(f"language model {model.config.text_config.model_type}: no input embedding")


AutoModelForCausalLM.register(TrivoxConfig, TrivoxForCausalLM)
