"""`/v1/completions` over an engine: token ids in, token ids and their log-probs out, in the dialect of vLLM.

One thread steps the engine; requests of many clients share its slots. A client that hangs up has its row
cancelled.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import count
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, HTTPException
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trivox.platform.errors import TrivoxError, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.branches.constraint import Mask
from trivox.policy.engine.in_process import InProcessEngine
from trivox.policy.engine.requests import Drawn, Request, budget_of, position_limit

IDLE_S = 0.5
"""How often an idle thread looks whether it is to end."""
PATIENCE_S = 0.05
"""How often a client's connection is looked at while it waits."""
LARGEST_BODY = 4_000_000
"""Bytes of a request: a prompt of half a million ids."""
_REASONS = {FinishReason.END: "stop", FinishReason.LENGTH: "length"}


class AnyOf:
    """A constraint that allows the same tokens at each step: mask bool [vocab_size]."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def start(self) -> "AnyOf":
        return self

    def allowed(self) -> Mask:
        return self._mask

    def advance(self, token: int) -> None:
        pass


class CompletionRequest(BaseModel):
    """What Trivox reads of an OpenAI request for completions, with vLLM's additions; texts are not tokenised
    here."""

    model_config = ConfigDict(extra="ignore", strict=True)
    model: str = ""
    prompt: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] = 16
    temperature: Annotated[float, Field(ge=0, le=100)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    logprobs: int | None = None
    allowed_token_ids: list[int] | None = None
    n: Annotated[int, Field(ge=1, le=1)] = 1
    stream: bool = False

    def sampling(self) -> Sampling:
        return Sampling(self.temperature, max(0, self.top_k), self.top_p, self.max_tokens)


class EngineLoop:
    """The thread that steps an engine. waiting: how many requests may be unfinished at a time."""

    def __init__(self, engine: InProcessEngine, waiting: int = 256) -> None:
        self.engine, self.waiting = engine, waiting
        self._todo: deque[Callable[[], None]] = deque()
        self._open: dict[int, tuple[Future[list[Drawn]], list[Drawn]]] = {}
        self._changed, self._keys, self._ends = threading.Condition(), count(), False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @contextmanager
    def running(self) -> Iterator["EngineLoop"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._ends = True
            self._do(lambda: None)
            self._thread.join()

    def submit(self, request: Request) -> tuple[int, "Future[list[Drawn]]"]:
        """A key to cancel by, and what will be drawn; the future raises as `InProcessEngine.submit`."""
        key, future = next(self._keys), Future[list[Drawn]]()

        def begin() -> None:
            try:
                self.engine.submit(key, request)
                self._open[key] = future, []
            except Exception as error:
                future.set_exception(error)

        self._do(begin)
        return key, future

    def cancel(self, key: int) -> None:
        def end() -> None:
            self.engine.cancel(key)
            if held := self._open.pop(key, None):
                held[0].cancel()

        self._do(end)

    @property
    def full(self) -> bool:
        return len(self._open) + len(self._todo) >= self.waiting

    def _do(self, work: Callable[[], None]) -> None:
        with self._changed:
            self._todo.append(work)
            self._changed.notify()

    def _run(self) -> None:
        while not self._ends:
            with self._changed:
                if not self._todo and not self.engine.busy:
                    self._changed.wait(IDLE_S)
                todo = [self._todo.popleft() for _ in range(len(self._todo))]
            for work in todo:
                work()
            try:
                drawn = self.engine.step()
            except Exception as error:  # a step that fails fails for all rows in it
                self._fail(error)
                continue
            for one in drawn:
                self._note(one)
        self._fail(TrivoxError("the server is going down"))

    def _note(self, drawn: Drawn) -> None:
        future, heard = self._open[drawn.key]
        heard.append(drawn)
        if drawn.finish_reason is None:
            return
        del self._open[drawn.key]
        if drawn.error is not None:
            future.set_exception(drawn.error)
        else:
            future.set_result(heard)

    def _fail(self, error: Exception) -> None:
        self.engine.clear()
        for future, _ in self._open.values():
            future.set_exception(error)
        self._open.clear()


def completions_router(loop: EngineLoop, model: str) -> APIRouter:
    """`POST /v1/completions` and `GET /v1/models` of a loop that runs. Who may call is for the app to say."""
    router = APIRouter()
    size = int(loop.engine.model.config.get_text_config().vocab_size)

    @router.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": model, "object": "model"}]}

    @router.post("/v1/completions")
    async def completions(http: HttpRequest) -> dict[str, Any]:
        asked = await _asked(http)
        _check(asked, model, size)
        if loop.full:
            headers = {"Retry-After": "1"}
            raise HTTPException(429, f"{loop.waiting} requests wait already", headers)
        request = _request(asked, size, loop.engine)
        key, future = loop.submit(request)
        drawn = await _drawn(http, loop, key, asyncio.wrap_future(future))
        return _told(asked, model, drawn)

    return router


async def _asked(http: HttpRequest) -> CompletionRequest:
    """The body, whatever its sender calls it: FastAPI cannot even say what is wrong with one that is no text."""
    body, size = b"", 0
    async for chunk in http.stream():
        size += len(chunk)
        # Read to its end all the same: a client that still writes would not hear the answer.
        body += chunk if size <= LARGEST_BODY else b""
    if size > LARGEST_BODY:
        raise HTTPException(413, f"{size} bytes: a request has {LARGEST_BODY} at most")
    try:
        return CompletionRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the request"
        raise HTTPException(422, f"{where}: {first['msg']}") from error


async def _drawn(
    http: HttpRequest, loop: EngineLoop, key: int, future: "asyncio.Future[list[Drawn]]"
) -> list[Drawn]:
    try:
        while not future.done():
            await asyncio.wait([future], timeout=PATIENCE_S)
            if not future.done() and await http.is_disconnected():
                raise HTTPException(499, "the client has gone")
        return future.result()
    except UsageError as error:
        raise HTTPException(400, str(error)) from error
    except TrivoxError as error:
        raise HTTPException(500, str(error)) from error
    finally:
        if not future.done() or future.cancelled():
            loop.cancel(key)


def _check(asked: CompletionRequest, model: str, size: int) -> None:
    if asked.model not in ("", model):
        raise HTTPException(404, f"no model is named {asked.model!r}: this server has {model!r}")
    if asked.stream:
        raise HTTPException(400, "this endpoint does not stream: leave stream out")
    allowed = asked.allowed_token_ids
    if any(not 0 <= one < size for one in [*asked.prompt, *(allowed or [])]):
        raise HTTPException(400, f"a token id lies outside 0 to {size - 1}")
    if allowed == []:
        raise HTTPException(400, "allowed_token_ids is empty: allow at least one, or leave it out")


def _request(asked: CompletionRequest, size: int, engine: InProcessEngine) -> Request:
    mask = np.ones(size, np.bool_)
    if asked.allowed_token_ids is not None:
        mask[:] = False
        mask[asked.allowed_token_ids] = True
    request = Request(asked.prompt, AnyOf(mask), asked.sampling(), asked.seed)
    if budget_of(request, position_limit(engine.model.config)) < 1:
        raise HTTPException(400, f"a prompt of {len(asked.prompt)} tokens leaves no room")
    return request


def _told(asked: CompletionRequest, model: str, drawn: list[Drawn]) -> dict[str, Any]:
    tokens = [one.token for one in drawn]
    logprobs = {
        "tokens": [f"token_id:{token}" for token in tokens],
        "token_logprobs": [one.logprob for one in drawn],
        "top_logprobs": None,
        "text_offset": [],
    }
    choice = {
        "index": 0,
        "text": "",
        "token_ids": tokens,
        "logprobs": None if asked.logprobs is None else logprobs,
        "finish_reason": _REASONS[drawn[-1].finish_reason or FinishReason.LENGTH],
    }
    usage = {"prompt_tokens": len(asked.prompt), "completion_tokens": len(tokens)}
    return {
        "id": derived_id("cmpl", asked.model_dump_json()),
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": usage | {"total_tokens": len(asked.prompt) + len(tokens)},
    }
