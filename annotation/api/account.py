"""One's own account: entering, leaving, password, sessions and tokens."""

from typing import Any

from fastapi import APIRouter, Request, Response

from trivox.annotation.api.common import ANSWERS, Served
from trivox.annotation.api.models import (
    AcceptBody,
    Done,
    Me,
    MeChange,
    NewToken,
    PasswordBody,
    Session,
    Sessions,
    SignInBody,
    Token,
    TokenBody,
    Tokens,
)
from trivox.annotation.people import accounts, sessions, tokens
from trivox.annotation.people.door import door_of
from trivox.annotation.people.principal import Here, address_of, of_session

router = APIRouter(tags=["account"], responses=ANSWERS)


@router.get("/api/v1/health", operation_id="health")
def health() -> Done:
    """Whether the server answers."""
    return Done()


@router.get("/api/v1/openapi.json", include_in_schema=False)
def openapi(request: Request) -> dict[str, Any]:
    described: dict[str, Any] = request.app.openapi()
    return described


@router.post("/api/v1/sign-in", operation_id="sign_in")
def sign_in(body: SignInBody, request: Request, response: Response) -> Me:
    """Begin a session: the answer sets a cookie. Scripts take an API token instead."""
    door = door_of(request)
    password = body.password.get_secret_value()
    secret = accounts.sign_in(door.workspace, body.login, password, address_of(request))
    door.let_in(response, secret)
    return Me.of(of_session(request, secret))


@router.post("/api/v1/invites/accept", operation_id="accept_invite")
def accept(body: AcceptBody, request: Request, response: Response) -> Me:
    """Make the account of an invitation, and begin a session."""
    door = door_of(request)
    password = body.password.get_secret_value()
    _, secret = accounts.accept(
        door.workspace, body.token, body.login, password, body.name, address_of(request)
    )
    door.let_in(response, secret)
    return Me.of(of_session(request, secret))


@router.post("/api/v1/sign-out", operation_id="sign_out")
def sign_out(who: Here, request: Request, response: Response) -> Done:
    door = door_of(request)
    if who.session is not None:
        accounts.sign_out(door.workspace, who.by, who.session)
    door.let_out(response)
    return Done()


@router.get("/api/v1/me", operation_id="me")
def me(who: Here) -> Me:
    """Who is signed in, with the roles in the project that is served."""
    return Me.of(who)


@router.patch("/api/v1/me", operation_id="change_me")
def change_me(body: MeChange, who: Here, workspace: Served) -> Done:
    accounts.update_self(workspace, who.by, name=body.name)
    return Done()


@router.post("/api/v1/me/password", operation_id="change_password")
def change_password(body: PasswordBody, who: Here, workspace: Served) -> Done:
    """Set another password; all other sessions end."""
    current, new = body.current.get_secret_value(), body.new.get_secret_value()
    accounts.change_password(workspace, who.by, who.session, current, new)
    return Done()


@router.get("/api/v1/me/sessions", operation_id="my_sessions")
def my_sessions(who: Here, workspace: Served) -> Sessions:
    found = sessions.live_of(workspace, who.person)
    return Sessions(sessions=[Session.of(one, who.session) for one in found])


@router.delete("/api/v1/me/sessions", operation_id="end_other_sessions")
def end_other_sessions(who: Here, workspace: Served) -> Done:
    """Sign out everywhere but here."""
    sessions.end_all(workspace, who.person, but=who.session)
    return Done()


@router.get("/api/v1/me/tokens", operation_id="my_tokens")
def my_tokens(who: Here, workspace: Served) -> Tokens:
    return Tokens(tokens=[Token.of(one) for one in tokens.live_of(workspace, who.person)])


@router.post("/api/v1/me/tokens", operation_id="make_token")
def make_token(body: TokenBody, who: Here, workspace: Served) -> NewToken:
    """A key for scripts; its secret is shown this once."""
    made, secret = tokens.make(workspace, who.by, who.person, body.name, body.scopes, body.days)
    return NewToken(token=Token.of(made), secret=secret)


@router.delete("/api/v1/me/tokens/{token}", operation_id="revoke_token")
def revoke_token(token: str, who: Here, workspace: Served) -> Done:
    tokens.revoke(workspace, who.by, token, who.person)
    return Done()
