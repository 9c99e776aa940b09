"""Invites: one link makes one account, once. In bulk from a CSV, one row a person."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from ulid import ULID

from trivox.annotation.people.audit import By, note
from trivox.annotation.people.opaque import digest, new_secret
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import Invite, Pool, Role
from trivox.platform.store import Workspace

VALID = timedelta(days=14)
COLUMNS = ("name", "email", "languages", "skills", "roles", "pool", "pay_rate", "pay_currency")
LEVELS = ("native", "fluent", "basic")
MOST = 1000


@dataclass(frozen=True)
class Guest:
    """Whom to invite, and as what."""

    name: str
    email: str | None = None
    languages: dict[str, str] = field(default_factory=dict)
    skills: tuple[str, ...] = ()
    roles: tuple[Role, ...] = (Role.ANNOTATOR,)
    pool: Pool = Pool.STAFF
    pay_rate: float | None = None
    pay_currency: str | None = None


def invite(
    workspace: Workspace, by: By, guests: Sequence[Guest], valid: timedelta = VALID
) -> list[tuple[Invite, str]]:
    """One invite for each guest with its token, which is shown this once. All or none; raises UsageError."""
    if not 1 <= len(guests) <= MOST:
        raise UsageError(f"{len(guests)} people to invite: give 1 to {MOST}")
    now = datetime.now(UTC)
    made = [_invite(workspace.project, by, guest, now, valid) for guest in guests]
    with workspace.records.exclusive("audit"):
        workspace.records.add(*(one for one, _ in made))
        for one, _ in made:
            roles = [role.value for role in one.roles]
            note(workspace, by, "invite", "Invite", one.id, roles=roles, pool=one.pool.value)
    return made


def _invite(
    project: str, by: By, guest: Guest, now: datetime, valid: timedelta
) -> tuple[Invite, str]:
    if not guest.roles:
        raise UsageError(f"{guest.name}: no role to invite to: give one of {', '.join(Role)}")
    token = new_secret()
    made = Invite(
        id=str(ULID()),
        project=project,
        token_hash=digest(token),
        name=guest.name,
        roles=guest.roles,
        pool=guest.pool,
        invited_by=by.actor,
        created_at=now,
        expires_at=now + valid,
        email=guest.email,
        languages=guest.languages,
        skills=guest.skills,
        pay_rate=guest.pay_rate,
        pay_currency=guest.pay_currency,
    )
    return made, token


def open_invite(workspace: Workspace, token: str) -> Invite:
    """The invite of a token that can still be used; NotFound says the same of all others."""
    found = workspace.records.find(Invite, token_hash=digest(token), project=workspace.project)
    if not found or not is_open(found[0], datetime.now(UTC)):
        raise NotFound("this invitation is unknown, used or has ended: ask for a new one")
    return found[0]


def is_open(one: Invite, now: datetime) -> bool:
    return one.used_at is None and one.revoked_at is None and now < one.expires_at


def revoke(workspace: Workspace, by: By, id: str) -> None:
    """End an invite that was not used; NotFound when there is no such one."""
    found = workspace.records.find(Invite, id=id, project=workspace.project, used_at=None)
    if not found:
        raise NotFound(f"no unused invite {id!r}")
    with workspace.records.transaction():
        workspace.records.replace(replace(found[0], revoked_at=datetime.now(UTC)))
        note(workspace, by, "revoke invite", "Invite", id)


def read_csv(text: str, roles: tuple[Role, ...] = (Role.ANNOTATOR,)) -> list[Guest]:
    """Guests of a CSV with a column `name` and, as wanted, the others of COLUMNS.

    languages: `en:native zh-CN:fluent`; skills and roles: words. Raises UsageError with the line's number.
    """
    try:
        names, *rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    except (csv.Error, ValueError) as error:
        raise UsageError(f"no CSV: {error}") from None
    names = [name.strip() for name in names]
    if "name" not in names or set(names) - set(COLUMNS):
        raise UsageError(
            f"the columns are {names}: give `name` and, as wanted, {', '.join(COLUMNS[1:])}"
        )
    return [_guest(names, row, line, roles) for line, row in enumerate(rows, 2) if row]


def _guest(names: list[str], row: list[str], line: int, roles: tuple[Role, ...]) -> Guest:
    if len(row) != len(names):
        raise UsageError(f"line {line}: it has {len(row)} fields, the first line {len(names)}")
    given = {name: value.strip() for name, value in zip(names, row, strict=True)}
    if not given["name"]:
        raise UsageError(f"line {line}: no name")
    try:
        return Guest(
            name=given["name"],
            email=given.get("email") or None,
            languages=read_languages(given.get("languages", "")),
            skills=tuple(given.get("skills", "").split()),
            roles=tuple(Role(word) for word in given.get("roles", "").split()) or roles,
            pool=Pool(given.get("pool") or Pool.STAFF),
            pay_rate=float(given["pay_rate"]) if given.get("pay_rate") else None,
            pay_currency=given.get("pay_currency") or None,
        )
    except ValueError as error:
        raise UsageError(f"line {line}: {error}") from None


def read_languages(text: str) -> dict[str, str]:
    """`en:native zh-CN:fluent` -> level by language; without a level fluent. Raises UsageError."""
    languages = {}
    for word in text.replace(",", " ").split():
        language, _, level = word.partition(":")
        languages[language] = level or "fluent"
        if languages[language] not in LEVELS:
            raise UsageError(f"{word!r}: the level is one of {', '.join(LEVELS)}")
    return languages
