"""B4: useful tokens per second of rollouts whose lengths have a long tail, against transformers' own batches.

All sides run one model, a plain Llama with the weights of the packaged trivox-nano, and draw as many tokens for
each prompt as a seeded long-tailed distribution says. Padded `generate` keeps a batch going until its longest row
is done and gives no log-probs; ours applies a constraint and reports the log-prob of each token.

How the cost grows is measured at a quarter and a half of the rows too, with the same share of each length: seconds
of ours for each useful token, which should stay what they are or fall as slots are full for longer.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import ContinuousBatchingConfig, GenerationConfig, LlamaForCausalLM

from trivox.bench.harness import Result, Timing, interleaved, ratio
from trivox.pipelines.workspaces import packaged_checkpoint
from trivox.platform.records import Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.branches.constraint import Mask
from trivox.policy.engine import InProcessEngine, Request
from trivox.policy.engine.decoder import SlotDecoder

SLOTS, AT_LEAST = 16, 2.0
TAIL = {8: 64, 16: 32, 32: 16, 64: 12, 128: 4}
"""Tokens -> rows of that length."""
PARTS = (4, 2, 1)
"""Sizes: a quarter, a half and all of the rows; all of them decide."""
PROMPT_TOKENS = (16, 48)


class _Endless:
    """Anything but the end: the lengths are the workload's."""

    def __init__(self, size: int, eos: int) -> None:
        self.mask: Mask = np.ones(size, np.bool_)
        self.mask[eos] = False

    def start(self) -> "_Endless":
        return self

    def allowed(self) -> Mask:
        return self.mask

    def advance(self, token: int) -> None:
        pass


