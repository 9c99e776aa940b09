"""Batched sampling in this process, behind the RolloutEngine interface."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from trivox.platform.errors import ConfigError
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.branches.constraint import Constraint
from trivox.policy.modeling import embeddings_for
from trivox.policy.rows import check_features, pad_features, positions_of


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


@dataclass(frozen=True)
class Generation:
    """tokens: completion ids, the end token included; logprobs: natural log of each under the distribution
    it was drawn from (constraint and temperature applied); seconds: wall time of the batch it was in."""

    tokens: list[int]
    logprobs: list[float]
    finish_reason: FinishReason
    forward_passes: int
    seconds: float


class RolloutEngine(Protocol):
    """Anything that can complete prompts and say with which probability it did."""

    name: str

    def generate(self, requests: Sequence[Request]) -> list[Generation]: ...


class InProcessEngine:
    """Slots of fixed width over a resident transformers model; finished rows leave the batch.

    The same requests in the same order give the same tokens, bit for bit, on one machine.
    """

    name = "in-process"

    def __init__(self, model: PreTrainedModel, eos: int, pad: int, slots: int = 16) -> None:
        self.model, self.eos, self.pad, self.slots = model, eos, pad, slots

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Completions in the order of the requests.

        Raises ConfigError for a prompt that leaves no room in the model's context, for a limit of no tokens, and
        for placeholders that are not as many as the embeddings of the audio; BrokenAudio for a clip of no frames.
        """
        limit = int(self.model.config.get_text_config().max_position_embeddings)
        for index, request in enumerate(requests):
            self._check(index, request, limit)
        done: list[Generation] = []
        for begin in range(0, len(requests), self.slots):
            done += self._batch(requests[begin : begin + self.slots], limit)
        return done

    def _check(self, index: int, request: Request, limit: int) -> None:
        if len(request.prompt) >= limit:
            raise ConfigError(
                f"request {index}: its prompt has {len(request.prompt)} tokens and the model's "
                f"context {limit}: shorten the prompt"
            )
        if request.sampling.max_tokens < 1:
            raise ConfigError(
                f"request {index}: max_tokens is {request.sampling.max_tokens}: allow at least 1"
            )
        self._check_audio(index, request)

    def _check_audio(self, index: int, request: Request) -> None:
        config = self.model.config
        check_features(request.audio)
        if request.audio and getattr(config, "encoder_config", None) is None:
            raise ConfigError(
                f"request {index}: it has {len(request.audio)} clips and the model no audio encoder: use a "
                "backbone that hears, loaded with its encoder"
            )
        # -1: a model that knows no placeholders has none.
        placeholders = request.prompt.count(getattr(config, "audio_token_id", -1))
        embeddings: int = sum(embeddings_for(config, len(clip)) for clip in request.audio)
        if placeholders != embeddings:
            raise ConfigError(
                f"request {index}: its prompt has {placeholders} audio placeholders and its {len(request.audio)} "
                f"clips make {embeddings} embeddings: write one placeholder for each embedding"
            )

    @torch.no_grad()
    def _batch(self, requests: Sequence[Request], limit: int) -> list[Generation]:
        started = time.perf_counter()
        batch = _Batch(requests, self.eos, limit)
        device = self.model.device
        ids, mask = (
            part.to(device) for part in _left_padded([one.prompt for one in requests], self.pad)
        )
        heard = pad_features([clip for request in requests for clip in request.audio])
        audio = {name: value.to(device) for name, value in heard.items()}
        cache = DynamicCache(config=self.model.config)
        positions = positions_of(mask)
        while True:
            logits = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **audio,
            ).logits[:, -1]
            drawn, kept = (part.to(device) for part in batch.step(logits.cpu()))
            if len(kept) == 0:
                break
            if len(kept) < len(drawn):
                cache.batch_select_indices(kept)
                mask, positions, drawn = mask[kept], positions[kept], drawn[kept]
            ids, positions, audio = drawn[:, None], positions[:, -1:] + 1, {}
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
        return batch.generations(time.perf_counter() - started)


class _Batch:
    """The rows of one batch: their constraints, their random numbers, what they said so far."""

    def __init__(self, requests: Sequence[Request], eos: int, limit: int) -> None:
        self.requests, self.eos = requests, eos
        self.budget = [min(r.sampling.max_tokens, limit - len(r.prompt)) for r in requests]
        self.uniform = [
            _uniform(r.seed, budget) for r, budget in zip(requests, self.budget, strict=True)
        ]
        self.states = [request.constraint.start() for request in requests]
        self.tokens: list[list[int]] = [[] for _ in requests]
        self.logprobs: list[list[float]] = [[] for _ in requests]
        self.reasons: list[FinishReason | None] = [None] * len(requests)
        self.active = list(range(len(requests)))

    def step(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Draw one token for each active row from logits [A, V]: tokens [A], indices that go on [K]."""
        drawn = [self._draw(row, logits[slot]) for slot, row in enumerate(self.active)]
        kept = [slot for slot, row in enumerate(self.active) if not self._finished(row)]
        self.active = [self.active[slot] for slot in kept]
        return torch.tensor(drawn), torch.tensor(kept, dtype=torch.long)

    def _draw(self, row: int, logits: Tensor) -> int:
        sampling, said = self.requests[row].sampling, len(self.tokens[row])
        mask = torch.from_numpy(self.states[row].allowed())
        scores = logits.double().masked_fill(~mask, -torch.inf)
        logprobs = _shape(scores, sampling).log_softmax(0)
        if sampling.temperature == 0:
            token = int(logprobs.argmax())
        else:
            cumulative = logprobs.exp().cumsum(0)
            target = self.uniform[row][said] * cumulative[-1]
            token = int(torch.searchsorted(cumulative, target, right=True))
        self.states[row].advance(token)
        self.tokens[row].append(token)
        self.logprobs[row].append(float(logprobs[token]))
        return token

    def _finished(self, row: int) -> bool:
        if self.tokens[row][-1] == self.eos:
            self.reasons[row] = FinishReason.END
        elif len(self.tokens[row]) >= self.budget[row]:
            self.reasons[row] = FinishReason.LENGTH
        return self.reasons[row] is not None

    def generations(self, seconds: float) -> list[Generation]:
        return [
            Generation(tokens, logprobs, reason or FinishReason.FAILED, len(tokens), seconds)
            for tokens, logprobs, reason in zip(
                self.tokens, self.logprobs, self.reasons, strict=True
            )
        ]


def _shape(scores: Tensor, sampling: Sampling) -> Tensor:
    """Temperature, then top-k, then top-p (Holtzman et al. 2020) on scores [V]; -inf is what is cut."""
    if sampling.temperature > 0:
        scores = scores / sampling.temperature
    if sampling.top_k > 0:
        kth = scores.topk(min(sampling.top_k, len(scores))).values[-1]
        scores = scores.masked_fill(scores < kth, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = scores.sort(descending=True)
        before = ordered.softmax(0).cumsum(0) - ordered.softmax(0)
        scores = scores.index_fill(0, order[before >= sampling.top_p], -torch.inf)
    return scores


def _uniform(seed: int, count: int) -> Tensor:
    """Float64 [count] in [0, 1) of the row's own generator: a row's draws do not depend on its neighbours."""
    return torch.from_numpy(np.random.default_rng(seed).random(count))


def _left_padded(prompts: list[list[int]], pad: int) -> tuple[Tensor, Tensor]:
    """input_ids and attention_mask, int64 [B, L]."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask
