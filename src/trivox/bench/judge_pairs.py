"""B8: pairs judged a second, both orders, with the shared rubric's keys and values computed once.

Peers in the same run: the same judge without the reuse, and 64 tokens of reasoning before the verdict. The limit:
the tokens that nothing can leave out, the rubric once and each view's own. Verdicts have to be the same with and
without the reuse. Sizes as in the first measurement: 8 pairs of 96 tokens, 512 tokens of rubric, a language model
of 19 M parameters, random: speed does not depend on what it knows.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from trivox.bench.harness import Result, Timing, interleaved, ratio
from trivox.platform.errors import WorkError
from trivox.platform.records import Failure
from trivox.reward_models.generative.backends import Identity, Reading
from trivox.reward_models.generative.encoders import Encoded
from trivox.reward_models.generative.local import FORCED, Drawing, LocalJudge
from trivox.reward_models.generative.questions import Question, Reply, View, views_of
from trivox.reward_models.generative.templates import Template, load_template
from trivox.reward_models.generative.verdicts import decide

PAIRS = 8
RUBRIC = 512
PAIR_TOKENS = 96
AUDIO_PAIRS = 4
AUDIO_TOKENS = 300
"""Of an audio pair: two replies of 6 s at 25 codes a second."""
REASONING = 64
LEAST_RATIO = 3.0
EPSILON = 1e-4
VOCABULARY = 2048
WIDTH, LAYERS, FEED_FORWARD = 384, 8, 1024


class _Tokens:
    """Encoder of views of so many tokens: random ones, the same for the same view. No token ends the reasoning, so
    that all of it is drawn."""

    stop: frozenset[int] = frozenset()

    def __init__(self, own: int) -> None:
        self.own = own
        self.shared = tuple(_drawn(0, RUBRIC))

    def encode(self, view: View, template: Template, reasons: bool) -> Encoded:
        return Encoded(self.shared, tuple(_drawn(int(view.key[:8], 16), self.own)))

    def labels(self, template: Template) -> dict[str, int]:
        return {label: index for index, label in enumerate(template.labels)}

    def closing(self, template: Template) -> list[int]:
        return [VOCABULARY - 1]

    def text(self, ids: list[int]) -> str:
        return ""


def run(full: bool) -> Result:
    """Passes at 3 times the pairs a second without the reuse, where no verdict changes. full: more repeats."""
    model, template = _model(), load_template("scale@1")
    text, audio = _views(PAIRS), _views(AUDIO_PAIRS)
    kept = _judge(model, PAIR_TOKENS)
    cold = _judge(model, PAIR_TOKENS, reuse=False)
    thinking = _judge(model, PAIR_TOKENS, reasoning=REASONING)
    sound = _judge(model, AUDIO_TOKENS), _judge(model, AUDIO_TOKENS, reuse=False)
    timed = interleaved(
        {
            "shared prefix": _side(_fresh(kept), text, template),
            "no prefix reuse": _side(lambda: cold, text, template),
            "64-token reasoning": _side(_fresh(thinking), text, template, reasons=True),
            "audio, shared prefix": _side(_fresh(sound[0]), audio, template),
            "audio, no prefix reuse": _side(lambda: sound[1], audio, template),
            "unique tokens": _limit(model),
        },
        repeats=9 if full else 5,
    )
    changes = [_change(kept, cold, text, template), _change(*sound, audio, template)]
    change, verdicts = max(one for one, _ in changes), sum(count for _, count in changes)
    return _result(timed, change, verdicts, sum(p.numel() for p in model.parameters()))


def _result(timed: dict[str, Timing], change: float, verdicts: int, parameters: int) -> Result:
    ours = timed["shared prefix"]
    audio = ratio(timed["audio, no prefix reuse"], timed["audio, shared prefix"])
    reuse = ratio(timed["no prefix reuse"], ours)
    thinking = ratio(timed["64-token reasoning"], ours)
    return Result(
        name="judge-pairs",
        ratio_to_peer={"no prefix reuse": reuse, "64-token reasoning": thinking},
        ratio_to_limit=ratio(ours, timed["unique tokens"]),
        passed=reuse >= LEAST_RATIO and change < EPSILON and verdicts == 0,
        threshold=f"{LEAST_RATIO:g} times the pairs without prefix reuse, verdicts unchanged",
        terms={
            "rubric_tokens": float(RUBRIC),
            "own_tokens": float(2 * PAIRS * PAIR_TOKENS),
            "tokens_without_reuse": float(2 * PAIRS * (RUBRIC + PAIR_TOKENS)),
            "ratio_by_tokens": 2
            * PAIRS
            * (RUBRIC + PAIR_TOKENS)
            / (RUBRIC + 2 * PAIRS * PAIR_TOKENS),
            "unique_tokens_s": timed["unique tokens"].median,
        },
        sizes={
            "pairs": PAIRS,
            "orders": 2,
            "rubric_tokens": RUBRIC,
            "pair_tokens": PAIR_TOKENS,
            "audio_pairs": AUDIO_PAIRS,
            "audio_pair_tokens": AUDIO_TOKENS,
            "parameters": parameters,
        },
        sides=timed,
        figures={
            "pairs_per_second": PAIRS / ours.median,
            "audio_ratio": audio,
            "audio_pairs_per_second": AUDIO_PAIRS / timed["audio, shared prefix"].median,
            "largest_change_of_a_probability": change,
            "changed_verdicts": float(verdicts),
        },
        notes=(
            "random weights: what judges are worth against people is in `trivox reward judge` and in the report",
        ),
    )


def _model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=2048,
        initializer_range=0.05,
        tie_word_embeddings=True,
    )
    model: LlamaForCausalLM = LlamaForCausalLM(config).eval()
    if torch.cuda.is_available():
        torch.nn.Module.to(model, "cuda")
    return model


def _judge(model: LlamaForCausalLM, own: int, reuse: bool = True, reasoning: int = 0) -> LocalJudge:
    drawing = Drawing(2 * PAIRS, 0.7, reasoning, FORCED.least_mass)
    return LocalJudge(Identity("bench", "random", "bench"), model, _Tokens(own), drawing, reuse)


def _fresh(judge: LocalJudge) -> Callable[[], LocalJudge]:
    """The judge as it is before its first view: each timing pays for the rubric once."""

    def anew() -> LocalJudge:
        other = copy.copy(judge)
        other.forget()
        return other

    return anew


def _views(count: int) -> list[View]:
    asked = [
        Question(f"q{n}", Reply("1", f"one {n}"), Reply("2", f"two {n}")) for n in range(count)
    ]
    return [view for question in asked for view in views_of(question, 1, 0)]


def _side(
    judge: Callable[[], LocalJudge],
    views: Sequence[View],
    template: Template,
    reasons: bool = False,
) -> Callable[[], object]:
    return lambda: judge().read(views, template, reasons)


def _limit(model: LlamaForCausalLM) -> Callable[[], object]:
    """The unique tokens in one forward pass that attends as the views do: nothing before a row but the rubric."""
    ids = torch.tensor([_drawn(1, RUBRIC)], device=model.device)
    own = torch.tensor(
        [_drawn(2 + row, PAIR_TOKENS) for row in range(2 * PAIRS)], device=model.device
    )

    @torch.no_grad()
    def unique() -> None:
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
        model(input_ids=own, use_cache=False, logits_to_keep=1)

    return unique


def _change(
    one: LocalJudge, other: LocalJudge, views: Sequence[View], template: Template
) -> tuple[float, int]:
    """Largest difference in a probability, and how many views get another verdict; raises WorkError where a view
    was not judged."""
    both = [
        (_belief(a), _belief(b))
        for a, b in zip(
            one.read(views, template, False), other.read(views, template, False), strict=True
        )
    ]
    largest = max(abs(p - q) for a, b in both for p, q in zip(a, b, strict=True))
    return largest, sum(decide(a) != decide(b) for a, b in both)


def _belief(reading: Reading | Failure) -> tuple[float, ...]:
    if isinstance(reading, Failure) or reading.belief is None:
        raise WorkError(f"judge-pairs: a view was not judged: {reading}")
    return reading.belief


def _drawn(seed: int, count: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    drawn: list[int] = torch.randint(16, VOCABULARY - 1, (count,), generator=generator).tolist()
    return drawn
