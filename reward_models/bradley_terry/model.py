"""The shared backbone with one number for a head: the reward of a whole sequence."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

HEAD = "score"
"""The head's name, by which peft trains and saves it whole beside the LoRA."""


@dataclass
class Rewards(ModelOutput):
    """logits: rewards float32 [B, 1]. tie: the log-propensity to tie, a scalar. pooled: float32 [B, H], what the
    head is applied to."""

    logits: Tensor | None = None
    tie: Tensor | None = None
    pooled: Tensor | None = None


class ScoreHead(nn.Module):
    """One linear output in float32, and how likely a tie is: both are learned, and saved together."""

    def __init__(self, width: int, seed: int) -> None:
        super().__init__()
        drawn = torch.randn(1, width, generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(drawn / width)
        self.tie = nn.Parameter(torch.zeros(()))

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        return pooled @ self.weight.T, self.tie


class RewardModel(PreTrainedModel):
    """A backbone's base model, which merges audio too, and a `ScoreHead` on the last token that is no padding.

    Padding is told by the mask, not by its id, which some tokenizers share with the end token. What a trainer
    passes beside the inputs (`margin`, say) is not taken for an input.
    """

    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(self, lm: PreTrainedModel, seed: int = 0) -> None:
        config = copy.deepcopy(lm.config)
        config.num_labels = 1
        self.config_class = type(config)
        super().__init__(config)
        self.model = lm.base_model
        self.score = ScoreHead(int(config.get_text_config().hidden_size), seed).to(lm.device)

    def get_input_embeddings(self) -> Any:
        return self.model.get_input_embeddings()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor | None = None,
        input_features: Tensor | None = None,
        feature_mask: Tensor | None = None,
        **_: Any,
    ) -> Rewards:
        """input_ids, attention_mask [B, L] -> rewards [B, 1]; input_features, feature_mask as `TrivoxModel` has
        them."""
        heard = {"input_features": input_features, "feature_mask": feature_mask}
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=False,
            **{name: value for name, value in heard.items() if value is not None},
        )
        states = outputs.last_hidden_state
        pooled = states[torch.arange(len(states)), last_tokens(attention_mask)].float()
        rewards, tie = self.score(pooled)
        return Rewards(rewards, tie, pooled)


def last_tokens(mask: Tensor) -> Tensor:
    """[B, L] of 1 for real tokens, padded on either side -> index of the last real one [B]."""
    places = torch.arange(mask.shape[1], device=mask.device)
    return (places * (mask != 0)).argmax(dim=1)
