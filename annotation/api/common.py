"""What all routes of the API share."""

from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from trivox.annotation.api.models import Problem
from trivox.annotation.people.door import door_of
from trivox.platform.store import Workspace

_REFUSALS = {
    401: "nobody is signed in",
    403: "not allowed",
    404: "there is none, or it is another's",
    409: "not in this state",
    413: "too large",
    422: "not valid",
    429: "too many attempts",
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text} for status, text in _REFUSALS.items()
}


def served(connection: HTTPConnection) -> Workspace:
    """The workspace of the app."""
    return door_of(connection).workspace


Served = Annotated[Workspace, Depends(served)]
