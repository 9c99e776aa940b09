"""The engine against transformers' own generate, one full forward pass, and distributions worked by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import LlamaForCausalLM, PreTrainedModel

from tests.policy.engine.rows import (
    TEXTS,
    Everything,
    endless_audio,
    engine_of,
    mixed_requests,
    said,
)
from trivox.platform.errors import BrokenAudio, ConfigError
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_constraint, asr_prompt
from trivox.policy.branches.constraint import AudioConstraint, Constraint
from trivox.policy.branches.realtime import realtime_constraint
from trivox.policy.branches.tts import tts_constraint, tts_prompt
from trivox.policy.engine import Generation, InProcessEngine, Request
from trivox.policy.rows import Row, collate
from trivox.policy.vocabulary import TokenMap

GREEDY = Sampling(temperature=0.0, max_tokens=16)


def masks_along(constraint: Constraint, completion: list[int]) -> list[torch.Tensor]:
    """What the constraint allows at each step of the completion, bool [V]."""
    state, masks = constraint.start(), []
    for token in completion:
        masks.append(torch.from_numpy(state.allowed().copy()))
        state.advance(token)
    return masks


def requests_of(tokens: TokenMap, sampling: Sampling, texts: list[str] = TEXTS) -> list[Request]:
    """Seeds 0, 1, …: prompts of different lengths, so that the batch is padded."""
    return [
        Request(tts_prompt(tokens, text), AudioConstraint(tokens), sampling, seed)
        for seed, text in enumerate(texts)
    ]


def scores_of(model: PreTrainedModel, request: Request, completion: list[int]) -> torch.Tensor:
    """float64 [n, V]: scores of each step of a completion by one forward pass without cache or padding, -inf where
    the constraint forbids."""
    row = Row(request.prompt, completion, [True] * len(completion), request.audio)
    batch = collate([row], pad=0)
    del batch["labels"]
    with torch.no_grad():
        logits = model(**batch).logits[0, len(request.prompt) - 1 : -1].double()
    return logits.masked_fill(~torch.stack(masks_along(request.constraint, completion)), -torch.inf)


def full_pass(
    model: PreTrainedModel, request: Request, completion: list[int], temperature: float
) -> list[float]:
    """Log-probs of the completion by one forward pass."""
    logprobs = (scores_of(model, request, completion) / temperature).log_softmax(1)
    found: list[float] = logprobs.gather(1, torch.tensor(completion)[:, None])[:, 0].tolist()
    return found


@pytest.mark.parametrize("branch", ["asr", "tts", "realtime"])
def test_greedy_is_what_transformers_generates(backbone: Backbone, branch: str) -> None:
    tokens = backbone.tokens
    sampling = Sampling(temperature=0.0, max_tokens=12)
    constraints: dict[str, Any] = {
        "asr": lambda text: asr_constraint(tokens),
        "tts": lambda text: tts_constraint(tokens, text),
        "realtime": lambda text: realtime_constraint(tokens, thinks=True),
    }
    requests = [
        Request(tts_prompt(tokens, text), constraints[branch](text), sampling, 0) for text in TEXTS
    ]
    for request, generation in zip(requests, engine_of(backbone).generate(requests), strict=True):
        begin = len(request.prompt)

        def may_follow(
            _: int, ids: torch.Tensor, begin: int = begin, request: Request = request
        ) -> list[int]:
            state = request.constraint.start()
            for token in ids[begin:].tolist():
                state.advance(token)
            return np.flatnonzero(state.allowed()).tolist()

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
        masks = masks_along(request.constraint, generation.tokens)
        assert all(mask[token] for mask, token in zip(masks, generation.tokens, strict=True))


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
    """Limits 4, 2 and 6, no early end, one prompt: it is read once, then a pass with three rows, two with two, two
    with one. What another row has read is no pass of its own."""
    constraint = endless_audio(backbone.tokens)
    prompt = tts_prompt(backbone.tokens, "a")
    requests = [Request(prompt, constraint, Sampling(max_tokens=n), n) for n in (4, 2, 6)]
    seen: list[int] = []
    forward = backbone.lm.forward

    def recorded(*args: Any, **kwargs: Any) -> Any:
        seen.append(len(kwargs["input_ids"]))
        return forward(*args, **kwargs)

    monkeypatch.setattr(backbone.lm, "forward", recorded)
    generations = engine_of(backbone, fixed=False).generate(requests)
    monkeypatch.undo()
    assert seen == [1, 3, 2, 2, 1, 1]
    assert [len(one.tokens) for one in generations] == [4, 2, 6]
    assert [one.forward_passes for one in generations] == [4, 1, 5]
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
    constraint = endless_audio(tokens)
    prompt = [tokens.tts, *tokens.text_ids("a" * 124)]
    (one,) = engine_of(backbone).generate([Request(prompt, constraint, Sampling(), 0)])
    assert (len(one.tokens), one.finish_reason) == (3, FinishReason.LENGTH)


def test_refusals(backbone: Backbone, tokens: TokenMap) -> None:
    engine, constraint = engine_of(backbone), AudioConstraint(tokens)
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
        self.config, self.device = like.config, like.device

    def __call__(self, *, input_ids: torch.Tensor, **_: Any) -> Any:
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
    everything = Everything(np.ones(4, np.bool_))
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
    everything = Everything(np.ones(4, np.bool_))
    engine = InProcessEngine(FixedLogits(backbone.lm), eos=3, pad=0)  # type: ignore[arg-type]
    sampling = Sampling(temperature=0.0, max_tokens=1)
    (one,) = engine.generate([Request([1], everything, sampling, 0)])
    assert (one.tokens, one.logprobs) == ([0], [pytest.approx(np.log(0.5), abs=1e-6)])


def test_rows_with_and_without_audio(hearing: Backbone) -> None:
    """Log-probs of mixed batches are those of full passes of each row by itself."""
    requests = mixed_requests(hearing, Sampling(max_tokens=16))
    for request, generation in zip(requests, engine_of(hearing).generate(requests), strict=True):
        expected = full_pass(hearing.lm, request, generation.tokens, 1.0)
        assert generation.logprobs == pytest.approx(expected, abs=2e-4)


def test_audio_is_heard(hearing: Backbone) -> None:
    """Another clip of the same length, another transcript."""
    first, *_ = mixed_requests(hearing, GREEDY)
    other = Request(first.prompt, first.constraint, first.sampling, 0, (-2 * first.audio[0],))
    heard, else_heard = engine_of(hearing).generate([first, other])
    assert heard.tokens != else_heard.tokens


def test_batches_change_no_greedy_output(hearing: Backbone) -> None:
    """Slots of 1, 5 and 12 rows, in order and shuffled: 72 completions, the same tokens but where the two best
    scores lie closer than twice the measured rounding; of these there is one at most."""
    requests = mixed_requests(hearing, GREEDY)
    alone = engine_of(hearing, 1).generate(requests)
    ties, rounding, compared = 0, 0.0, 0
    for slots in (1, 5, 12):
        for seed in (None, 1):
            order = list(range(12)) if seed is None else np.random.default_rng(seed).permutation(12)
            said = engine_of(hearing, slots).generate([requests[row] for row in order])
            for row, one in zip(order, said, strict=True):
                pairs = zip(one.logprobs, alone[row].logprobs, strict=False)
                compared += 1
                if one.tokens == alone[row].tokens:
                    rounding = max([rounding, *(abs(a - b) for a, b in pairs)])
                else:
                    ties += 1
                    margin = margin_where_apart(hearing, requests[row], one, alone[row])
                    assert margin < 2 * max(rounding, 1e-5)
    assert (compared, ties < 2) == (72, True)
    assert rounding < 1e-4


def margin_where_apart(
    backbone: Backbone, request: Request, one: Generation, other: Generation
) -> float:
    """Between the two best scores at the first step where two completions differ."""
    step = next(i for i, (a, b) in enumerate(zip(one.tokens, other.tokens, strict=False)) if a != b)
    best = scores_of(backbone.lm, request, one.tokens)[step].topk(2).values
    return float(best[0] - best[1])


def test_refused_audio(hearing: Backbone, backbone: Backbone) -> None:
    (one, deaf, *_) = mixed_requests(hearing, GREEDY)
    engine, n = engine_of(hearing), one.prompt.count(hearing.tokens.audio)

    def like(prompt: list[int], *audio: Any) -> Request:
        return Request(prompt, one.constraint, one.sampling, 0, tuple(audio))

    message = f"request 1: its prompt has {n + 1} audio placeholders and its 1 clips make {n}"
    with pytest.raises(ConfigError, match=message):
        engine.generate([one, like([hearing.tokens.audio, *one.prompt], *one.audio)])
    with pytest.raises(ConfigError, match=f"{n} audio placeholders and its 0 clips make 0"):
        engine.generate([like(one.prompt)])
    with pytest.raises(BrokenAudio, match=r"features of shape \(0, 64\)"):
        engine.generate([like(deaf.prompt, np.zeros((0, 64), np.float32))])
    with pytest.raises(BrokenAudio, match="not finite"):
        engine.generate([like(one.prompt, one.audio[0] * np.nan)])
    with pytest.raises(
        ConfigError, match="request 0: it has 1 clips and the model no audio encoder"
    ):
        engine_of(backbone).generate([one])
    long = np.zeros((8 * 130, 64), np.float32)
    with pytest.raises(ConfigError, match="its prompt has 132 tokens and the model's context 128"):
        engine.generate([like(asr_prompt(hearing.tokens, 130), long)])


def test_a_clip_of_one_frame(hearing: Backbone) -> None:
    clip = np.full((1, 64), -1, np.float32)
    prompt = asr_prompt(hearing.tokens, hearing.embeddings(clip))
    assert prompt.count(hearing.tokens.audio) == 1
    sampling = Sampling(temperature=0.0, max_tokens=5)
    constraint = asr_constraint(hearing.tokens)
    (one,) = engine_of(hearing).generate([Request(prompt, constraint, sampling, 0, (clip,))])
    assert 1 <= len(one.tokens) <= 5
