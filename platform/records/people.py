"""Who takes part: projects, accounts, and the people whose voices are heard."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Role(StrEnum):
    ANNOTATOR = "annotator"
    EXPERT = "expert"
    LEAD = "lead"
    RESEARCHER = "researcher"
    VIEWER = "viewer"
    ADMIN = "admin"


class Pool(StrEnum):
    """Where judges come from; statistics never mix the simulated with people."""

    STAFF = "staff"
    CROWD = "crowd"
    SIMULATED = "simulated"


@dataclass(frozen=True)
class Project:
    """The scope of everything else."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True)
class RoleGrant:
    """One role of one person in one project, until it is revoked; granted again, it is another grant."""

    id: str
    project: str
    person: str
    role: Role
    granted_at: datetime
    granted_by: str | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class Person:
    """An account.

    languages: BCP-47 tag -> level ("native", "fluent", "basic"); qualifications: campaign ids passed;
    skills: words such as "music" that campaigns may ask for; declined: campaigns that the person opted out of.
    (issuer, subject) identify the account: ("local", its login) with a password here, other issuers for a
    single sign-on. pay_rate is per hour, in pay_currency.
    """

    id: str
    name: str
    pool: Pool
    created_at: datetime
    languages: dict[str, str] = field(default_factory=dict)
    qualifications: tuple[str, ...] = ()
    device_checked_at: datetime | None = None
    pay_rate: float | None = None
    pay_currency: str | None = None
    issuer: str | None = None
    subject: str | None = None
    active: bool = True
    skills: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()


LOCAL = "local"
"""The issuer of accounts whose password is kept here."""


@dataclass(frozen=True)
class Credential:
    """The password of a person, whose id it bears: argon2id in its encoded form, salt and cost included."""

    id: str
    password_hash: str
    changed_at: datetime


@dataclass(frozen=True)
class SignIn:
    """A session in a browser. id: sha256 of what the cookie holds. ends_at: the latest, however busy it is."""

    id: str
    person: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime
    address: str | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Invite:
    """A link that makes one account, once. token_hash: sha256 of the link's token. used_by: the person made."""

    id: str
    project: str
    token_hash: str
    name: str
    roles: tuple[Role, ...]
    pool: Pool
    invited_by: str
    created_at: datetime
    expires_at: datetime
    email: str | None = None
    languages: dict[str, str] = field(default_factory=dict)
    skills: tuple[str, ...] = ()
    pay_rate: float | None = None
    pay_currency: str | None = None
    used_at: datetime | None = None
    used_by: str | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class ApiToken:
    """A key for scripts, never stronger than its person. scopes: `area:read` or `area:write`."""

    id: str
    project: str
    person: str
    name: str
    token_hash: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class Throttle:
    """Failed attempts under one key (a hash of what is limited) since `since`; refused until `until`."""

    id: str
    failures: int
    since: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class AuditEntry:
    """Who did what to which object, when and from where; append-only, each entry bound to the one before.

    number: 1, 2, … without gaps; previous: digest of the entry before ("" for the first); digest: sha256 over all
    other fields. actor: a person id, `system` or `nobody` (not signed in). Never holds a secret.
    """

    id: str
    number: int
    project: str
    actor: str
    action: str
    kind: str
    object: str
    created_at: datetime
    previous: str
    digest: str
    address: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Guideline:
    """One version of a campaign's guideline. texts: language -> Markdown, "en" always there.

    warning: language -> what may upset, empty for nothing.
    requalify: who trained for an earlier version trains anew.
    """

    id: str
    project: str
    campaign: str
    version: int
    texts: dict[str, str]
    author: str
    created_at: datetime
    warning: dict[str, str] = field(default_factory=dict)
    requalify: bool = False


class InquiryKind(StrEnum):
    """question: about the guideline; report: of an item; appeal: against a pause or a voided answer."""

    QUESTION = "question"
    REPORT = "report"
    APPEAL = "appeal"


@dataclass(frozen=True)
class Inquiry:
    """What a person asks the leads. subject: the id it is about (a task, judgement or pause), None for none."""

    id: str
    project: str
    campaign: str
    person: str
    kind: InquiryKind
    text: str
    created_at: datetime
    subject: str | None = None
    answer: str | None = None
    answered_by: str | None = None
    answered_at: datetime | None = None


class Consent(StrEnum):
    """What a speaker allows to be done with the voice."""

    TRAIN = "train"
    CLONE = "clone"
    ANNOTATE = "annotate"
    REDISTRIBUTE = "redistribute"


@dataclass(frozen=True)
class Speaker:
    """Whose voice it is: a person who consented, or a generator (synthetic) with its licence."""

    id: str
    project: str
    name: str
    consents: tuple[Consent, ...]
    synthetic: bool
    generator: str | None = None
    licence: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def allows(self, use: Consent, now: datetime) -> bool:
        """Whether the use is consented to, not expired and not revoked at the time `now`."""
        ended = [moment for moment in (self.expires_at, self.revoked_at) if moment is not None]
        return use in self.consents and all(now < moment for moment in ended)
