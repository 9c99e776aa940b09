"""What an engine is asked, what it answers, and what it refuses."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from transformers import PretrainedConfig

from trivox.platform.errors import ConfigError, TrivoxError
from trivox.platform.records import DecodingStatistics, FinishReason, Sampling
from trivox.policy.branches.constraint import Constraint
from trivox.policy.modeling import embeddings_for
from trivox.policy.rows import check_features


@dataclass(frozen=True)
class Request:
    """One completion to generate: prompt ids, what may follow, how to draw, and the row's own seed.

    audio: float32 [T, F] encoder features of each clip whose placeholders the prompt holds, in order.
    """

    prompt: list[int]
    constraint: Constraint
    sampling: Sampling
    seed: int
    audio: tuple[npt.NDArray[np.float32], ...] = ()


class LogprobsOf(StrEnum):
    """What reported log-probs are of: the distribution that was sampled from, the model's own without temperature,
    cuts and constraint, or nothing: there are none."""

    SAMPLED = "sampled"
    RAW = "raw"
    ABSENT = "absent"


@dataclass(frozen=True)
class Generation:
    """tokens: completion ids, the end token included; logprobs: natural log of each under the distribution
    it was drawn from (constraint and temperature applied).

    timings: seconds from the submission on, by name: `wait_s` until a slot was free, `first_token_s`, `total_s`;
    and `prefill_s`, what the prompt's own pass took, 0 where another row had the same prompt.
    """

    tokens: list[int]
    logprobs: list[float]
    finish_reason: FinishReason
    decoding: DecodingStatistics
    timings: dict[str, float] = field(default_factory=dict)
    logprobs_of: LogprobsOf = LogprobsOf.SAMPLED
    forbidden: int | None = None

    @property
    def forward_passes(self) -> int:
        return self.decoding.forward_passes


@dataclass(frozen=True)
class Drawn:
    """One token of one request. finish_reason: None while more will come.

    A request that failed has FinishReason.FAILED, the error, the token -1 and the log-prob NaN, and is over.
    """

    key: Any
    token: int
    logprob: float
    finish_reason: FinishReason | None
    error: TrivoxError | None = None


class RolloutEngine(Protocol):
    """Anything that can complete prompts and say with which probability it did."""

    name: str

    def generate(self, requests: Sequence[Request]) -> list[Generation]: ...


def position_limit(config: PretrainedConfig) -> int:
    """Tokens of the model's context: prompt and completion together."""
    return int(config.get_text_config().max_position_embeddings)


def budget_of(request: Request, limit: int) -> int:
    """Tokens that may follow the prompt: max_tokens, or what the context leaves."""
    return min(request.sampling.max_tokens, limit - len(request.prompt))


def check_request(name: str, request: Request, config: PretrainedConfig) -> None:
    """Raises ConfigError, beginning with the name, for a prompt that is empty or leaves no room in the context,
    for a limit of no tokens, and for placeholders that are not as many as the embeddings of the audio; BrokenAudio
    for a clip of no frames."""
    limit = position_limit(config)
    if not request.prompt:
        raise ConfigError(f"{name}: its prompt has 0 tokens: give at least 1")
    if len(request.prompt) >= limit:
        raise ConfigError(
            f"{name}: its prompt has {len(request.prompt)} tokens and the model's "
            f"context {limit}: shorten the prompt"
        )
    if request.sampling.max_tokens < 1:
        raise ConfigError(f"{name}: max_tokens is {request.sampling.max_tokens}: allow at least 1")
    _check_audio(name, request, config)


def _check_audio(name: str, request: Request, config: PretrainedConfig) -> None:
    check_features(request.audio)
    if request.audio and getattr(config, "encoder_config", None) is None:
        raise ConfigError(
            f"{name}: it has {len(request.audio)} clips and the model no audio encoder: use a "
            "backbone that hears, loaded with its encoder"
        )
    # -1: a model that knows no placeholders has none.
    placeholders = request.prompt.count(getattr(config, "audio_token_id", -1))
    embeddings: int = sum(embeddings_for(config, len(clip)) for clip in request.audio)
    if placeholders != embeddings:
        raise ConfigError(
            f"{name}: its prompt has {placeholders} audio placeholders and its {len(request.audio)} "
            f"clips make {embeddings} embeddings: write one placeholder for each embedding"
        )