def run(full: bool) -> Result:
    """full: 15 repeats instead of 5."""
    model, eos, pad = _model()
    requests, repeats = _requests(model, eos), 15 if full else 5
    engine = InProcessEngine(model, eos, pad, SLOTS)
    decoder = SlotDecoder(model, SLOTS)
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: engine.generate(requests),
        "padded generate": lambda: _padded(model, requests, pad),
        "limit: steps": lambda: _full_steps(decoder, _limit_steps(requests), requests),
        "limit: prompts": lambda: [decoder.read(0, request) for request in requests],
    }
    notes = _with_generate_batch(work, model, requests)
    sides = interleaved(work, repeats)
    limit_s = sides["limit: steps"].median + sides["limit: prompts"].median
    ours = sides["ours"]
    peers = {
        name: ratio(sides[name], ours) if name in sides else None
        for name in ("padded generate", "generate_batch")
    }
    tokens = sum(one.sampling.max_tokens for one in requests)
    padded = peers["padded generate"]
    assert padded is not None
    grown, growth = _grown(engine, model, eos, pad, repeats, sides)
    return Result(
        name="rollout-tokens",
        ratio_to_peer=peers,
        ratio_to_limit=ours.median / limit_s,
        passed=padded >= AT_LEAST,
        threshold=f"at least {AT_LEAST}x the useful tokens per second of padded generate",
        terms={
            "bubble_free_steps": _limit_steps(requests),
            "step_s": sides["limit: steps"].median / _limit_steps(requests),
            "prompts_s": sides["limit: prompts"].median,
            "limit_s": limit_s,
        },
        sizes={
            "parameters": model.num_parameters(),
            "requests": ", ".join(str(len(requests) // part) for part in PARTS),
            "slots": SLOTS,
            "useful_tokens": tokens,
            "longest": max(TAIL),
        },
        sides=sides | grown,
        figures={
            f"tokens_per_s {name}": tokens / sides[name].median
            for name in ("ours", *peers)
            if name in sides
        }
        | growth,
        notes=notes,
    )


def _grown(
    engine: InProcessEngine,
    model: LlamaForCausalLM,
    eos: int,
    pad: int,
    repeats: int,
    whole: dict[str, Timing],
) -> tuple[dict[str, Timing], dict[str, float]]:
    """The sides of the smaller sizes, and for each size the seconds of a useful token and the ratio to padded
    generate; growth: ours for a token of all rows over that of a quarter of them."""
    timed, figures = dict[str, Timing](), dict[str, float]()
    for part in PARTS:
        some = _requests(model, eos, part)
        names = {side: f"{side} of {len(some)}" for side in ("ours", "padded generate")}
        if part == 1:
            found = {names[side]: whole[side] for side in names}
        else:
            found = interleaved(
                {
                    names["ours"]: partial(engine.generate, some),
                    names["padded generate"]: partial(_padded, model, some, pad),
                },
                repeats,
            )
            timed |= found
        ours, tokens = found[names["ours"]], sum(one.sampling.max_tokens for one in some)
        figures[f"s_per_token {names['ours']}"] = ours.median / tokens
        figures[f"to_padded of {len(some)}"] = ratio(found[names["padded generate"]], ours)
    each = [value for name, value in figures.items() if name.startswith("s_per_token")]
    return timed, figures | {"growth": each[-1] / each[0]}


def _model() -> tuple[LlamaForCausalLM, int, int]:
    """A plain Llama with nano's weights, its end and its padding."""
    backbone = Backbone.load(packaged_checkpoint(), encoder=False)
    lm: Any = backbone.lm
    plain = LlamaForCausalLM(lm.config.get_text_config()).to(lm.device, lm.dtype)
    plain.model.load_state_dict(lm.model.language_model.state_dict())
    plain.tie_weights()
    return plain.eval(), backbone.tokens.eos, backbone.tokens.pad


def _requests(model: LlamaForCausalLM, eos: int, part: int = 1) -> list[Request]:
    """One in `part` of the rows of each length. Prompts of 16 to 47 tokens, none like another; lengths in random
    order."""
    random = np.random.default_rng(0)
    rows = {length: count // part for length, count in TAIL.items()}
    lengths = random.permutation([length for length, count in rows.items() for _ in range(count)])
    size = model.config.vocab_size
    constraint = _Endless(size, eos)
    return [
        Request(
            random.integers(16, size, random.integers(*PROMPT_TOKENS)).tolist(),
            constraint,
            Sampling(max_tokens=int(length)),
            seed,
        )
        for seed, length in enumerate(lengths)
    ]


def _padded(model: LlamaForCausalLM, requests: Sequence[Request], pad: int) -> None:
    """Batches of as many rows as there are slots, in the order of the requests."""
    theirs: Any = model
    for begin in range(0, len(requests), SLOTS):
        batch = requests[begin : begin + SLOTS]
        width = max(len(one.prompt) for one in batch)
        ids = torch.tensor([[pad] * (width - len(one.prompt)) + one.prompt for one in batch])
        longest = max(one.sampling.max_tokens for one in batch)
        theirs.generate(
            ids.to(model.device),
            attention_mask=(ids != pad).long().to(model.device),
            do_sample=True,
            top_k=0,
            min_new_tokens=longest,
            max_new_tokens=longest,
            pad_token_id=pad,
        )


def _limit_steps(requests: Sequence[Request]) -> int:
    """Steps of all slots that the tokens after the prompts' own take where no slot is ever empty."""
    return -(-sum(one.sampling.max_tokens - 1 for one in requests) // SLOTS)


def _full_steps(decoder: SlotDecoder, count: int, requests: Sequence[Request]) -> None:
    """Forward passes alone, of full slots as long as rows are on the average."""
    half = sum(one.sampling.max_tokens**2 for one in requests) / (
        2 * sum(one.sampling.max_tokens for one in requests)
    )
    length = int(sum(PROMPT_TOKENS) / 2 + half)
    for _ in range(count):
        decoder.step([20] * SLOTS, [length] * SLOTS)


def _with_generate_batch(
    work: dict[str, Callable[[], object]], model: LlamaForCausalLM, requests: Sequence[Request]
) -> tuple[str, ...]:
    """Enter transformers' continuous batching among the sides where it runs here; else say why it does not."""
    try:
        _continuous(model, requests[:2])
    except Exception as error:  # whatever it is that keeps another's feature from running
        return (f"generate_batch does not run here: {type(error).__name__}: {error}",)
    work["generate_batch"] = lambda: _continuous(model, requests)
    return ()


def _continuous(model: LlamaForCausalLM, requests: Sequence[Request]) -> None:
    """Each request to its own length, which `generate_batch` itself has no way to say: the same engine beneath."""
    sampled = GenerationConfig(do_sample=True, top_k=0, eos_token_id=-1, max_new_tokens=max(TAIL))
    settings = ContinuousBatchingConfig(
        page_size=32, num_blocks=512, max_batch_tokens=512, max_requests_per_batch=SLOTS
    )
    managed: Any = model
    with managed.continuous_batching_context_manager(
        generation_config=sampled, continuous_batching_config=settings, block=True, timeout=5
    ) as manager:
        for one in requests:
            manager.add_request(one.prompt, max_new_tokens=one.sampling.max_tokens)
        left = len(requests)
        while left:
            result = manager.get_result(timeout=1)
            if result is not None and result.is_finished():
                left -= 1
            elif result is None and not manager.is_running():
                raise RuntimeError("it stopped before its requests were done")
