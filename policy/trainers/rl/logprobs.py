"""Log-probabilities of what was said, under the distribution that it was drawn from."""

from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from trivox.policy.trainers.rl.episodes import Batch


@dataclass(frozen=True)
class Said:
    """Of each completion token: logprobs and entropy (nats) float [R, T], and the hidden state before it, float
    [R, T, H], from which its value is read."""

    logprobs: Tensor
    entropy: Tensor
    hidden: Tensor


def said(model: Any, batch: Batch, learn_entropy: bool = False) -> Said:
    """model: a causal LM of transformers, also under peft. Only the positions of completions get logits, and each
    of these is restricted to what its constraint allows and divided by its temperature. learn_entropy: whether the
    entropy has a gradient, which costs memory."""
    lm: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    hidden = getattr(lm, lm.base_model_prefix)(**batch.inputs).last_hidden_state
    steps = torch.arange(batch.tokens.shape[1], device=hidden.device)
    positions = (batch.starts[:, None] - 1 + steps).clamp(max=hidden.shape[1] - 1)
    before = hidden.gather(1, positions[..., None].expand(-1, -1, hidden.shape[-1]))
    return _measured(lm.get_output_embeddings()(before).float(), before, batch, learn_entropy)


def _measured(logits: Tensor, hidden: Tensor, batch: Batch, learn_entropy: bool) -> Said:
    scale = torch.where(batch.temperature > 0, batch.temperature, 1.0)
    scores = logits / scale[:, None, None].to(logits.dtype)
    scores = scores.masked_fill(~batch.choices[batch.choice], -torch.inf)
    everything = scores.log_softmax(-1)
    tokens = torch.where(batch.real, batch.tokens, _first_allowed(batch))
    logprobs = everything.gather(-1, tokens[..., None])[..., 0]
    entropy = _entropy(everything if learn_entropy else everything.detach())
    kept = batch.real
    return Said(torch.where(kept, logprobs, 0.0), torch.where(kept, entropy, 0.0), hidden)


def _entropy(logprobs: Tensor) -> Tensor:
    """-sum p log p over the last axis, where log p may be -inf."""
    probabilities = logprobs.exp()
    return -(probabilities * logprobs.masked_fill(probabilities == 0, 0.0)).sum(-1)


def _first_allowed(batch: Batch) -> Tensor:
    """A token that may stand where none does, so that padding has a finite log-probability, int64 [R, T]."""
    return batch.choices.int().argmax(1)[batch.choice]
