"""Completions from a server of OpenAI's protocol: vLLM, SGLang, or Trivox's own.

What a server cannot do is said and not passed over. Log-probs that it does not give, or gives of another
distribution than it sampled from, are marked so; a constraint that it cannot enforce is refused, or its breaches
are counted.
"""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from trivox.platform.errors import BadAnswer, ConfigError, ServerRefused, ServerUnavailable
from trivox.platform.records import DecodingStatistics, FinishReason, Sampling
from trivox.policy.branches.constraint import Constraint, TextConstraint
from trivox.policy.engine.dialects import DIALECTS, Answer, Asked
from trivox.policy.engine.requests import Generation, LogprobsOf, Request

log = logging.getLogger(__name__)
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class ServerSettings:
    """A server and how it is asked.

    url: its root, `http://host:port`. model: as the server names it. context: tokens of prompt and completion
    together. logprobs: what the server's log-probs are of: vLLM's are raw unless it was started with
    `--logprobs-mode processed_logprobs`; Trivox's own are sampled. on_constraint: whether a constraint that the
    server cannot enforce is refused, or only counted. timeout_s of one try; retries after the first, with pauses
    of pause_s, 2 pause_s, 4 pause_s, … or as long as the server says.
    """

    url: str
    model: str
    context: int
    dialect: Literal["vllm", "sglang"] = "vllm"
    logprobs: Literal["sampled", "raw"] = "raw"
    on_constraint: Literal["refuse", "count"] = "refuse"
    parallel: int = 16
    timeout_s: float = 120.0
    retries: int = 3
    pause_s: float = 0.5
    key: str | None = field(default=None, repr=False)


