"""Who may use the live routes: whoever `Authorise` admits. Here: holders of one token."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from trivox.platform.errors import ConfigError, WorkError

SUBPROTOCOL = "realtime"
_KEY_PROTOCOL = "openai-insecure-api-key."


@dataclass(frozen=True)
class Principal:
    """Who asks. name: for people to read; no secret."""

    name: str


class Unauthorised(WorkError):
    """No sign of who asks, or a wrong one."""


class WrongOrigin(WorkError):
    """A page of another site asks."""


Authorise = Callable[[HTTPConnection], Principal]
"""From headers to a principal; raises Unauthorised."""


class TokenAccess:
    """Admits whoever sends the token."""

    def __init__(self, token: str) -> None:
        """Raises ConfigError for a token that could be guessed."""
        if len(token) < 16:
            raise ConfigError(
                f"the token has {len(token)} characters: give at least 16, or none and one is made"
            )
        self._token = token.encode()

    def __call__(self, connection: HTTPConnection) -> Principal:
        given = token_of(connection)
        if given is None:
            raise Unauthorised("no token: send the header `Authorization: Bearer TOKEN`")
        if not secrets.compare_digest(given.encode(), self._token):
            raise Unauthorised(
                "wrong token: use the one that `trivox serve` printed when it started"
            )
        return Principal("token")


def token_of(connection: HTTPConnection) -> str | None:
    """The bearer token of a request; of a browser's WebSocket, which can send no such header, the one among its
    subprotocols."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for protocol in subprotocols(connection):
        if protocol.startswith(_KEY_PROTOCOL):
            return protocol.removeprefix(_KEY_PROTOCOL)
    return None


def subprotocols(connection: HTTPConnection) -> list[str]:
    asked = connection.headers.get("sec-websocket-protocol", "")
    return [name.strip() for name in asked.split(",") if name.strip()]


def check_origin(connection: HTTPConnection, allowed: Sequence[str]) -> None:
    """Programs send no Origin; browsers do, and a page may only reach the server that it came from, or one that
    allows its origin (`https://host[:port]`). Raises WrongOrigin."""
    origin = connection.headers.get("origin")
    if origin is None or origin in allowed:
        return
    if urlsplit(origin).netloc != connection.headers.get("host", ""):
        raise WrongOrigin(
            f"origin {origin[:100]!r} is not this server's: allow it with `trivox serve --origin`"
        )
