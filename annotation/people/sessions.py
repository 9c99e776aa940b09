"""Sessions in browsers: opaque random ids that end when idle, and in any case after a while."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from trivox.annotation.people.opaque import digest, new_secret
from trivox.platform.records import SignIn
from trivox.platform.store import Workspace

IDLE = timedelta(hours=4)
LONGEST = timedelta(hours=24)
_SEEN_EVERY = timedelta(minutes=1)


def begin(workspace: Workspace, person: str, address: str | None) -> str:
    """A new session of the person; returns what the cookie holds."""
    secret, now = new_secret(), datetime.now(UTC)
    workspace.records.add(SignIn(digest(secret), person, now, now, now + LONGEST, address))
    return secret


def find(workspace: Workspace, secret: str) -> SignIn | None:
    """The live session of a cookie, noted as seen; None for any other."""
    found = workspace.records.find(SignIn, id=digest(secret))
    now = datetime.now(UTC)
    if not found or not alive(found[0], now):
        return None
    if now - found[0].seen_at >= _SEEN_EVERY:
        workspace.records.replace(replace(found[0], seen_at=now))
    return found[0]


def alive(session: SignIn, now: datetime) -> bool:
    return session.ended_at is None and now < session.ends_at and now - session.seen_at < IDLE


def live_of(workspace: Workspace, person: str) -> list[SignIn]:
    """The person's sessions that have not ended."""
    now = datetime.now(UTC)
    return [one for one in workspace.records.find(SignIn, person=person) if alive(one, now)]


def end(workspace: Workspace, session: SignIn) -> None:
    workspace.records.replace(replace(session, ended_at=datetime.now(UTC)))


def end_all(workspace: Workspace, person: str, but: str | None = None) -> int:
    """End every session of the person except that of id `but`; returns how many."""
    ended = [one for one in live_of(workspace, person) if one.id != but]
    for one in ended:
        end(workspace, one)
    return len(ended)


def csrf_of(secret: str) -> str:
    """The token that shows that a request came from our own page: whoever knows it knows the cookie."""
    return hashlib.sha256(f"csrf {secret}".encode()).hexdigest()
