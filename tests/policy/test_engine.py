"""The engine against transformers' own generate, one full forward pass, and distributions worked by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import DynamicCache, LlamaForCausalLM

from trivox.platform.errors import ConfigError
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.branches import Constraint, asr_constraint, tts_constraint, tts_prompt
from trivox.policy.engine import Generation, InProcessEngine, Request
from trivox.policy.vocabulary import TokenMap

TEXTS = ["a", "turn on", "it's dark in the room", "b c"]


def engine_of(backbone: Backbone, slots: int = 16) -> InProcessEngine:
    return InProcessEngine(backbone.lm, backbone.tokens.eos, backbone.tokens.pad, slots)


def requests_of(tokens: TokenMap, sampling: Sampling, texts: list[str] = TEXTS) -> list[Request]:
    """Seeds 0, 1, …: prompts of different lengths, so that the batch is padded."""
    constraint = tts_constraint(tokens)
    return [
        Request(tts_prompt(tokens, text), constraint, sampling, seed)
        for seed, text in enumerate(texts)
    ]


def said(generations: list[Generation]) -> list[tuple[list[int], list[float], FinishReason]]:
    return [(one.tokens, one.logprobs, one.finish_reason) for one in generations]


def full_pass(
    model: LlamaForCausalLM, request: Request, completion: list[int], temperature: float
) -> list[float]:
    """Log-probs of a completion by one forward pass without cache or padding, under the constraint."""
    with torch.no_grad():
        logits = model(torch.tensor([request.prompt + completion])).logits[0]
    found = []
    for step, token in enumerate(completion):
        allowed = torch.from_numpy(request.constraint.allowed[step % request.constraint.period])
        scores = logits[len(request.prompt) - 1 + step].double() / temperature
        found.append(float(scores.masked_fill(~allowed, -torch.inf).log_softmax(0)[token]))
    return found


@pytest.mark.parametrize("branch", [asr_constraint, tts_constraint])
def test_greedy_is_what_transformers_generates(backbone: Backbone, branch: Any) -> None:
    tokens, constraint = backbone.tokens, branch(backbone.tokens)
    sampling = Sampling(temperature=0.0, max_tokens=12)
    requests = [Request(tts_prompt(tokens, text), constraint, sampling, 0) for text in TEXTS]
    for request, generation in zip(requests, engine_of(backbone).generate(requests), strict=True):
        begin = len(request.prompt)

        def may_follow(_: int, ids: torch.Tensor, begin: int = begin) -> list[int]:
            row = constraint.allowed[(len(ids) - begin) % constraint.period]
            return np.flatnonzero(row).tolist()

        ids = torch.tensor([request.prompt])
        theirs = backbone.lm.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=12,
            prefix_allowed_tokens_fn=may_follow,
        )[0, begin:]
        assert generation.tokens == theirs.tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_logprobs_are_those_of_a_full_pass(backbone: Backbone, temperature: float) -> None:
    requests = requests_of(backbone.tokens, Sampling(temperature, max_tokens=20))
    for request, generation in zip(requests, engine_of(backbone).generate(requests), strict=True):
        expected = full_pass(backbone.lm, request, generation.tokens, temperature)
        assert generation.logprobs == pytest.approx(expected, abs=1e-4)


def test_samples_obey_the_constraint(backbone: Backbone) -> None:
    requests = requests_of(backbone.tokens, Sampling(2.0, max_tokens=30), TEXTS * 4)
    for request, generation in zip(requests, engine_of(backbone).generate(requests), strict=True):
        for step, token in enumerate(generation.tokens):
            assert request.constraint.allowed[step % 2, token]


def test_same_requests_same_bits(backbone: Backbone) -> None:
    requests = requests_of(backbone.tokens, Sampling(max_tokens=20), TEXTS * 2)
    engine = engine_of(backbone, slots=3)
    assert said(engine.generate(requests)) == said(engine.generate(requests))


def test_a_row_is_the_same_alone_and_among_others(backbone: Backbone) -> None:
    """Each row draws from its own generator. Among others its logits differ in the last float32 bits
    (another width of padding), so a draw within some 1e-6 of a border could fall on its other side: here
    none of 4 x 20 draws does, and log-probs agree to 1e-4."""
    requests = requests_of(backbone.tokens, Sampling(max_tokens=20))
    together = engine_of(backbone).generate(requests)
    assert len({tuple(one.tokens) for one in together}) == len(TEXTS)
    for request, among in zip(requests, together, strict=True):
        (alone,) = engine_of(backbone).generate([request])
        assert alone.tokens == among.tokens
        assert alone.logprobs == pytest.approx(among.logprobs, abs=1e-4)


def test_another_seed_is_another_sample(backbone: Backbone) -> None:
    (request, *_) = requests_of(backbone.tokens, Sampling(max_tokens=20))
    rows = [Request(request.prompt, request.constraint, request.sampling, s) for s in range(4)]
    assert len({tuple(one.tokens) for one in engine_of(backbone).generate(rows)}) == 4


def test_finished_rows_leave_the_batch(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits 4, 2 and 6, no early end: two passes with three rows, two with two, two with one."""
    constraint = Constraint(tts_constraint(backbone.tokens).allowed.copy())
    constraint.allowed[0, backbone.tokens.eos] = False
    prompt = tts_prompt(backbone.tokens, "a")
    requests = [Request(prompt, constraint, Sampling(max_tokens=n), n) for n in (4, 2, 6)]
    seen: list[int] = []
    forward = backbone.lm.forward

    def recorded(*args: Any, **kwargs: Any) -> Any:
        seen.append(len(kwargs["input_ids"]))
        return forward(*args, **kwargs)

    monkeypatch.setattr(backbone.lm, "forward", recorded)
    generations = engine_of(backbone).generate(requests)
    monkeypatch.undo()
    assert seen == [3, 3, 2, 2, 1, 1]
    assert [len(one.tokens) for one in generations] == [4, 2, 6]
    assert [one.forward_passes for one in generations] == [4, 2, 6]
    for request, generation in zip(requests, generations, strict=True):
        expected = full_pass(backbone.lm, request, generation.tokens, 1.0)
        assert generation.logprobs == pytest.approx(expected, abs=1e-4)


