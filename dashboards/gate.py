"""The door of the dashboard: nothing of it, not even a script, goes to a browser that nobody signed in with.

Signing in, accepting an invite and the one-time link are the pages of `trivox serve`, with its limits on
attempts and its sessions; who is signed in there is signed in here, where both are reached under one host
name.
"""

import os
from pathlib import Path
from urllib.parse import quote, urlsplit

from anyio import to_thread
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trivox.annotation.web.local import OneTimeLink
from trivox.annotation.webapp import LOOPBACK, make_site
from trivox.dashboards.access import viewer_of
from trivox.platform.store import Workspace

WORKSPACE = "TRIVOX_DASHBOARD_WORKSPACE"
"""Names the folder to the pages: Streamlit runs them as scripts."""
APP = Path(__file__).parent / "app.py"
_SITE = ("/sign-in", "/sign-out", "/language")
_LINKS = ("/invite/", "/enter/")
STATIC = Path(__file__).parent.parent / "annotation" / "web" / "static"
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
CONFIG = {
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.disconnectedSessionTTL": 120,
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "viewer",
    "theme.light.primaryColor": "#0072B2",
    "theme.dark.primaryColor": "#56B4E9",
    "runner.magicEnabled": False,
}


class Gate:
    """Lets readers through to the pages, and everybody to the pages of signing in."""

    def __init__(self, workspace: Workspace, site: ASGIApp, pages: ASGIApp) -> None:
        self._workspace, self._site, self._pages = workspace, site, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._pages(scope, receive, send)
        elif is_of_site(scope["path"]):
            await self._site(scope, receive, send)
        elif await to_thread.run_sync(self._may, HTTPConnection(scope)):
            await self._pages(scope, receive, guarded(send))
        else:
            await _refuse(scope, receive, send)

    def _may(self, connection: HTTPConnection) -> bool:
        address = connection.client.host if connection.client else None
        return viewer_of(self._workspace, connection.cookies, address) is not None


def is_of_site(path: str) -> bool:
    """Whether the pages of signing in answer it. Streamlit has files below /static/ too, in folders."""
    if path.startswith("/static/"):
        name = path.removeprefix("/static/")
        return "/" not in name and (STATIC / name).is_file()
    return path in _SITE or path.startswith(_LINKS)


def guarded(send: Send) -> Send:
    """Adds HEADERS to what is sent."""

    async def added(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message.get("headers", [])}
            more = [(name, value) for name, value in HEADERS.items() if name not in given]
            message = {**message, "headers": [*message.get("headers", []), *more]}
        await send(message)

    return added


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    page = (
        scope["method"] == "GET" and "." not in scope["path"] and "/_stcore/" not in scope["path"]
    )
    if page:
        query = scope.get("query_string", b"").decode("latin-1")
        back = scope["path"] + (f"?{query}" if query else "")
        await RedirectResponse(f"/sign-in?back={quote(back, safe='')}", 303)(scope, receive, send)
        return
    await PlainTextResponse("sign in first\n", 401)(scope, receive, send)


def build_dashboard(workspace: Workspace, *, url: str, link: OneTimeLink | None = None) -> Gate:
    """The whole dashboard as one ASGI app. url: how its address begins for people; by https, cookies go
    nowhere else. link: lets one browser on this machine in, once."""
    from streamlit.starlette import App
    from streamlit.web import bootstrap

    os.environ[WORKSPACE] = str(workspace.root)
    bootstrap.load_config_options(CONFIG)
    parts = urlsplit(url)
    hosts = sorted({*LOOPBACK, parts.hostname or ""} - {""})
    site = make_site(workspace, hosts=hosts, base_url=url, secure=parts.scheme == "https")
    site.state.link = link
    return Gate(workspace, site, App(APP))
