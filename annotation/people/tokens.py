"""API tokens: keys for scripts, kept as hashes, never stronger than the person they belong to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ulid import ULID

from trivox.annotation.people.audit import By, note
from trivox.annotation.people.opaque import digest, new_secret
from trivox.annotation.people.rules import AREAS
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import ApiToken
from trivox.platform.store import Workspace

PREFIX = "trivox_"
SCOPES = tuple(f"{area}:{what}" for area in AREAS for what in ("read", "write"))
_USED_EVERY = timedelta(minutes=1)
MOST = 50


def make(
    workspace: Workspace,
    by: By,
    person: str,
    name: str,
    scopes: tuple[str, ...],
    days: int | None = 90,
) -> tuple[ApiToken, str]:
    """A new token and its secret, shown this once. Raises UsageError for a scope there is none of."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise UsageError(f"scopes are {list(scopes)}: give some of {', '.join(SCOPES)}")
    if len(live_of(workspace, person)) >= MOST:
        raise UsageError(f"there are {MOST} tokens already: revoke one first")
    secret, now = PREFIX + new_secret(), datetime.now(UTC)
    ends = None if days is None else now + timedelta(days=days)
    token = ApiToken(
        str(ULID()), workspace.project, person, name, digest(secret), scopes, now, ends
    )
    with workspace.records.transaction():
        workspace.records.add(token)
        note(workspace, by, "make token", "ApiToken", token.id, scopes=list(scopes), days=days)
    return token, secret


def find(workspace: Workspace, secret: str) -> ApiToken | None:
    """The live token of a secret, noted as used; None for any other. Good in its own project alone."""
    found = workspace.records.find(
        ApiToken, token_hash=digest(secret), project=workspace.project, revoked_at=None
    )
    now = datetime.now(UTC)
    if not found or not alive(found[0], now):
        return None
    token = found[0]
    if token.used_at is None or now - token.used_at >= _USED_EVERY:
        workspace.records.replace(replace(token, used_at=now))
    return token


def alive(token: ApiToken, now: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or now < token.expires_at)


def live_of(workspace: Workspace, person: str) -> list[ApiToken]:
    found = workspace.records.find(ApiToken, person=person, project=workspace.project)
    now = datetime.now(UTC)
    return [one for one in found if alive(one, now)]


def revoke(workspace: Workspace, by: By, id: str, person: str | None = None) -> None:
    """End a token; with person only one of theirs: another's is NotFound."""
    scope = {} if person is None else {"person": person}
    found = workspace.records.find(ApiToken, id=id, project=workspace.project, **scope)
    if not found:
        raise NotFound(f"no token {id!r}: `trivox people token list` has them")
    with workspace.records.transaction():
        workspace.records.replace(replace(found[0], revoked_at=datetime.now(UTC)))
        note(workspace, by, "revoke token", "ApiToken", id)
