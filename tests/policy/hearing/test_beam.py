"""Beam search against greedy decoding, against every completion there is, and on what is no speech."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from trivox.platform.errors import BrokenAudio, ConfigError
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_constraint
from trivox.policy.branches.constraint import Mask, mask_of
from trivox.policy.engine import Request
from trivox.policy.hearing.beam import _Search, beam_search, nbest, nbest_long
from trivox.policy.speaker import Speaker

GREEDY = Sampling(temperature=0.0, max_tokens=12)
LETTERS = "abc"


@dataclass
class NeverTwice:
    """Letters a, b, c or the end, no letter twice in a row: a constraint with a state to get wrong."""

    masks: dict[int, Mask]
    last: int = -1

    def start(self) -> "NeverTwice":
        return replace(self, last=-1)

    def allowed(self) -> Mask:
        return self.masks[self.last]

    def advance(self, token: int) -> None:
        self.last = token


@dataclass(frozen=True)
class Given:
    """The same mask at every step."""

    mask: Mask

    def start(self) -> "Given":
        return self

    def allowed(self) -> Mask:
        return self.mask

    def advance(self, token: int) -> None:
        pass


@pytest.fixture
def speaker(hearing: Backbone) -> Speaker:
    return Speaker(hearing, hearing.lm, 4)


def waves(speaker: Speaker) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.normal(0, 0.1, 1600 * n).astype(np.float32) for n in (1, 4, 9, 20)]


def never_twice(speaker: Speaker) -> NeverTwice:
    tokens = speaker.tokens
    ids = tokens.text_ids(LETTERS)
    every = [*ids, tokens.eos]
    rest = {one: mask_of(tokens, [other for other in every if other != one]) for one in ids}
    return NeverTwice({-1: mask_of(tokens, every), **rest})


def test_one_hypothesis_is_greedy_decoding(speaker: Speaker) -> None:
    for wave in waves(speaker):
        (greedy,) = speaker.transcribe([wave], GREEDY)
        (only,) = nbest(speaker, wave, 1, GREEDY).candidates
        assert only.tokens == greedy.generation.tokens
        assert only.text == greedy.text
        assert only.finish_reason == greedy.generation.finish_reason
        assert only.logprob == pytest.approx(sum(greedy.generation.logprobs), abs=1e-4)


def test_a_beam_that_holds_all_finds_the_best_of_all(speaker: Speaker) -> None:
    """Up to 3 of 3 letters, none twice in a row: 1 + 3 + 6 that end, and 12 of full length; each scored alone."""
    constraint = never_twice(speaker)
    request = speaker.asr_request(waves(speaker)[1], constraint, Sampling(max_tokens=3))
    ids, eos = speaker.tokens.text_ids(LETTERS), speaker.tokens.eos
    ended = [[*one, eos] for n in range(3) for one in itertools.product(ids, repeat=n)]
    full = [list(one) for one in itertools.product(ids, repeat=3)]
    legal = [one for one in ended + full if all(a != b for a, b in itertools.pairwise(one))]
    assert len(legal) == 1 + 3 + 6 + 12
    logprobs = {tuple(one): _alone(speaker, request, one, constraint) for one in legal}
    wanted = sorted(legal, key=lambda one: -logprobs[tuple(one)] / len(one))
    found = beam_search(speaker.engine.model, request, eos, width=22)
    assert [tokens for tokens, _ in found] == wanted
    for tokens, logprob in found:
        assert logprob == pytest.approx(logprobs[tuple(tokens)], abs=1e-4)


def _alone(speaker: Speaker, request, tokens: list[int], constraint: NeverTwice) -> float:  # type: ignore[no-untyped-def]
    """Log-probability of a completion by one pass over all of it, without a cache."""
    with torch.no_grad():
        logits = speaker.engine.model(
            input_ids=torch.tensor([[*request.prompt, *tokens]]),
            input_features=torch.from_numpy(request.audio[0])[None],
        ).logits[0, len(request.prompt) - 1 :]
    state, total = constraint.start(), 0.0
    for row, token in zip(logits.double(), tokens, strict=False):
        allowed = torch.from_numpy(state.allowed())
        total += float(row.masked_fill(~allowed, -torch.inf).log_softmax(0)[token])
        state.advance(token)
    return total


def test_goes_on_while_a_live_beam_is_better(speaker: Speaker) -> None:
    """Letters a and b and the end, two beams. Step 1: a .6, the end .3, b .1. Step 2: a a .54, b and the end .099:
    two have ended, at ln(.3) = -1.20 and ln(.099)/2 = -1.16 a token, and a a stands at ln(.54)/2 = -.31, so it
    goes on. Step 3: it ends, at ln(.486)/3 = -.24 a token."""
    tokens = speaker.tokens
    a, b, eos = *tokens.text_ids("ab"), tokens.eos
    request = Request([tokens.asr], Given(mask_of(tokens, [a, b, eos])), Sampling(), 0)
    search = _Search(request, eos, width=2, budget=9)

    def rows(*shares: dict[int, float]) -> torch.Tensor:
        logits = torch.zeros(len(shares), tokens.vocab_size, dtype=torch.float64)
        for row, share in zip(logits, shares, strict=True):
            for token, probability in share.items():
                row[token] = np.log(probability)
        return logits

    likely = {a: 0.9, eos: 0.0833, b: 0.0167}
    assert search.grow(rows({a: 0.6, eos: 0.3, b: 0.1})) is not None
    ends = {a: 0.005, b: 0.005, eos: 0.99}
    assert search.grow(rows(likely, ends)) is not None
    assert search.grow(rows({a: 0.05, b: 0.05, eos: 0.9}, ends)) is None
    assert search.best()[0] == ([a, a, eos], pytest.approx(np.log(0.6 * 0.9 * 0.9)))


@pytest.mark.parametrize("count", [2, 5])
def test_candidates_are_sorted_different_and_legal(speaker: Speaker, count: int) -> None:
    legal = asr_constraint(speaker.tokens).start().allowed()
    for wave in waves(speaker):
        candidates = nbest(speaker, wave, count, GREEDY).candidates
        assert 1 <= len(candidates) <= count
        scores = [one.score for one in candidates]
        assert scores == sorted(scores, reverse=True) and max(scores) <= 0
        assert len({one.text for one in candidates}) == len(candidates)
        for one in candidates:
            assert all(legal[token] for token in one.tokens) and len(one.tokens) <= 12
            ended = one.tokens[-1] == speaker.tokens.eos
            assert one.finish_reason == (FinishReason.END if ended else FinishReason.LENGTH)


def test_long_recordings_without_speech(speaker: Speaker) -> None:
    silence = np.zeros(16_000 * 20, np.float32)
    assert nbest_long(speaker, silence, 16_000, 3).segments == ()


def test_refusals(speaker: Speaker) -> None:
    with pytest.raises(ConfigError, match="0 hypotheses are asked for"):
        nbest(speaker, np.zeros(1600, np.float32), 0)
    with pytest.raises(BrokenAudio, match="cut it in parts"):
        nbest(speaker, np.zeros(16_000 * 60, np.float32), 2)
