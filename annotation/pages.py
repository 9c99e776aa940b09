"""The labelling pages: FastAPI on loopback, for one browser that was let in by a token."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Form, Header, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from trivox.annotation.access import Access
from trivox.annotation.clips import RangeNotSatisfiable
from trivox.annotation.desk import Desk, Vote, VoteRefused
from trivox.annotation.waiting import waiting_tasks
from trivox.platform.errors import NotFound, TrivoxError
from trivox.platform.records import Answer, AnswerKind, Tie
from trivox.platform.store import Workspace

LOOPBACK = ("127.0.0.1", "localhost")
NEXT_STEP = "The round goes on in the terminal: it turns the judgements into preferences."
NAME_LENGTH = 60

SKIP_REASONS = {
    "broken": "a clip does not play, or is cut off by a technical fault",
    "language": "I do not know this language well enough",
    "unclear": "the text or the task is not clear to me",
    "other": "another reason",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HERE = Path(__file__).parent
_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
)

Choice = Literal["a3", "a2", "a1", "b1", "b2", "b3", "both_good", "both_bad", "cannot_tell", "skip"]


class VoteBody(BaseModel):
    """What the page posts. a3: A, as shown, is much better; b1: B is slightly better."""

    model_config = ConfigDict(extra="forbid")

    view: str = Field(max_length=64)
    choice: Choice
    reason: Literal["broken", "language", "unclear", "other"] | None = None
    heard_s: tuple[Annotated[FiniteFloat, Field(ge=0)], Annotated[FiniteFloat, Field(ge=0)]] = (
        0.0,
        0.0,
    )

    def vote(self) -> Vote:
        return Vote(self.view, self._answer(), self.heard_s)

    def _answer(self) -> Answer:
        if self.choice == "skip":
            return Answer(AnswerKind.ABSTENTION, abstention=SKIP_REASONS[self.reason or "other"])
        if self.choice in list(Tie):
            return Answer(AnswerKind.TIE, tie=Tie(self.choice))
        strength = int(self.choice[1])
        return Answer(
            AnswerKind.COMPARISON, comparison=strength if self.choice[0] == "a" else -strength
        )


class LabelPages:
    """What the routes of one app share: the workspace, the door, and the desk once a name is given."""

    def __init__(
        self,
        workspace: Workspace,
        token: str,
        round: str | None,
        next_step: str,
        clock: Callable[[], float],
        on_finished: Callable[[], None],
    ) -> None:
        self.workspace, self.round, self.clock = workspace, round, clock
        self.next_step, self.on_finished = next_step, on_finished
        self.access = Access(token)
        self.desk: Desk | None = None

    def sign_in(self, name: str) -> None:
        self.desk = Desk(self.workspace, self.round, f"human:{name}", self.clock)

    def home(self) -> Response:
        """The page that is due: name, comparison, or the end."""
        if self.desk is None:
            return self.name_page()
        view = self.desk.current()
        if view is None:
            return self._finished_page(self.desk)
        named: dict[str, Any] = {
            "csrf": self.access.csrf,
            "name": self._name,
            "reasons": SKIP_REASONS,
        }
        return page("compare.html", desk=self.desk, view=view, **named)

    def name_page(self, problem: str = "") -> Response:
        named: dict[str, Any] = {"csrf": self.access.csrf, "longest": NAME_LENGTH}
        named["waiting"] = len(waiting_tasks(self.workspace, self.round))
        return page("name.html", 422 if problem else 200, problem=problem, **named)

    def _finished_page(self, desk: Desk) -> Response:
        others = len(waiting_tasks(self.workspace, self.round))
        shown = page(
            "finished.html", name=self._name, desk=desk, others=others, next_step=self.next_step
        )
        self.on_finished()
        return shown

    @property
    def _name(self) -> str:
        return self.desk.judge.removeprefix("human:") if self.desk else ""


def page(template: str, status: int = 200, **names: Any) -> HTMLResponse:
    """A rendered page that no cache keeps."""
    html = _TEMPLATES.get_template(template).render(names)
    return HTMLResponse(html, status, {"Cache-Control": "no-store"})


def message(status: int, title: str, text: str) -> HTMLResponse:
    return page("message.html", status, title=title, text=text)


def create_app(
    workspace: Workspace,
    token: str,
    *,
    round: str | None = None,
    next_step: str = NEXT_STEP,
    clock: Callable[[], float] = time.monotonic,
    on_finished: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The app that labels the comparisons of a round, or of the whole project for None.

    token lets one browser in, once, through `/?token=…`. next_step: what the last page says of what
    follows. on_finished is called when a person was shown that nothing is left for them.
    """
    pages = LabelPages(workspace, token, round, next_step, clock, on_finished)
    app = FastAPI(title="Trivox labels", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=_HERE / "static"))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK), www_redirect=False)
    app.middleware("http")(_with_headers)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(TrivoxError, _failed)
    _add_routes(app, pages)
    return app


