"""How servers of completions are asked for tokens by token ids, and how they answer.

Each names the same things in its own way. What a server cannot be asked is said by the dialect's flags.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trivox.platform.errors import BadAnswer
from trivox.platform.records import FinishReason, Sampling

Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One completion as a server is asked for it. allowed: the only ids that may follow, None for all."""

    model: str
    prompt: Sequence[int]
    sampling: Sampling
    max_tokens: int
    seed: int
    eos: int
    allowed: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Answer:
    """tokens: the end included; logprobs: of each, None where the server gave none."""

    tokens: list[int]
    logprobs: list[float] | None
    finish_reason: FinishReason


class Dialect(Protocol):
    """path: of the endpoint; masks: whether allowed ids can be given; seeds: whether a seed of the request's
    own."""

    name: str
    path: str
    masks: bool
    seeds: bool

    def body(self, asked: Asked) -> Json: ...

    def answer(self, told: Json) -> Answer:
        """Raises BadAnswer."""
        ...


class VllmDialect:
    """OpenAI's completions with the additions of vLLM (0.10.2 and later: `return_token_ids`), which Trivox's own
    server speaks too."""

    name, path, masks, seeds = "vllm", "/v1/completions", True, True

    def body(self, asked: Asked) -> Json:
        sampling = asked.sampling
        body: Json = {
            "model": asked.model,
            "prompt": list(asked.prompt),
            "max_tokens": asked.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "seed": asked.seed,
            "logprobs": 0,
            "return_token_ids": True,
            "stop_token_ids": [asked.eos],
            "skip_special_tokens": False,
            "add_special_tokens": False,
        }
        return body if asked.allowed is None else body | {"allowed_token_ids": list(asked.allowed)}

    def answer(self, told: Json) -> Answer:
        try:
            choice = told["choices"][0]
            tokens, given = choice["token_ids"], choice.get("logprobs")
            logprobs = given["token_logprobs"] if given else None
            reason = _reason(choice["finish_reason"])
        except (KeyError, IndexError, TypeError) as error:
            raise BadAnswer(
                f"the answer has no {error}: ask a server that returns token ids, as vLLM 0.10.2 does"
            ) from error
        return _checked(tokens, logprobs, reason)


class SglangDialect:
    """SGLang's own endpoint: its form of OpenAI's returns no token ids. It takes no seed of a request's own unless
    the server runs with deterministic inference, and no list of allowed ids."""

    name, path, masks, seeds = "sglang", "/generate", False, False

    def body(self, asked: Asked) -> Json:
        sampling = asked.sampling
        return {
            "input_ids": list(asked.prompt),
            "sampling_params": {
                "max_new_tokens": asked.max_tokens,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k or -1,
                "sampling_seed": asked.seed,
                "stop_token_ids": [asked.eos],
                "skip_special_tokens": False,
            },
            "return_logprob": True,
        }

    def answer(self, told: Json) -> Answer:
        try:
            meta = told["meta_info"]
            given = meta.get("output_token_logprobs")
            logprobs = None if given is None else [one[0] for one in given]
            reason = _reason(meta["finish_reason"]["type"])
            tokens = told["output_ids"]
        except (KeyError, IndexError, TypeError) as error:
            raise BadAnswer(f"the answer has no {error}: is this a server of SGLang?") from error
        return _checked(tokens, logprobs, reason)


DIALECTS: dict[str, Dialect] = {one.name: one for one in (VllmDialect(), SglangDialect())}


def _reason(told: str) -> FinishReason:
    known = {"stop": FinishReason.END, "length": FinishReason.LENGTH}
    if told not in known:
        raise BadAnswer(f"the completion ended by {told!r}: only 'stop' and 'length' are known")
    return known[told]


def _checked(tokens: Any, logprobs: Any, reason: FinishReason) -> Answer:
    """Raises BadAnswer for tokens that are no ids, and for log-probs that are not one for each."""
    if not isinstance(tokens, list) or not all(type(one) is int and one >= 0 for one in tokens):
        raise BadAnswer("the answer's token ids are no list of ids")
    if logprobs is None:
        return Answer(tokens, None, reason)
    if not isinstance(logprobs, list) or len(logprobs) != len(tokens):
        raise BadAnswer(f"the answer has {len(tokens)} tokens and no log-prob for each")
    if not all(isinstance(one, int | float) and one <= 0 for one in logprobs):
        raise BadAnswer("the answer has log-probs that are no numbers up to 0")
    return Answer(tokens, [float(one) for one in logprobs], reason)
