"""The web app of annotators and leads: one FastAPI app with its doors, guard and headers; pages and API go in as
routers."""

from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version

from fastapi import Depends, FastAPI, Request, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import Lifespan

from trivox.annotation.api.faults import add_handlers
from trivox.annotation.api.routes import ROUTERS
from trivox.annotation.leads.pages import router as lead_pages
from trivox.annotation.people.door import Door
from trivox.annotation.people.guard import guard
from trivox.annotation.web.house import House
from trivox.annotation.web.pages import add_pages
from trivox.annotation.work.service import Work
from trivox.platform.store import Workspace

LOOPBACK = ("127.0.0.1", "localhost")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with it browsers hide the origin of our own forms, which the guard looks at.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
}
STATIC = "/static/"
LEAD_AREA = "/leads"
LARGEST_BODY = 1 << 20
"""Bytes; routes that take files say more."""


def make_site(
    workspace: Workspace,
    *,
    hosts: Sequence[str] = LOOPBACK,
    base_url: str = "http://127.0.0.1",
    secure: bool = False,
    next_step: str = "",
    on_finished: Callable[[], None] = lambda: None,
    lifespan: Lifespan[FastAPI] | None = None,
) -> FastAPI:
    """The app. hosts: names it answers to, `*` for any. secure: people come by https.

    next_step: what the last page says of what follows; on_finished is called when a person is shown that nothing
    is left for them. What floors above add to it needs rules in annotation/people/rules.py like all other routes.
    """
    app = FastAPI(
        title="Trivox",
        version=version("trivox"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        max_body_size=LARGEST_BODY,
        dependencies=[Depends(guard)],
    )
    app.state.door = Door(workspace, secure, base_url)
    app.state.work = work = Work(workspace)
    for router in (*ROUTERS, lead_pages):
        app.include_router(router)
    add_handlers(app)
    add_pages(app, House(workspace, work, next_step, on_finished, LEAD_AREA))
    app.middleware("http")(_headers(secure))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return app


Next = Callable[[Request], Awaitable[Response]]


def _headers(secure: bool) -> Callable[[Request, Next], Awaitable[Response]]:
    always = dict(HEADERS)
    if secure:
        always["Strict-Transport-Security"] = "max-age=31536000"

    async def add(request: Request, go_on: Next) -> Response:
        response = await go_on(request)
        for name, value in always.items():  # a route may know better, for its own response
            response.headers.setdefault(name, value)
        kept = "no-cache" if request.url.path.startswith(STATIC) else "no-store"
        response.headers.setdefault("Cache-Control", kept)
        return response

    return add
