"""The web application that `trivox serve` runs: every surface mounted into one FastAPI app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from trivox import __version__
from trivox.annotation.people.guard import method_of, refuse
from trivox.annotation.people.principal import identify, of_token, signed_in
from trivox.annotation.people.rules import SPEECH
from trivox.annotation.webapp import LOOPBACK, make_site
from trivox.pipelines.live.access import (
    Authorise,
    Principal,
    TokenAccess,
    Unauthorised,
    token_of,
)
from trivox.pipelines.live.answers import BodyLimit
from trivox.pipelines.live.live import Live
from trivox.pipelines.live.routes import PREFIX, live_routes
from trivox.pipelines.rounds.api import router as rounds
from trivox.platform.store import Workspace


def build_app(live: Live, authorise: Authorise) -> FastAPI:
    """live: models and limits of the speech routes, whose engine thread lives as long as the app; authorise: says
    who sends a request or opens a socket, or raises Unauthorised."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        live.hub.start()
        try:
            yield
        finally:
            live.hub.stop()
            if live.keeper is not None:
                live.keeper.close()

    app = FastAPI(title="Trivox", version=__version__, lifespan=lifespan)
    app.include_router(live_routes(live, authorise))
    app.add_middleware(BodyLimit, prefix=PREFIX, size=live.limits.upload_bytes)
    return app


class Surfaces:
    """The pages and the API of people, and below /v1 the live routes: two apps, each with its own door."""

    def __init__(self, site: FastAPI, live: FastAPI | None) -> None:
        self.site, self.live = site, live

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["type"] == "lifespan" or scope["path"].startswith(f"{PREFIX}/")
        app = self.live if self.live is not None and own else self.site
        await app(scope, receive, send)


def build_site(
    workspace: Workspace, live: Live | None, *, url: str, token: str | None = None
) -> Surfaces:
    """What people see, and the live routes unless there are none. url: how people's links begin; by https, cookies
    go nowhere else. token: lets in to the live routes beside sessions and API tokens."""
    parts = urlsplit(url)
    hosts = sorted({*LOOPBACK, parts.hostname or ""} - {""})
    site = make_site(workspace, hosts=hosts, base_url=url, secure=parts.scheme == "https")
    site.include_router(rounds)
    if live is None:
        return Surfaces(site, None)
    spoken = build_app(live, AccountAccess(token))
    spoken.state.door = site.state.door
    return Surfaces(site, spoken)


class AccountAccess:
    """Admits to the live routes whom the rules let in: by session, by API token, or by one more token."""

    def __init__(self, token: str | None) -> None:
        self._one = TokenAccess(token) if token is not None else None

    def __call__(self, connection: HTTPConnection) -> Principal:
        secret = token_of(connection)
        if self._one is not None and secret is not None:
            with suppress(Unauthorised):
                return self._one(connection)
        try:
            who = of_token(connection, secret) if secret else signed_in(identify(connection))
            refuse(who, SPEECH, method_of(connection))
        except HTTPException as error:
            raise Unauthorised(str(error.detail)) from None
        return Principal(who.name)