class HttpEngine:
    """A RolloutEngine whose model runs elsewhere; `parallel` requests are on their way at a time."""

    name = "http"

    def __init__(self, settings: ServerSettings, eos: int) -> None:
        """Raises ConfigError for an address that is no http(s) one, an unknown dialect, no request at a time."""
        if not settings.url.startswith(("http://", "https://")):
            raise ConfigError(f"server {settings.url!r}: give an address that begins with http")
        if settings.dialect not in DIALECTS:
            raise ConfigError(f"dialect {settings.dialect!r}: give one of {', '.join(DIALECTS)}")
        if settings.parallel < 1 or settings.retries < 0:
            raise ConfigError(
                f"{settings.parallel} requests at a time, {settings.retries} retries: give 1 and 0 at least"
            )
        self.settings, self.eos, self.dialect = settings, eos, DIALECTS[settings.dialect]

    @property
    def repeatable(self) -> bool:
        """Whether a request's seed decides its sample: a server without seeds of requests draws as it likes."""
        return self.dialect.seeds

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Completions in the order of the requests.

        Raises ConfigError, before anything is asked, for a prompt that is empty or leaves no room in the context,
        a limit of no tokens, audio, which has no place in the protocol, and a constraint that the server cannot
        enforce unless these are counted; ServerUnavailable, ServerRefused and BadAnswer, naming the request.
        """
        asked = [self._asked(index, request) for index, request in enumerate(requests)]
        if not asked:
            return []
        headers = {"Authorization": f"Bearer {self.settings.key}"} if self.settings.key else {}
        timeout = httpx.Timeout(self.settings.timeout_s)
        with (
            httpx.Client(base_url=self.settings.url, headers=headers, timeout=timeout) as client,
            ThreadPoolExecutor(self.settings.parallel) as pool,
        ):
            tasks = [
                pool.submit(self._complete, client, index, one) for index, one in enumerate(asked)
            ]
            try:
                found = [task.result() for task in tasks]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        generations = [
            self._generation(request, one, *answer)
            for request, one, answer in zip(requests, asked, found, strict=True)
        ]
        _tell_breaches(generations)
        return generations

    def _asked(self, index: int, request: Request) -> Asked:
        count, context = len(request.prompt), self.settings.context
        if not 0 < count < context:
            raise ConfigError(
                f"request {index}: its prompt has {count} tokens and the model's context {context}: "
                f"give 1 to {context - 1}"
            )
        if request.sampling.max_tokens < 1:
            raise ConfigError(
                f"request {index}: max_tokens is {request.sampling.max_tokens}: allow at least 1"
            )
        if request.audio:
            raise ConfigError(
                f"request {index}: it has {len(request.audio)} clips, and completions over HTTP take token ids "
                "alone: use the in-process engine for what hears"
            )
        budget = min(request.sampling.max_tokens, context - count)
        allowed = self._allowed(index, request.constraint)
        return Asked(
            self.settings.model,
            request.prompt,
            request.sampling,
            budget,
            request.seed,
            self.eos,
            allowed,
        )

    def _allowed(self, index: int, constraint: Constraint) -> tuple[int, ...] | None:
        """The ids that the server is told to keep to; None where it cannot be told and breaches are counted."""
        if self._enforces(constraint):
            assert isinstance(constraint, TextConstraint)
            return tuple(constraint.allowed().nonzero()[0].tolist())
        if self.settings.on_constraint == "count":
            return None
        raise ConfigError(
            f"request {index}: dialect {self.dialect.name} cannot enforce {type(constraint).__name__}: use the "
            'in-process engine, or on_constraint = "count" to let it pass and count its breaches'
        )

    def _enforces(self, constraint: Constraint) -> bool:
        """A list of ids can be given to some servers; what depends on what was said before to none."""
        return self.dialect.masks and isinstance(constraint, TextConstraint)

    def _complete(self, client: httpx.Client, index: int, asked: Asked) -> tuple[Answer, float]:
        """The answer and the seconds that it took, retries included."""
        began, name = time.perf_counter(), f"request {index} to {self.settings.url}"
        told = self._post(client, name, self.dialect.body(asked))
        try:
            answer = self.dialect.answer(told)
        except BadAnswer as error:
            raise BadAnswer(f"{name}: {error}") from error
        self._check(name, asked, answer)
        return answer, time.perf_counter() - began

    def _check(self, name: str, asked: Asked, answer: Answer) -> None:
        """Raises BadAnswer for an answer that is not what was asked."""
        tokens, ended = answer.tokens, answer.finish_reason is FinishReason.END
        if not 0 < len(tokens) <= asked.max_tokens:
            raise BadAnswer(f"{name}: {len(tokens)} tokens, and 1 to {asked.max_tokens} were asked")
        if ended != (tokens[-1] == self.eos):
            raise BadAnswer(
                f"{name}: it ended by {answer.finish_reason} with token {tokens[-1]}, and the end is {self.eos}"
            )
        if asked.allowed is not None and (strange := set(tokens) - set(asked.allowed)):
            raise BadAnswer(f"{name}: tokens {sorted(strange)[:4]} are not among those allowed")

    def _post(self, client: httpx.Client, name: str, body: dict[str, Any]) -> dict[str, Any]:
        tries, pause = self.settings.retries + 1, self.settings.pause_s
        for attempt in range(tries):
            wait = pause * 2**attempt
            try:
                response = client.post(self.dialect.path, json=body)
            except httpx.TransportError as error:
                fault = f"{type(error).__name__} {error}".strip()
            else:
                if response.status_code not in _AGAIN:
                    return _object(name, response)
                fault = f"status {response.status_code}"
                wait = max(wait, _retry_after(response))
            if attempt + 1 < tries:
                time.sleep(min(wait, _LONGEST_PAUSE_S))
        raise ServerUnavailable(
            f"{name}: {fault} after {tries} tries: start the server, or allow more time or retries"
        )

    def _generation(
        self, request: Request, asked: Asked, answer: Answer, seconds: float
    ) -> Generation:
        return Generation(
            answer.tokens,
            answer.logprobs or [],
            answer.finish_reason,
            DecodingStatistics(len(answer.tokens)),
            {"total_s": seconds},
            self._logprobs_of(asked, answer),
            None if asked.allowed is not None else breaches(request.constraint, answer.tokens),
        )

    def _logprobs_of(self, asked: Asked, answer: Answer) -> LogprobsOf:
        if answer.logprobs is None:
            return LogprobsOf.ABSENT
        plain = _changes_nothing(asked.sampling) and asked.allowed is None
        return LogprobsOf.SAMPLED if plain else LogprobsOf(self.settings.logprobs)


def breaches(constraint: Constraint, tokens: Sequence[int]) -> int:
    """How many of the tokens the constraint forbids where they stand. After the first breach it is no longer told
    what was said, for it could not follow: the rest is held against the place of the breach."""
    state, count = constraint.start(), 0
    for token in tokens:
        if token < len(allowed := state.allowed()) and allowed[token]:
            state.advance(token)
        else:
            count += 1
    return count


def _tell_breaches(generations: Sequence[Generation]) -> None:
    counted = [one for one in generations if one.forbidden is not None]
    if forbidden := sum(one.forbidden or 0 for one in counted):
        total = sum(len(one.tokens) for one in counted)
        log.warning(
            "%d of %d tokens (%.1f%%) of %d completions are outside their constraint, which the server does "
            "not enforce",
            *(forbidden, total, 100 * forbidden / total, len(counted)),
        )


def _changes_nothing(sampling: Sampling) -> bool:
    return sampling.temperature in (0, 1) and sampling.top_k == 0 and sampling.top_p == 1


def _object(name: str, response: httpx.Response) -> dict[str, Any]:
    if response.status_code != 200:
        said = " ".join(response.text[:300].split())
        raise ServerRefused(f"{name}: status {response.status_code}: {said}")
    try:
        told = response.json()
    except ValueError as error:
        raise BadAnswer(
            f"{name}: the answer is no JSON: is this a server of completions?"
        ) from error
    if not isinstance(told, dict):
        raise BadAnswer(f"{name}: the answer is a {type(told).__name__} and no JSON object")
    return told


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the server asks to wait; 0 where it says nothing, or a date."""
    told = response.headers.get("retry-after", "")
    return float(told) if told.isdigit() else 0.0
