"""The one check that every route passes: who asks, by which rule, and whether the request is their own doing."""

from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.requests import HTTPConnection, Request

from trivox.annotation.people.opaque import same
from trivox.annotation.people.principal import Asking, Principal, Via
from trivox.annotation.people.rules import RULES, Rule

SAFE = ("GET", "HEAD", "OPTIONS")
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


async def guard(connection: HTTPConnection, who: Asking) -> None:
    """Let the request pass, or raise 401, 403. A route without a rule is open to nobody."""
    rule = RULES.get(name_of(connection))
    if rule is None:
        raise HTTPException(403, "no rule lets anyone in here")
    _check_origin(connection)
    if rule.public:
        return
    if who is None:
        raise HTTPException(401, "sign in first")
    refuse(who, rule, method_of(connection))
    if who.via is Via.SESSION and method_of(connection) not in SAFE:
        await _check_csrf(connection, who)


def method_of(connection: HTTPConnection) -> str:
    return str(connection.scope.get("method", "WEBSOCKET"))


def name_of(connection: HTTPConnection) -> str:
    """The rule's name of a request: method and path as the route was written."""
    route = connection.scope.get("route")
    return f"{method_of(connection)} {getattr(route, 'path', '')}"


def refuse(who: Principal, rule: Rule, method: str) -> None:
    """Raise 403 where the rule does not let this person, or their token, in."""
    if rule.roles is not None and not rule.roles & who.here:
        raise HTTPException(403, "your roles in this project do not allow this")
    if who.scopes is not None and rule.scope(method) not in who.scopes:
        needed = rule.scope(method) or "a session in a browser"
        raise HTTPException(403, f"this token does not allow it: it takes {needed}")


def _check_origin(connection: HTTPConnection) -> None:
    """What browsers say of where a request began; also before anyone is signed in, and for WebSockets."""
    if method_of(connection) in SAFE:
        return
    site = connection.headers.get("sec-fetch-site", "none")
    origin = connection.headers.get("origin")
    host = connection.headers.get("host", "")
    if site not in ("same-origin", "none") or (origin and urlsplit(origin).netloc != host):
        raise HTTPException(403, "this request began on another site")


async def _check_csrf(connection: HTTPConnection, who: Principal) -> None:
    given = connection.headers.get("x-csrf-token")
    kind = connection.headers.get("content-type", "").split(";")[0].strip().lower()
    if given is None and isinstance(connection, Request) and kind in _FORMS:
        field = (await connection.form()).get("csrf")
        given = field if isinstance(field, str) else None
    # A WebSocket cannot send headers of ours: there the origin has to do.
    if method_of(connection) != "WEBSOCKET" and not same(given or "", who.csrf):
        raise HTTPException(403, "this request did not come from the page: reload it")
