"""A judge behind an OpenAI-compatible server (vLLM, SGLang, a vendor): text, and audio as input_audio parts.

Nothing that goes wrong becomes a score: what can pass is tried again after a pause, what cannot, or did not, is a
typed failure of that view alone. The key comes from an environment variable and is in no message.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx

from trivox.platform.records import Failure
from trivox.reward_models.generative.backends import (
    Identity,
    JudgeFailure,
    Reading,
    Spent,
    failure,
    from_probabilities,
    parsed,
)
from trivox.reward_models.generative.completions import completion_of
from trivox.reward_models.generative.messages import messages_of
from trivox.reward_models.generative.questions import View
from trivox.reward_models.generative.server_config import ServerConfig
from trivox.reward_models.generative.templates import Template

MAX_ANSWER_BYTES = 1 << 20
TOP = 20
"""How many of the likeliest tokens a server is asked for; OpenAI gives no more."""
_PASSING = {408: JudgeFailure.TIMEOUT, 429: JudgeFailure.RATE_LIMITED}
_SHOWN = 120


class ServerJudge:
    """Requests in `config.parallel` threads; answers in the order of the views. sleep: waits between tries."""

    def __init__(self, config: ServerConfig, sleep: Callable[[float], None] = time.sleep) -> None:
        self.config, self._sleep = config, sleep
        key = config.key()
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._key = key
        self._client = httpx.Client(
            base_url=config.base_url.rstrip("/") + "/",
            headers=headers,
            timeout=httpx.Timeout(config.timeout_s),
            follow_redirects=False,  # a redirect would carry the key to another host
        )
        self._ledger = _Ledger(config, sleep)

    def __enter__(self) -> "ServerJudge":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    @property
    def identity(self) -> Identity:
        host = httpx.URL(self.config.base_url).host
        name = f"server:{self.config.model}"
        return Identity(
            name, f"{self.config.model} at {host}", self.config.family or self.config.model
        )

    @property
    def spent(self) -> Spent:
        return self._ledger.spent

    def read(
        self, views: Sequence[View], template: Template, reasons: bool
    ) -> list[Reading | Failure]:
        with ThreadPoolExecutor(self.config.parallel) as pool:
            return list(pool.map(lambda view: self._one(view, template, reasons), views))

    def _one(self, view: View, template: Template, reasons: bool) -> Reading | Failure:
        made = messages_of(view, template, reasons, self.config.hears)
        if isinstance(made, Failure):
            return made
        asked = self._body(made, view, reasons)
        last = failure(JudgeFailure.UNREACHABLE, f"question {view.question.id}: not tried")
        for attempt in range(self.config.attempts):
            if (refused := self._ledger.admit(attempt)) is not None:
                return failure(refused, f"question {view.question.id}: {self._ledger.why(refused)}")
            found, pause = self._try(asked, view, template, reasons)
            if not isinstance(found, Failure) or pause is None:
                return found
            last = found
            if attempt + 1 < self.config.attempts:
                self._sleep(self._pause(attempt, pause, view))
        return replace(last, message=f"{last.message} ({self.config.attempts} attempts)")

    def _body(self, messages: list[dict[str, Any]], view: View, reasons: bool) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.config.model,
            "messages": messages,
            "seed": view.seed % 2**31,
        }
        if reasons:
            limit = {"max_tokens": self.config.reasoning_tokens}
            return body | limit | {"temperature": self.config.temperature}
        return body | {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": TOP}

    def _pause(self, attempt: int, asked: float, view: View) -> float:
        """Seconds: what the server asked for, else doubling with a jitter of the view's own; at most
        max_pause_s."""
        jitter: float = 0.5 + (view.seed >> 3) % 1000 / 2000
        wait: float = max(asked, self.config.pause_s * 2**attempt * jitter)
        return min(wait, self.config.max_pause_s)

    def _try(
        self, body: dict[str, Any], view: View, template: Template, reasons: bool
    ) -> tuple[Reading | Failure, float | None]:
        """What came of one request, and how long to wait before another; None: another would not help."""
        name = f"question {view.question.id}"
        try:
            status, headers, content = self._post(body)
        except httpx.TimeoutException:
            took = f"{name}: no answer within {self.config.timeout_s:g} s"
            return failure(JudgeFailure.TIMEOUT, took), 0.0
        except httpx.HTTPError as error:
            why = f"{name}: {type(error).__name__}: {self._clean(str(error))}"
            return failure(JudgeFailure.UNREACHABLE, why), 0.0
        except _TooLong:
            why = f"{name}: the answer is longer than {MAX_ANSWER_BYTES} bytes"
            return failure(JudgeFailure.BROKEN_ANSWER, why), None
        if status != 200:
            return self._refused(name, status, headers, content)
        return self._answered(name, content, template, reasons)

    def _post(self, body: dict[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body; a server that trickles or floods is cut off."""
        started, read = time.monotonic(), bytearray()
        with self._client.stream("POST", "chat/completions", json=body) as response:
            for chunk in response.iter_bytes():
                read += chunk
                if len(read) > MAX_ANSWER_BYTES:
                    raise _TooLong
                if time.monotonic() - started > self.config.timeout_s:
                    raise httpx.ReadTimeout("the answer took too long")
        return response.status_code, response.headers, bytes(read)

    def _refused(
        self, name: str, status: int, headers: httpx.Headers, content: bytes
    ) -> tuple[Failure, float | None]:
        said = self._clean(content.decode("utf-8", "replace"))
        passing = status in _PASSING or status >= 500
        kind = _PASSING.get(status, JudgeFailure.SERVER_ERROR if passing else JudgeFailure.REFUSED)
        why = f"{name}: the server answered {status}: {said or 'nothing'}"
        return failure(kind, why), _retry_after(headers) if passing else None

    def _answered(
        self, name: str, content: bytes, template: Template, reasons: bool
    ) -> tuple[Reading | Failure, float | None]:
        completion = completion_of(content)
        if isinstance(completion, str):
            why = f"{name}: {completion}: {self._clean(content.decode('utf-8', 'replace'))}"
            return failure(JudgeFailure.BROKEN_ANSWER, why), 0.0
        self._ledger.used(completion.prompt_tokens, completion.completion_tokens)
        if completion.cut_off and reasons:
            return Reading(None, completion.text), None  # a verdict that was not reached is none
        if reasons:
            return parsed(template, completion.text), None
        if completion.top is None:  # a server without log-probs: the label alone, or nothing
            return parsed(template, f"{template.cue} {completion.text.strip()}"), None
        found = {label: completion.top.get(label, 0.0) for label in template.labels}
        reading = from_probabilities(template, found, self.config.least_mass)
        return replace(reading, raw=f"{completion.text} | {reading.raw}"), None

    def _clean(self, text: str) -> str:
        """A server's words for a message: one short line, without the key that some servers repeat."""
        if self._key:
            text = text.replace(self._key, "***")
        printable = "".join(c if c.isprintable() else " " for c in text)
        line = " ".join(printable.split())
        return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


