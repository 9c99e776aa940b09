"""Rows that come and go: no sample depends on its company, and no row's end or failure touches another."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tests.policy.engine.rows import (
    TEXTS,
    Everything,
    endless_audio,
    engine_of,
    mixed_requests,
    said,
    small_model,
)
from trivox.platform.errors import BrokenAudio, BrokenScores, ConfigError, DeadEnd
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.branches.constraint import mask_of
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.engine import Drawn, Generation, InProcessEngine, Request

SAMPLING = Sampling(max_tokens=24)


def drained(engine: InProcessEngine) -> dict[Any, list[Drawn]]:
    """All that an engine draws until it has nothing left, by key."""
    found: dict[Any, list[Drawn]] = {}
    while engine.busy:
        for drawn in engine.step():
            found.setdefault(drawn.key, []).append(drawn)
    return found


def of_limits(backbone: Backbone, limits: list[int]) -> list[Request]:
    """Requests that end by their limits and not before, each with a prompt of its own."""
    constraint = endless_audio(backbone.tokens)
    return [
        Request(
            tts_prompt(backbone.tokens, "abcdefgh"[: 1 + row]),
            constraint,
            Sampling(max_tokens=n),
            row,
        )
        for row, n in enumerate(limits)
    ]


@pytest.mark.parametrize("slots", [4, 16])
def test_bit_for_bit_alone_and_in_any_company(hearing: Backbone, slots: int) -> None:
    """Twelve rows of all branches: each alone, all in order, all in four other orders (so in other slots, beside
    others, let in at other steps): the same tokens and the same log-probs to the last bit."""
    requests = mixed_requests(hearing, SAMPLING)
    engine = engine_of(hearing, slots)
    alone = said([engine.generate([request])[0] for request in requests])
    assert len({tuple(tokens) for tokens, *_ in alone}) == 12
    assert said(engine.generate(requests)) == alone
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(12)
        shuffled = said(engine.generate([requests[row] for row in order]))
        assert shuffled == [alone[row] for row in order]


def test_bits_do_not_depend_on_how_long_the_neighbours_are(backbone: Backbone) -> None:
    """Beside a row of 110 tokens attention runs over 128 columns, alone over 64."""
    short, long = of_limits(backbone, [30, 30])
    long = Request([*long.prompt, *[7] * 80], long.constraint, long.sampling, 9)
    engine = engine_of(backbone, 4)
    (alone,) = engine.generate([short])
    assert said(engine.generate([long, short]))[1:] == said([alone])


def test_a_row_that_waited_comes_in_where_one_left(backbone: Backbone) -> None:
    """Two slots and limits 2, 4, 3: a and b begin; a ends in step 2; c comes in step 3, beside b; b ends in step
    4, c in step 5."""
    engine = engine_of(backbone, 2)
    requests = of_limits(backbone, [2, 4, 3])
    for key, request in zip("abc", requests, strict=True):
        engine.submit(key, request)
    steps = []
    while engine.busy:
        steps.append("".join(sorted(drawn.key for drawn in engine.step())))
    assert steps == ["ab", "ab", "bc", "bc", "c"]
    assert engine.step() == []


def test_stepping_draws_what_generating_draws(hearing: Backbone) -> None:
    requests = mixed_requests(hearing, SAMPLING)
    engine = engine_of(hearing, 5)
    for key, request in enumerate(requests):
        engine.submit(key, request)
    stepped = drained(engine)
    for key, one in enumerate(engine.generate(requests)):
        assert [drawn.token for drawn in stepped[key]] == one.tokens
        assert [drawn.logprob for drawn in stepped[key]] == one.logprobs
        reasons = [drawn.finish_reason for drawn in stepped[key]]
        assert reasons == [None] * (len(one.tokens) - 1) + [one.finish_reason]


@pytest.mark.parametrize("fixed", [True, False])
def test_cancelling_frees_the_slot_at_once(backbone: Backbone, fixed: bool) -> None:
    """Two slots, three rows; the first is cancelled after three tokens: the third comes in with the next step, and
    both others say what they say without it."""
    requests = of_limits(backbone, [20, 20, 20])
    engine = engine_of(backbone, 2, fixed)
    expected = [said(engine.generate([request]))[0][0] for request in requests]
    for key, request in zip("abc", requests, strict=True):
        engine.submit(key, request)
    first = [engine.step() for _ in range(3)]
    assert {drawn.key for step in first for drawn in step} == {"a", "b"}
    assert engine.cancel("a") and engine.busy == 2
    then = engine.step()
    assert {drawn.key for drawn in then} == {"b", "c"}
    rest = drained(engine)
    assert "a" not in rest
    for key, wanted in zip("bc", expected[1:], strict=True):
        heard = [drawn.token for step in [*first, then] for drawn in step if drawn.key == key]
        assert heard + [drawn.token for drawn in rest[key]] == wanted


def test_cancelling_what_waits_what_is_over_and_what_never_was(backbone: Backbone) -> None:
    engine = engine_of(backbone, 1)
    for key, request in zip("ab", of_limits(backbone, [2, 2]), strict=True):
        engine.submit(key, request)
    assert engine.cancel("b") and not engine.cancel("b")
    assert set(drained(engine)) == {"a"}
    assert not engine.cancel("a") and not engine.cancel("z")
    assert engine.busy == 0 and engine.step() == []


def test_a_key_is_free_again_when_its_request_is_over(backbone: Backbone) -> None:
    engine = engine_of(backbone)
    (request,) = of_limits(backbone, [2])
    engine.submit("a", request)
    with pytest.raises(ConfigError, match="request a is not finished"):
        engine.submit("a", request)
    with pytest.raises(ConfigError, match="1 submitted requests are not finished"):
        engine.generate([request])
    first = drained(engine)
    engine.submit("a", request)
    assert drained(engine) == first


def test_one_prompt_is_read_once(hearing: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four samples of each of two prompts, of which one is heard, in two slots: two prompts read. The samples are
    those of engines that read each prompt anew."""
    heard, spoken, *_ = mixed_requests(hearing, SAMPLING)
    requests = [
        Request(one.prompt, one.constraint, SAMPLING, seed, one.audio)
        for one in (heard, spoken)
        for seed in range(4)
    ]
    expected = [said(engine_of(hearing, 2).generate([request]))[0] for request in requests]
    widths = passes_of(hearing.lm, monkeypatch)
    generations = engine_of(hearing, 2).generate(requests)
    monkeypatch.undo()
    assert said(generations) == expected
    assert sum(width > 1 for width in widths) == 2
    assert sum(one.timings["prefill_s"] > 0 for one in generations) == 8


