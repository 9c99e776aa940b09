"""The web application that `trivox serve` runs: every surface mounted into one FastAPI app."""

import hmac
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
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

METRICS_VARIABLE = "TRIVOX_METRICS_TOKEN"


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


class Figures:
    """/metrics for Prometheus: by the bearer token of TRIVOX_METRICS_TOKEN; without one, for this machine."""

    def __init__(self, workspace: Workspace, token: str | None) -> None:
        self._workspace, self._token = workspace, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        if not self._admits(request):
            answer = Response("a token is needed\n", 401, {"WWW-Authenticate": "Bearer"})
        else:
            from trivox.platform.observability.metrics import CONTENT_TYPE, metrics

            told = await run_in_threadpool(metrics, self._workspace)
            answer = Response(
                told, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
            )
        await answer(scope, receive, send)

    def _admits(self, request: Request) -> bool:
        if self._token:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            return hmac.compare_digest(given.encode(), self._token.encode())
        # What a proxy passes on comes from this machine too, though the asker does not.
        passed_on = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "via"))
        return (
            request.client is not None
            and request.client.host in ("127.0.0.1", "::1")
            and not passed_on
        )


class Surfaces:
    """The pages and the API of people, and below /v1 the live routes: two apps, each with its own door."""

    def __init__(self, site: FastAPI, live: FastAPI | None, figures: Figures | None = None) -> None:
        self.site, self.live, self.figures = site, live, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.figures is not None and scope["type"] == "http" and scope["path"] == "/metrics":
            await self.figures(scope, receive, send)
            return
        own = scope["type"] == "lifespan" or scope["path"].startswith(f"{PREFIX}/")
        app = self.live if self.live is not None and own else self.site
        await app(scope, receive, send)


def build_site(
    workspace: Workspace, live: Live | None, *, url: str, token: str | None = None
) -> Surfaces:
    """What people see, and the live routes unless there are none. url: how people's links begin; by https, cookies
    go nowhere else. token: lets in to the live routes beside sessions and API tokens."""
    parts, figures = urlsplit(url), Figures(workspace, os.environ.get(METRICS_VARIABLE))
    hosts = sorted({*LOOPBACK, parts.hostname or ""} - {""})
    site = make_site(workspace, hosts=hosts, base_url=url, secure=parts.scheme == "https")
    site.include_router(rounds)
    if live is None:
        return Surfaces(site, None, figures)
    spoken = build_app(live, AccountAccess(token))
    spoken.state.door = site.state.door
    return Surfaces(site, spoken, figures)


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