def test_end_reasons(backbone: Backbone) -> None:
    """An end token stops the row and is kept; the limit stops it without one."""
    requests = requests_of(backbone.tokens, Sampling(max_tokens=30), TEXTS * 8)
    generations = engine_of(backbone).generate(requests)
    eos = backbone.tokens.eos
    assert {one.finish_reason for one in generations} == {FinishReason.END, FinishReason.LENGTH}
    for one in generations:
        ended = one.finish_reason is FinishReason.END
        assert (one.tokens[-1] == eos) == ended
        assert eos not in one.tokens[:-1]
        assert ended or len(one.tokens) == 30


def test_the_context_is_a_limit_too(backbone: Backbone, tokens: TokenMap) -> None:
    """128 positions and a prompt of 125: three tokens follow."""
    constraint = Constraint(tts_constraint(tokens).allowed.copy())
    constraint.allowed[0, tokens.eos] = False
    prompt = [tokens.tts, *tokens.text_ids("a" * 124)]
    (one,) = engine_of(backbone).generate([Request(prompt, constraint, Sampling(), 0)])
    assert (len(one.tokens), one.finish_reason) == (3, FinishReason.LENGTH)


def test_refusals(backbone: Backbone, tokens: TokenMap) -> None:
    engine, constraint = engine_of(backbone), tts_constraint(tokens)
    full = Request([tokens.tts] * 128, constraint, Sampling(), 0)
    with pytest.raises(ConfigError, match=r"request 0: its prompt has 128 tokens.*context 128"):
        engine.generate([full])
    none = Request([tokens.tts], constraint, Sampling(max_tokens=0), 0)
    with pytest.raises(ConfigError, match="max_tokens is 0"):
        engine.generate([none])
    assert engine.generate([]) == []


class FixedLogits:
    """A model over 4 tokens whose next-token distribution is always p = 0.5, 0.25, 0.15, 0.1."""

    p = torch.tensor([0.5, 0.25, 0.15, 0.1])

    def __init__(self, like: LlamaForCausalLM) -> None:
        self.config = like.config

    def __call__(self, *, input_ids: torch.Tensor, past_key_values: DynamicCache, **_: Any) -> Any:
        return SimpleNamespace(logits=self.p.log().expand(len(input_ids), 1, 4))


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(max_tokens=1), [0.5, 0.25, 0.15, 0.1]),
        (Sampling(top_k=2, max_tokens=1), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(top_k=9, max_tokens=1), [0.5, 0.25, 0.15, 0.1]),
        # 0.5 < 0.7 <= 0.75: the second token is the last that is needed.
        (Sampling(top_p=0.7, max_tokens=1), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(top_p=0.8, max_tokens=1), [5 / 9, 2.5 / 9, 1.5 / 9, 0]),
        (Sampling(top_p=0.01, max_tokens=1), [1, 0, 0, 0]),
        # Squared: 0.25, 0.0625, 0.0225, 0.01 of 0.345.
        (Sampling(temperature=0.5, max_tokens=1), [0.724638, 0.181159, 0.065217, 0.028986]),
        # Of the three that top-k leaves, 5/9 and 2.5/9 reach 0.8.
        (Sampling(top_k=3, top_p=0.8, max_tokens=1), [2 / 3, 1 / 3, 0, 0]),
        (Sampling(temperature=0.0, max_tokens=1), [1, 0, 0, 0]),
    ],
)
def test_sampling_by_hand(backbone: Backbone, sampling: Sampling, expected: list[float]) -> None:
    """2,000 seeds: nothing that is cut is drawn, the rest as often as it should (chi-square at 0.1%)."""
    everything = Constraint(np.ones((1, 4), np.bool_))
    engine = InProcessEngine(FixedLogits(backbone.lm), eos=0, pad=0, slots=2000)  # type: ignore[arg-type]
    drawn = engine.generate([Request([1], everything, sampling, seed) for seed in range(2000)])
    counts = np.bincount([one.tokens[0] for one in drawn], minlength=4)
    kept = np.array(expected) > 0
    assert counts[~kept].sum() == 0
    if kept.sum() > 1:
        wanted = np.array(expected)[kept]
        assert chisquare(counts[kept], 2000 * wanted / wanted.sum()).pvalue > 0.001
    if sampling.temperature > 0:
        for one in drawn:
            assert np.exp(one.logprobs[0]) == pytest.approx(expected[one.tokens[0]], abs=1e-5)


def test_greedy_logprob_is_of_the_whole_distribution(backbone: Backbone) -> None:
    """Temperature 0 divides by nothing: the log-prob of the best token is ln 0.5."""
    everything = Constraint(np.ones((1, 4), np.bool_))
    engine = InProcessEngine(FixedLogits(backbone.lm), eos=3, pad=0)  # type: ignore[arg-type]
    sampling = Sampling(temperature=0.0, max_tokens=1)
    (one,) = engine.generate([Request([1], everything, sampling, 0)])
    assert (one.tokens, one.logprobs) == ([0], [pytest.approx(np.log(0.5), abs=1e-6)])
