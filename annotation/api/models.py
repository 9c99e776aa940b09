"""What the API takes and gives of accounts and people. Fields unknown are refused."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from trivox.annotation.people.principal import Principal
from trivox.platform.records import ApiToken, AuditEntry, Invite, Person, Pool, Role, SignIn

Short = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(min_length=1, max_length=4000)]
Word = Annotated[str, Field(pattern=r"^[\w.-]{1,40}$")]
Language = Annotated[str, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")]
Level = Annotated[str, Field(pattern="^(native|fluent|basic)$")]
Password = Annotated[SecretStr, Field(min_length=1, max_length=200)]
Rate = Annotated[float, Field(ge=0, le=100_000, allow_inf_nan=False)]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]


class Taken(BaseModel):
    """The base of what is sent to the API."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Given(BaseModel):
    """The base of what the API answers."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Problem(Given):
    """Why a request was not carried out, in words for people."""

    error: str


class Done(Given):
    """The request was carried out; there is nothing to add."""

    done: bool = True


class SignInBody(Taken):
    login: Short
    password: Password


class AcceptBody(Taken):
    """token: the last part of the link. name: as others see it; None for that of the invitation."""

    token: Short
    login: Annotated[str, Field(min_length=1, max_length=120)]
    password: Password
    name: Short | None = None


class PasswordBody(Taken):
    current: Password
    new: Password


class Me(Given):
    """roles: in the project that is served. csrf: to be sent as X-CSRF-Token with what changes anything."""

    person: str
    name: str
    project: str
    roles: list[Role]
    languages: dict[str, str]
    skills: list[str]
    csrf: str

    @classmethod
    def of(cls, who: Principal) -> Self:
        return cls(
            person=who.person,
            name=who.name,
            project=who.project,
            roles=sorted(who.here),
            languages=who.languages,
            skills=list(who.skills),
            csrf=who.csrf,
        )


class MeChange(Taken):
    name: Short


class Session(Given):
    """A browser that is signed in. here: the one that asks."""

    created_at: datetime
    seen_at: datetime
    address: str | None
    here: bool

    @classmethod
    def of(cls, one: SignIn, current: str | None) -> Self:
        return cls(
            created_at=one.created_at,
            seen_at=one.seen_at,
            address=one.address,
            here=one.id == current,
        )


class Sessions(Given):
    sessions: list[Session]


class TokenBody(Taken):
    """days: until it ends; None for never."""

    name: Short
    scopes: Annotated[tuple[str, ...], Field(min_length=1, max_length=20)]
    days: Annotated[int, Field(ge=1, le=3650)] | None = 90


class Token(Given):
    id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None

    @classmethod
    def of(cls, one: ApiToken) -> Self:
        return cls.model_validate(one)


class Tokens(Given):
    tokens: list[Token]


class NewToken(Given):
    """secret: shown this once."""

    token: Token
    secret: str


class Guest(Taken):
    """Whom to invite."""

    name: Short
    email: Annotated[str, Field(max_length=200, pattern=r"^[^@\s]+@[^@\s]+$")] | None = None
    languages: Annotated[dict[Language, Level], Field(max_length=30)] = {}
    skills: Annotated[tuple[Word, ...], Field(max_length=30)] = ()
    roles: Annotated[tuple[Role, ...], Field(min_length=1, max_length=6)] = (Role.ANNOTATOR,)
    pool: Pool = Pool.STAFF
    pay_rate: Rate | None = None
    pay_currency: Currency | None = None


class Guests(Taken):
    guests: Annotated[list[Guest], Field(min_length=1, max_length=1000)]


class CsvBody(Taken):
    """csv: first line `name,email,languages,skills,roles,pool,pay_rate,pay_currency`, or some of these."""

    csv: Annotated[str, Field(max_length=1_000_000)]


class NewInvite(Given):
    """link: shown this once."""

    id: str
    name: str
    email: str | None
    link: str


class NewInvites(Given):
    invites: list[NewInvite]


class InviteState(Given):
    id: str
    name: str
    email: str | None
    roles: tuple[Role, ...]
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, one: Invite) -> Self:
        return cls.model_validate(one)


class Invites(Given):
    invites: list[InviteState]


class Account(Given):
    """A person as leads see them."""

    id: str
    name: str
    login: str | None
    pool: Pool
    active: bool
    roles: list[Role]
    languages: dict[str, str]
    skills: tuple[str, ...]
    qualifications: tuple[str, ...]
    pay_rate: float | None
    pay_currency: str | None
    created_at: datetime

    @classmethod
    def of(cls, one: Person, roles: frozenset[Role]) -> Self:
        return cls(
            id=one.id,
            name=one.name,
            login=one.subject,
            pool=one.pool,
            active=one.active,
            roles=sorted(roles),
            languages=one.languages,
            skills=one.skills,
            qualifications=one.qualifications,
            pay_rate=one.pay_rate,
            pay_currency=one.pay_currency,
            created_at=one.created_at,
        )


class Accounts(Given):
    people: list[Account]


class AccountChange(Taken):
    """Fields left out stay as they are."""

    name: Short | None = None
    active: bool | None = None
    pool: Pool | None = None
    languages: Annotated[dict[Language, Level], Field(max_length=30)] | None = None
    skills: Annotated[tuple[Word, ...], Field(max_length=30)] | None = None
    pay_rate: Rate | None = None
    pay_currency: Currency | None = None


class AuditRow(Given):
    number: int
    actor: str
    action: str
    kind: str
    object: str
    created_at: datetime
    address: str | None
    details: dict[str, Any]
    digest: str

    @classmethod
    def of(cls, one: AuditEntry) -> Self:
        return cls.model_validate(one)


class AuditRows(Given):
    """entries: newest first."""

    entries: list[AuditRow]