def passes_of(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of a row in each forward pass from now on."""
    widths: list[int] = []
    forward = model.forward

    def recorded(*args: Any, **kwargs: Any) -> Any:
        widths.append(kwargs["input_ids"].shape[1])
        return forward(*args, **kwargs)

    monkeypatch.setattr(model, "forward", recorded)
    return widths


def test_another_clip_behind_the_same_prompt_is_read(hearing: Backbone) -> None:
    first, *_ = mixed_requests(hearing, SAMPLING)
    other = Request(first.prompt, first.constraint, SAMPLING, first.seed, (-2 * first.audio[0],))
    one, another = engine_of(hearing).generate([first, other])
    assert one.logprobs != another.logprobs


def test_changed_weights_are_seen(backbone: Backbone) -> None:
    """No prompt that the old weights have read serves the new ones."""
    requests = of_limits(backbone, [6, 6])
    engine = engine_of(backbone)
    engine.submit(0, requests[0])
    stepped = drained(engine)[0]
    before = said(engine.generate(requests))
    assert [drawn.logprob for drawn in stepped] == before[0][1]
    engine.submit(0, requests[0])
    drained(engine)
    with torch.no_grad():
        for weight in backbone.lm.parameters():
            weight.mul_(0.7)
    engine.submit(0, requests[0])
    again = drained(engine)[0]
    after = said(engine.generate(requests))
    assert after == said(engine_of(backbone).generate(requests)) != before
    assert [drawn.logprob for drawn in again] == after[0][1]


def test_what_is_recorded_of_a_row(backbone: Backbone) -> None:
    """One slot, limits 3 and 1: 3 and 1 passes; the second waits for the first, and its first token is its
    last."""
    first, second = engine_of(backbone, 1).generate(of_limits(backbone, [3, 1]))
    assert (first.decoding.forward_passes, second.decoding.forward_passes) == (3, 1)
    for one in (first, second):
        assert set(one.timings) == {"wait_s", "prefill_s", "first_token_s", "total_s"}
    assert second.timings["wait_s"] > first.timings["first_token_s"]
    assert second.timings["first_token_s"] == second.timings["total_s"]
    assert first.timings["wait_s"] < first.timings["first_token_s"] < first.timings["total_s"]


def test_no_requests(backbone: Backbone) -> None:
    assert engine_of(backbone).generate([]) == []
    with pytest.raises(ConfigError, match="0 slots"):
        engine_of(backbone, 0)
    (request,) = of_limits(backbone, [1])
    with pytest.raises(ConfigError, match="request 0: its prompt has 0 tokens"):
        engine_of(backbone).generate([Request([], request.constraint, SAMPLING, 0)])


def test_one_token_and_the_last_place_of_the_context(backbone: Backbone) -> None:
    """max_tokens 1, and a prompt of 127 tokens in a context of 128, beside a row that has all the room it
    wants."""
    one, rest = of_limits(backbone, [1, 8])
    brim = Request([7] * 127, one.constraint, Sampling(max_tokens=8), 3)
    generations = engine_of(backbone, 2).generate([one, brim, rest])
    assert [len(g.tokens) for g in generations] == [1, 1, 8]
    assert {g.finish_reason for g in generations} == {FinishReason.LENGTH}
    (alone,) = engine_of(backbone, 2).generate([rest])
    assert said([alone]) == said(generations[2:])


def poisoned(backbone: Backbone, token: int) -> Backbone:
    """The backbone with NaN for the embedding of one token: a row that reads it is NaN from there on."""
    changed = copy.copy(backbone)
    changed.lm = copy.deepcopy(backbone.lm)
    with torch.no_grad():
        changed.lm.get_input_embeddings().weight[token] = torch.nan
    return changed


def test_scores_that_are_no_numbers(backbone: Backbone) -> None:
    """One of three rows is broken: it fails by name, the others say what they say without it, and so does the row
    that comes into its slot."""
    broken = poisoned(backbone, token=5)
    good = of_limits(backbone, [6, 6, 6])
    bad = Request([*good[0].prompt, *[5] * 20], good[0].constraint, SAMPLING, 0)
    engine = engine_of(broken, 2)
    expected = [said([one])[0][0] for one in engine.generate(good)]
    for key, request in zip("axbc", [good[0], bad, *good[1:]], strict=True):
        engine.submit(key, request)
    found = drained(engine)
    (failed,) = found.pop("x")
    assert (failed.token, failed.finish_reason) == (-1, FinishReason.FAILED)
    assert isinstance(failed.error, BrokenScores)
    assert "request x: 16 of the model's 16 allowed scores are no finite numbers" in str(
        failed.error
    )
    assert [[drawn.token for drawn in found[key]] for key in "abc"] == expected
    with pytest.raises(BrokenScores, match="request 1: "):
        engine.generate([good[0], bad])
    assert [one.tokens for one in engine.generate(good)] == expected


def test_a_constraint_that_allows_nothing(backbone: Backbone) -> None:
    nothing = Everything(np.zeros(backbone.tokens.vocab_size, np.bool_))
    (good,) = of_limits(backbone, [4])
    engine = engine_of(backbone)
    with pytest.raises(DeadEnd, match="request 1: its constraint allows none of"):
        engine.generate([good, Request(good.prompt, nothing, SAMPLING, 0)])
    assert len(engine.generate([good])[0].tokens) == 4


def test_infinite_scores_are_no_distribution(backbone: Backbone) -> None:
    with torch.no_grad():
        backbone.lm.model.norm.weight.mul_(torch.inf)
    (good,) = of_limits(backbone, [4])
    with pytest.raises(BrokenScores, match="request 0"):
        engine_of(backbone).generate([good])


def test_a_prompt_that_the_model_refuses(
    hearing: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the encoder finds wrong with one row's audio is that row's failure."""
    heard, spoken, *_ = mixed_requests(hearing, SAMPLING)

    def refuse(*_: Any) -> None:
        raise BrokenAudio("clip 0 is too long")

    monkeypatch.setattr(hearing.lm.model, "hear", refuse)
    engine = engine_of(hearing)
    engine.submit("heard", heard)
    engine.submit("spoken", spoken)
    found = drained(engine)
    (failed,) = found["heard"]
    assert (failed.finish_reason, str(failed.error)) == (FinishReason.FAILED, "clip 0 is too long")
    assert len(found["spoken"]) == SAMPLING.max_tokens


GREEDY = Sampling(temperature=0.0, max_tokens=20)
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {"attn_implementation": "eager"},
    "Mistral": {"sliding_window": 6},
    "Qwen2": {
        "use_sliding_window": True,
        "sliding_window": 6,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "Qwen3": {},
    "Gemma2": {"sliding_window": 6, "query_pre_attn_scalar": 8, "attn_implementation": "eager"},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_models_of_others(family: str) -> None:
    """Windows that slide, grouped heads, scores that are capped: greedy as transformers' own generate of each row
    by itself, with rows that come and go."""
    model = small_model(family, **FAMILIES[family])
    everything = Everything(np.ones(64, np.bool_))
    random = np.random.default_rng(1)
    prompts = [random.integers(2, 64, length).tolist() for length in (3, 30, 9, 1, 17)]
    engine = InProcessEngine(model, eos=1, pad=0, slots=2)
    generations = engine.generate([Request(one, everything, GREEDY, 0) for one in prompts])
    for prompt, one in zip(prompts, generations, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20
        )
        assert one.tokens == theirs[0, len(prompt) :].tolist()


def test_models_that_the_engine_has_no_slots_for() -> None:
    everything = Everything(np.ones(64, np.bool_))
    request = Request([3], everything, GREEDY, 0)
    model = small_model("Qwen3")
    model.config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(ConfigError, match="layers of linear_attention"):
        InProcessEngine(model, eos=1, pad=0).generate([request])
    model = small_model("Qwen3")
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ConfigError, match="'flash_attention_2', which takes no mask of rows"):
        InProcessEngine(model, eos=1, pad=0).generate([request])


def test_generations_have_a_size(backbone: Backbone) -> None:
    """A bad name in TEXTS would make the tests above hollow: all four texts are spoken."""
    constraint = endless_audio(backbone.tokens)
    mask = mask_of(backbone.tokens, [backbone.tokens.eos])
    assert not (constraint.start().allowed() & mask).any()
    requests = [Request(tts_prompt(backbone.tokens, t), constraint, SAMPLING, 0) for t in TEXTS]
    generations: list[Generation] = engine_of(backbone).generate(requests)
    assert [len(one.tokens) for one in generations] == [24] * 4
