"""Limits on failed attempts. Counted before the attempt, so that many at once get no further than one by one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from trivox.platform.errors import UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import Throttle
from trivox.platform.store import Workspace


class Limit(NamedTuple):
    """At most `attempts` within `window`; then none for as long."""

    name: str
    attempts: int
    window: timedelta


HERE = Limit("login and address", 5, timedelta(minutes=15))
LOGIN = Limit("login", 50, timedelta(minutes=15))
ADDRESS = Limit("address", 100, timedelta(minutes=15))
LINKS = Limit("links by address", 30, timedelta(minutes=15))


class TooMany(UsageError):
    """Too many attempts; seconds: until the next is looked at."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"too many attempts: wait {max(1, round(self.seconds / 60))} min, then try again"


def attempt(workspace: Workspace, limit: Limit, *who: str) -> None:
    """Count an attempt of `who`; raises TooMany when the limit is reached."""
    now, key = datetime.now(UTC), _key(limit, who)
    with workspace.records.transaction():
        found = workspace.records.find(Throttle, id=key)
        held = found[0] if found else Throttle(key, 0, now)
        if held.until is not None and now < held.until:
            raise TooMany(int((held.until - now).total_seconds()) + 1)
        if now - held.since >= limit.window or held.until is not None:
            held = Throttle(key, 0, now)
        count = held.failures + 1
        until = now + limit.window if count >= limit.attempts else None
        changed = replace(held, failures=count, until=until)
        if found:
            workspace.records.replace(changed)
        else:
            workspace.records.add(changed)


def forget(workspace: Workspace, limit: Limit, *who: str) -> None:
    """The attempt succeeded: begin to count anew."""
    key = _key(limit, who)
    if workspace.records.find(Throttle, id=key):
        workspace.records.replace(Throttle(key, 0, datetime.now(UTC)))


def refund(workspace: Workspace, limit: Limit, *who: str) -> None:
    """The attempt succeeded: it does not count, those that failed still do."""
    with workspace.records.transaction():
        for held in workspace.records.find(Throttle, id=_key(limit, who)):
            less = max(0, held.failures - 1)
            workspace.records.replace(replace(held, failures=less, until=None))


def _key(limit: Limit, who: tuple[str, ...]) -> str:
    return derived_id("throttle", limit.name, *who)
