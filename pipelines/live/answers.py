"""Errors of the live routes in the shape of OpenAI's, and a bound on what a body may hold."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from trivox.pipelines.live.access import Unauthorised, WrongOrigin
from trivox.platform.errors import BrokenAudio, Busy, NotFound, TrivoxError, UsageError

_STATUS: tuple[tuple[type[TrivoxError], int, str], ...] = (
    (Unauthorised, 401, "authentication_error"),
    (WrongOrigin, 403, "permission_error"),
    (NotFound, 404, "invalid_request_error"),
    (BrokenAudio, 400, "invalid_request_error"),
    (UsageError, 400, "invalid_request_error"),
    (Busy, 429, "rate_limit_error"),
)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class TooLarge(UsageError):
    """A body of more bytes than are taken."""


class UnknownModel(NotFound):
    """No policy version of that name."""


class LiveRoute(APIRoute):
    """Routes whose errors have OpenAI's shape."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except TrivoxError as error:
                return error_answer(error)
            except HTTPException as error:
                return _answer(error.status_code, "invalid_request_error", str(error.detail))
            except RequestValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"][1:])
                return _answer(400, "invalid_request_error", f"{where}: {first['msg']}", where)

        return answered


def error_answer(error: TrivoxError) -> JSONResponse:
    """With the status that its kind has; 500 for what is our own fault."""
    if isinstance(error, TooLarge):
        return _answer(413, "invalid_request_error", str(error), code="too_large")
    if isinstance(error, UnknownModel):
        return _answer(404, "invalid_request_error", str(error), "model", "model_not_found")
    for kind, status, name in _STATUS:
        if isinstance(error, kind):
            return _answer(status, name, str(error), code=type(error).__name__)
    return _answer(500, "server_error", str(error), code=type(error).__name__)


def _answer(
    status: int, kind: str, message: str, param: str | None = None, code: str | None = None
) -> JSONResponse:
    error = {"message": message, "type": kind, "param": param, "code": code}
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}
    return JSONResponse({"error": error}, status, headers.get(status))


class BodyLimit:
    """ASGI around an app: bodies of requests below `prefix` have at most `size` bytes. What comes beyond is not
    read."""

    def __init__(self, app: Any, prefix: str, size: int) -> None:
        self.app, self.prefix, self.size = app, prefix, size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(self.prefix):
            await self.app(scope, receive, send)
            return
        told = dict(scope["headers"]).get(b"content-length", b"0")
        if not told.isdigit() or int(told) > self.size:
            await self._refusal()(scope, receive, send)
            return
        await self._counted(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """For bodies that come in chunks and do not say how long they are."""
        taken, answered = 0, False

        async def counting() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.size:
                raise _Beyond
            return message

        async def sending(message: Message) -> None:
            nonlocal answered
            # What the app makes of a body that was not read to its end is no answer.
            if taken <= self.size:
                answered = True
                await send(message)

        with suppress(_Beyond):
            await self.app(scope, counting, sending)
        if taken > self.size and not answered:
            await self._refusal()(scope, receive, send)

    def _refusal(self) -> JSONResponse:
        return error_answer(TooLarge(f"more than {self.size} bytes: send less at once"))


class _Beyond(Exception):
    pass
