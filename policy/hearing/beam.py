"""Several hypotheses of what was said: beam search over the resident model.

The beam is length-normalised: finished hypotheses compare by log-probability per token. It ends when as many are
finished as were asked for and no live one is better. A width of 1 is greedy decoding.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from trivox.platform.errors import ConfigError
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.branches.asr import asr_constraint
from trivox.policy.branches.constraint import ConstraintState
from trivox.policy.engine import Request
from trivox.policy.hearing.long import LongTranscript, Samples, heard_by_pieces
from trivox.policy.rows import pad_features
from trivox.policy.speaker import ASR_SAMPLING, Speaker


@dataclass(frozen=True)
class Candidate:
    """tokens: completion ids, the end included; logprob: natural log of their probability under the constraint;
    score: logprob per token, which orders candidates."""

    text: str
    tokens: list[int]
    logprob: float
    finish_reason: FinishReason

    @property
    def score(self) -> float:
        return self.logprob / len(self.tokens)


@dataclass(frozen=True)
class NBest:
    """At least one candidate, best first, no two of the same text."""

    candidates: tuple[Candidate, ...]

    @property
    def text(self) -> str:
        return self.candidates[0].text


def nbest(speaker: Speaker, wave: Samples, count: int, sampling: Sampling = ASR_SAMPLING) -> NBest:
    """Up to count hypotheses of float32 [n] at speaker.hearing_rate: fewer where beams end in the same text.

    Of sampling only max_tokens counts. Raises BrokenAudio for a wave longer than speaker.longest_s, ConfigError
    for a count below 1.
    """
    request = speaker.asr_request(wave, asr_constraint(speaker.tokens), sampling)
    engine = speaker.engine
    found: dict[str, Candidate] = {}
    for tokens, logprob in beam_search(engine.model, request, engine.eos, count):
        text = speaker.tokens.read_text(tokens)
        ended = FinishReason.END if tokens[-1] == engine.eos else FinishReason.LENGTH
        found.setdefault(text, Candidate(text, tokens, logprob, ended))
    return NBest(tuple(found.values()))


def nbest_long(
    speaker: Speaker, samples: Samples, rate: int, count: int, longest_s: float | None = None
) -> LongTranscript[NBest]:
    """transcribe_long with several hypotheses for each piece."""

    def hear(waves: Sequence[Samples]) -> list[NBest]:
        return [nbest(speaker, wave, count) for wave in waves]

    return heard_by_pieces(speaker, hear, samples, rate, longest_s)


@torch.no_grad()
def beam_search(
    model: PreTrainedModel, request: Request, eos: int, width: int
) -> list[tuple[list[int], float]]:
    """Up to width completions of a request, best first: their tokens and log-probabilities.

    Raises ConfigError for a width below 1, and for a prompt that leaves no room in the model's context.
    """
    budget = _budget(model, request, width)
    search = _Search(request, eos, width, budget)
    step = _Stepper(model, request)
    logits = step(torch.tensor([request.prompt]), None)
    while (chosen := search.grow(logits)) is not None:
        tokens, parents = chosen
        logits = step(tokens[:, None], parents)
    return search.best()


def _budget(model: PreTrainedModel, request: Request, width: int) -> int:
    limit = int(model.config.get_text_config().max_position_embeddings)
    if width < 1:
        raise ConfigError(f"{width} hypotheses are asked for: ask for at least 1")
    if len(request.prompt) >= limit:
        raise ConfigError(
            f"the prompt has {len(request.prompt)} tokens and the model's context {limit}: shorten it"
        )
    return max(1, min(request.sampling.max_tokens, limit - len(request.prompt)))


class _Stepper:
    """The model with the cache of the live beams."""

    def __init__(self, model: PreTrainedModel, request: Request) -> None:
        self.model, self.seen = model, 0
        self.cache = DynamicCache(config=model.config)
        heard = pad_features(list(request.audio))
        self.audio = {name: value.to(model.device) for name, value in heard.items()}

    def __call__(self, ids: Tensor, parents: Tensor | None) -> Tensor:
        """Logits float64 [B, V] after ids [B, L]; parents [B]: which beam of the last step each goes on from."""
        device = self.model.device
        if parents is not None:
            self.cache.batch_select_indices(parents.to(device))
        length = self.seen + ids.shape[1]
        positions = torch.arange(self.seen, length, device=device).expand(len(ids), -1)
        logits: Tensor = self.model(
            input_ids=ids.to(device),
            attention_mask=torch.ones(len(ids), length, dtype=torch.long, device=device),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
            **self.audio,
        ).logits[:, -1]
        self.seen, self.audio = length, {}
        return logits.to("cpu", torch.float64)


@dataclass(frozen=True)
class _Beam:
    tokens: list[int]
    logprob: float
    state: ConstraintState

    @property
    def score(self) -> float:
        return self.logprob / len(self.tokens)


class _Search:
    """Live and finished beams."""

    def __init__(self, request: Request, eos: int, width: int, budget: int) -> None:
        self.eos, self.width, self.budget = eos, width, budget
        self.live = [_Beam([], 0.0, request.constraint.start())]
        self.done: list[_Beam] = []

    def grow(self, logits: Tensor) -> tuple[Tensor, Tensor] | None:
        """From logits [live, V] to the next live beams: their last tokens and parents [B]; None at the end."""
        live: list[_Beam] = []
        parents: list[int] = []
        for rank, (logprob, parent, token) in enumerate(self._extensions(logits)):
            beam = self._extended(self.live[parent], token, logprob)
            if token == self.eos:
                # An end that ranks below the beam's width would not have stayed in it.
                self.done += [beam] if rank < self.width else []
            elif len(live) < self.width:
                live.append(beam)
                parents.append(parent)
        self.live = live
        if live and len(live[0].tokens) >= self.budget:
            self.done += live
            return None
        if not live or self._settled():
            return None
        return torch.tensor([beam.tokens[-1] for beam in live]), torch.tensor(parents)

    def best(self) -> list[tuple[list[int], float]]:
        ordered = sorted(self.done, key=lambda beam: -beam.score)[: self.width]
        return [(beam.tokens, beam.logprob) for beam in ordered]

    def _extensions(self, logits: Tensor) -> list[tuple[float, int, int]]:
        """The likeliest log-probability, parent and token, enough for width beams that do not end."""
        masks = torch.stack([torch.from_numpy(beam.state.allowed()) for beam in self.live])
        logprobs = logits.masked_fill(~masks, -torch.inf).log_softmax(1)
        sums = logprobs + torch.tensor([[beam.logprob] for beam in self.live], dtype=torch.float64)
        top = sums.flatten().topk(min(2 * self.width, int(masks.sum())))
        return [
            (value, *divmod(place, sums.shape[1]))
            for value, place in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        ]

    @staticmethod
    def _extended(beam: _Beam, token: int, logprob: float) -> _Beam:
        state = copy.copy(beam.state)
        state.advance(token)
        return _Beam([*beam.tokens, token], logprob, state)

    def _settled(self) -> bool:
        """Whether no live beam, as likely as it is now, would come among the best."""
        scores = sorted((beam.score for beam in self.done), reverse=True)[: self.width]
        return len(scores) == self.width and scores[-1] >= self.live[0].score
