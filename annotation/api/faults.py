"""Errors as responses: JSON for the API, a page for people; never a stack trace."""

import logging
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from trivox.annotation.api.models import Problem
from trivox.annotation.people.accounts import LoginTaken, NotLetIn
from trivox.annotation.people.throttle import TooMany
from trivox.annotation.work.shapes import NotHeard, RangeNotSatisfiable
from trivox.platform.errors import DiskFull, NotFound, TrivoxError, UsageError

API = "/api/"
STATUS: tuple[tuple[type[TrivoxError], int], ...] = (
    (NotFound, 404),
    (NotLetIn, 403),
    (TooMany, 429),
    (LoginTaken, 409),
    (NotHeard, 409),
    (RangeNotSatisfiable, 416),
    (UsageError, 422),
    (DiskFull, 507),
)
_log = logging.getLogger("trivox.site")
ErrorPage = Callable[[Request, int, str], Response]


def add_handlers(app: FastAPI) -> None:
    """What is raised becomes a response. app.state.error_page renders those for people; text without it."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(TrivoxError, _trivox)
    app.add_exception_handler(Exception, _unknown)


def status_of(error: TrivoxError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 401 and not request.url.path.startswith(API):
        return RedirectResponse("/sign-in", 303)
    return _shown(request, error.status_code, str(error.detail), dict(error.headers or {}))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return _shown(request, 422, f"{place}: {first['msg']}")


async def _trivox(request: Request, error: Exception) -> Response:
    assert isinstance(error, TrivoxError)
    status = status_of(error)
    if status == 500:
        return await _unknown(request, error)
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, TooMany) else {}
    return _shown(request, status, str(error), headers)


async def _unknown(request: Request, error: Exception) -> Response:
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    return _shown(request, 500, "this did not work; what went wrong is in the server's log")


def _shown(
    request: Request, status: int, text: str, headers: dict[str, str] | None = None
) -> Response:
    page: ErrorPage | None = getattr(request.app.state, "error_page", None)
    if request.url.path.startswith(API) or page is None:
        return JSONResponse(Problem(error=text).model_dump(), status, headers)
    response = page(request, status, text)
    response.headers.update(headers or {})
    return response


Handler = Callable[[Request, Exception], Awaitable[Response]]
