"""Who takes part: projects, accounts, and the people whose voices are heard."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


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
    """One role of one person in one project."""

    id: str
    project: str
    person: str
    role: Role
    granted_at: datetime


@dataclass(frozen=True)
class Person:
    """An account.

    languages: BCP-47 tag -> level ("native", "fluent", "basic"); qualifications: campaign ids passed;
    (issuer, subject) identify the account for a single sign-on; pay_rate is per hour, in pay_currency.
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
