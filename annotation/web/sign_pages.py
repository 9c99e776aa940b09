"""Signing in, out, and accepting an invite."""

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from trivox.annotation.people import accounts
from trivox.annotation.people.door import door_of
from trivox.annotation.people.invites import open_invite
from trivox.annotation.people.passwords import LEAST
from trivox.annotation.people.principal import Asking, Here, address_of
from trivox.annotation.people.throttle import TooMany
from trivox.annotation.web.render import own_path, page, words_of
from trivox.platform.errors import NotFound, UsageError

Login = Annotated[str, Form(max_length=200)]
Password = Annotated[str, Form(max_length=1000)]


def sign_routes() -> APIRouter:
    """The way in and out."""
    router = APIRouter(include_in_schema=False)
    _invite_routes(router)

    @router.get("/sign-in")
    def show(request: Request, who: Asking, back: str = "/") -> Response:
        if who is not None:
            return RedirectResponse(own_path(back), 303)
        return _sign_in_page(request, back)

    @router.post("/sign-in")
    def sign_in(
        request: Request, login: Login, password: Password, back: Annotated[str, Form()] = "/"
    ) -> Response:
        door, words = door_of(request), words_of(request)
        try:
            secret = accounts.sign_in(door.workspace, login, password, address_of(request))
        except accounts.NotLetIn:
            return _sign_in_page(request, back, login, words("sign.wrong"), 403)
        except TooMany:
            return _sign_in_page(request, back, login, words("sign.wait"), 429)
        response = RedirectResponse(own_path(back), 303)
        door.let_in(response, secret)
        return response

    @router.post("/sign-out")
    def sign_out(request: Request, who: Here) -> Response:
        door = door_of(request)
        if who.session is not None:
            accounts.sign_out(door.workspace, who.by, who.session)
        response = RedirectResponse("/sign-in", 303)
        door.let_out(response)
        return response

    return router


def _sign_in_page(
    request: Request, back: str, login: str = "", problem: str = "", status: int = 200
) -> HTMLResponse:
    named = {"back": own_path(back), "login": login, "problem": problem}
    return page(request, "sign_in.html", None, status, **named)


def _invite_routes(router: APIRouter) -> None:
    @router.get("/invite/{token}")
    def show(request: Request, token: str) -> Response:
        words = words_of(request)
        try:
            invite = open_invite(door_of(request).workspace, token)
        except NotFound:
            texts = {"title": words("invite.used"), "text": words("invite.used_help")}
            return page(request, "message.html", None, 404, **texts)
        return _invite_page(request, token, name=invite.name)

    @router.post("/invite/{token}")
    def accept(
        request: Request,
        token: str,
        login: Login,
        password: Password,
        name: Annotated[str, Form(max_length=60)] = "",
    ) -> Response:
        door = door_of(request)
        try:
            _, secret = accounts.accept(
                door.workspace, token, login, password, name.strip() or None, address_of(request)
            )
        except NotFound:
            return show(request, token)
        except UsageError as error:
            return _invite_page(request, token, login, name, str(error))
        response = RedirectResponse("/", 303)
        door.let_in(response, secret)
        return response


def _invite_page(
    request: Request, token: str, login: str = "", name: str = "", problem: str = ""
) -> HTMLResponse:
    named = {"token": token, "login": login, "given_name": name, "problem": problem, "least": LEAST}
    return page(request, "invite.html", None, 422 if problem else 200, **named)