async def _with_headers(
    request: Request, go_on: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await go_on(request)
    response.headers.update(HEADERS)
    if request.url.path.startswith("/static/"):
        response.headers["Cache-Control"] = "no-cache"
    return response


def _add_routes(app: FastAPI, pages: LabelPages) -> None:
    access = pages.access

    def session(request: Request) -> None:
        if not access.admits(request.cookies.get(access.cookie)):
            raise HTTPException(403, "Open the link that the command printed in the terminal.")

    def own_page(x_csrf_token: Annotated[str | None, Header()] = None) -> None:
        if not access.confirms(x_csrf_token):
            raise HTTPException(403, "This request did not come from the page: reload it.")

    def desk() -> Desk:
        if pages.desk is None:
            raise HTTPException(409, "Give your name first: open the start page.")
        return pages.desk

    @app.get("/")
    def home(request: Request, token: str | None = None) -> Response:
        if token is not None:
            return _enter(access, token)
        session(request)
        return pages.home()

    @app.post("/name", dependencies=[Depends(session)])
    def name(csrf: Annotated[str, Form()] = "", name: Annotated[str, Form()] = "") -> Response:
        own_page(csrf)
        given = " ".join(name.split())
        if problem := _problem_with(given):
            return pages.name_page(problem)
        pages.sign_in(given)
        return RedirectResponse("/", 303)

    @app.get("/audio/{key}", dependencies=[Depends(session)])
    def audio(
        key: str,
        at: Annotated[Desk, Depends(desk)],
        wanted: Annotated[str | None, Header(alias="range")] = None,
    ) -> Response:
        return _audio(at, key, wanted)

    @app.post("/judgements", dependencies=[Depends(session), Depends(own_page)])
    def judgements(body: VoteBody, at: Annotated[Desk, Depends(desk)]) -> Response:
        at.vote(body.vote())
        return JSONResponse({"done": at.done, "total": at.total})


def _enter(access: Access, token: str) -> Response:
    cookie = access.enter(token)
    if cookie is None:
        raise HTTPException(
            403,
            "This link is used up or wrong: a link works once, in one browser. "
            "Go on in the browser that opened it, or start the command again for a new link.",
        )
    # A page, not a redirect: browsers keep a strict cookie from a redirect that another site's link began.
    response = page("enter.html")
    response.set_cookie(access.cookie, cookie, httponly=True, samesite="strict", path="/")
    return response


def _problem_with(name: str) -> str:
    if not name:
        return "Give a name: it is kept with your judgements."
    if len(name) > NAME_LENGTH:
        return f"The name has {len(name)} characters: give at most {NAME_LENGTH}."
    return "" if name.isprintable() else "The name has characters that cannot be printed."


def _audio(desk: Desk, key: str, wanted: str | None) -> Response:
    try:
        clip, first, content = desk.fetch(key, wanted)
    except RangeNotSatisfiable:
        return Response(status_code=416)
    except NotFound as error:
        raise HTTPException(404, str(error)) from None
    headers = {"Cache-Control": "no-store", "Accept-Ranges": "bytes"}
    if wanted is None:
        return Response(content, 200, headers, "audio/wav")
    headers["Content-Range"] = f"bytes {first}-{first + len(content) - 1}/{len(clip.wav)}"
    return Response(content, 206, headers, "audio/wav")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    if request.url.path == "/judgements":
        return JSONResponse({"error": error.detail}, error.status_code)
    title = {403: "No entry", 404: "Nothing here"}.get(error.status_code, "This did not work")
    return message(error.status_code, title, error.detail)


async def _failed(request: Request, error: Exception) -> Response:
    status = 409 if isinstance(error, VoteRefused) else 500
    if request.url.path == "/judgements":
        return JSONResponse({"error": str(error)}, status)
    return message(status, "This did not work", str(error))
