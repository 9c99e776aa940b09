"""Requests and small models for the tests of engines."""

from typing import Any

import numpy as np
import transformers
from transformers import PreTrainedModel

from trivox.platform.records import FinishReason, Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_constraint, asr_prompt
from trivox.policy.branches.constraint import AudioConstraint, Mask, mask_of
from trivox.policy.branches.realtime import Heard, Said, realtime_constraint, realtime_prompt
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.codec.places import Place
from trivox.policy.engine import Generation, InProcessEngine, Request
from trivox.policy.vocabulary import TokenMap

TEXTS = ["a", "turn on", "it's dark in the room", "b c"]


class Everything:
    """A constraint that allows the tokens of a mask bool [V] at each step, whatever was said."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    def start(self) -> "Everything":
        return self

    def allowed(self) -> Mask:
        return self.mask

    def advance(self, token: int) -> None:
        pass


class EndlessAudio(AudioConstraint):
    """Never allows the end."""

    def mask(self, place: Place) -> Mask:
        return super().mask(place) & ~mask_of(self.tokens, [self.tokens.eos])


def endless_audio(tokens: TokenMap) -> AudioConstraint:
    return EndlessAudio(tokens)


def engine_of(backbone: Backbone, slots: int = 16, fixed: bool = True) -> InProcessEngine:
    return InProcessEngine(backbone.lm, backbone.tokens.eos, backbone.tokens.pad, slots, fixed)


def said(generations: list[Generation]) -> list[tuple[list[int], list[float], FinishReason]]:
    return [(one.tokens, one.logprobs, one.finish_reason) for one in generations]


def clips_of(count: int, seed: int = 5) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Features of clips of 7 to 60 frames."""
    random = np.random.default_rng(seed)
    return [random.normal(size=(n, 64)).astype(np.float32) for n in random.integers(7, 60, count)]


def mixed_requests(backbone: Backbone, sampling: Sampling) -> list[Request]:
    """asr, tts and dialogues of two heard turns, in turn: 12 rows, of which 8 hear."""
    tokens, requests = backbone.tokens, []
    clips = clips_of(12)
    for row in range(4):
        one, *two = clips[3 * row : 3 * row + 3]
        prompt = asr_prompt(tokens, backbone.embeddings(one))
        requests.append(Request(prompt, asr_constraint(tokens), sampling, row, (one,)))
        prompt = tts_prompt(tokens, TEXTS[row])
        requests.append(Request(prompt, endless_audio(tokens), sampling, row))
        heard = [Heard(backbone.embeddings(clip)) for clip in two]
        prompt = realtime_prompt(tokens, "tom", [heard[0], Said("assistant", "yes"), heard[1]])
        constraint = realtime_constraint(tokens)
        requests.append(Request(prompt, constraint, sampling, row, tuple(two)))
    return requests


def small_model(name: str, **changed: Any) -> PreTrainedModel:
    """A causal LM of transformers by the name of its family: random weights, 2 layers of 32, context 128."""
    settings: dict[str, Any] = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": None,
    }
    transformers.set_seed(0)
    config = getattr(transformers, f"{name}Config")(**(settings | changed))
    model: PreTrainedModel = getattr(transformers, f"{name}ForCausalLM")(config)
    model.eval()
    return model