class _TooLong(Exception):
    """The answer does not end."""


def _retry_after(headers: httpx.Headers) -> float:
    """Seconds that the server asks to wait; 0 for none, for a date or for nonsense."""
    try:
        seconds = float(headers.get("retry-after", "0"))
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


class _Ledger:
    """What was spent, and whether more may be: requests a minute, price in all. Shared by the threads."""

    def __init__(self, config: ServerConfig, sleep: Callable[[float], None]) -> None:
        self.config, self._sleep, self._lock = config, sleep, threading.Lock()
        self._next, self._requests, self._retries, self._prompt, self._completion = 0.0, 0, 0, 0, 0

    @property
    def spent(self) -> Spent:
        return Spent(self._requests, self._retries, self._prompt, self._completion, self._price())

    def admit(self, attempt: int) -> JudgeFailure | None:
        """Waits for the turn of one request; a failure once the limit of the price is reached."""
        with self._lock:
            price = self._price()
            if (
                price is not None
                and self.config.max_price is not None
                and price >= self.config.max_price
            ):
                return JudgeFailure.COST_LIMIT
            self._requests += 1
            self._retries += attempt > 0
            now, every = time.monotonic(), 60 / self.config.requests_per_minute
            wait, self._next = max(0.0, self._next - now), max(now, self._next) + every
        if wait > 0:
            self._sleep(wait)
        return None

    def used(self, prompt: int, completion: int) -> None:
        with self._lock:
            self._prompt += prompt
            self._completion += completion

    def why(self, kind: JudgeFailure) -> str:
        return (
            f"{kind.value}: {self._price():.4g} of {self.config.max_price:.4g} {self.config.currency} are spent: "
            "raise max_price, or judge fewer pairs"
        )

    def _price(self) -> float | None:
        prompt, completion = self.config.prompt_price, self.config.completion_price
        if prompt is None or completion is None:
            return None
        return (self._prompt * prompt + self._completion * completion) / 1e6
