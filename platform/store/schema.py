"""SQL tables made from the record dataclasses: one table per kind, one column per field.

str and enumerations are strings, int, float, bool and datetime their SQL kinds, everything nested is JSON.
`seq` numbers the rows of a table in the order in which they were added.
"""

import re
import types
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import sqlalchemy as sa

from trivox.platform.records import (
    Acknowledged,
    ApiToken,
    Audio,
    AuditEntry,
    Campaign,
    Control,
    CostEntry,
    Credential,
    Decision,
    Evaluation,
    Guideline,
    Inquiry,
    Invite,
    Judgement,
    LabelStudioAnnotation,
    LabelStudioPerson,
    LabelStudioProject,
    LabelStudioTask,
    Loop,
    Person,
    Persona,
    PolicyVersion,
    PreferenceSet,
    Project,
    Prompt,
    PromptSet,
    Qualification,
    RewardModelVersion,
    RoleGrant,
    Round,
    Rubric,
    SignIn,
    Speaker,
    StageRun,
    Task,
    TaskFault,
    TaskLease,
    TaskState,
    Throttle,
    Voided,
    WorkPause,
)
from trivox.platform.records.budgets import Budget, ProjectPlan

KINDS: tuple[type[Any], ...] = (
    Project,
    Person,
    RoleGrant,
    Speaker,
    Audio,
    Prompt,
    PromptSet,
    Persona,
    Rubric,
    Round,
    StageRun,
    Campaign,
    Task,
    Judgement,
    PreferenceSet,
    PolicyVersion,
    RewardModelVersion,
    Evaluation,
    Decision,
    CostEntry,
    TaskLease,
    TaskState,
    Control,
    TaskFault,
    Qualification,
    WorkPause,
    Voided,
    Acknowledged,
    Credential,
    SignIn,
    Invite,
    ApiToken,
    Throttle,
    AuditEntry,
    Guideline,
    Inquiry,
    Loop,
    LabelStudioProject,
    LabelStudioTask,
    LabelStudioPerson,
    LabelStudioAnnotation,
    ProjectPlan,
    Budget,
)
MUTABLE: tuple[type[Any], ...] = (
    Round,
    PolicyVersion,
    Person,
    Speaker,
    Campaign,
    TaskLease,
    TaskState,
    Control,
    TaskFault,
    WorkPause,
    RoleGrant,
    Credential,
    SignIn,
    Invite,
    ApiToken,
    Throttle,
    Inquiry,
    Loop,
    LabelStudioProject,
    LabelStudioTask,
    LabelStudioPerson,
    LabelStudioAnnotation,
    ProjectPlan,
    Budget,
)

_REFERENCES: dict[tuple[type[Any], str], type[Any]] = {
    (RoleGrant, "person"): Person,
    (Credential, "id"): Person,
    (SignIn, "person"): Person,
    (ApiToken, "person"): Person,
    (Guideline, "campaign"): Campaign,
    (Inquiry, "campaign"): Campaign,
    (Inquiry, "person"): Person,
    (StageRun, "round"): Round,
    (Task, "campaign"): Campaign,
    (Judgement, "task"): Task,
    (TaskLease, "campaign"): Campaign,
    (TaskLease, "task"): Task,
    (TaskLease, "person"): Person,
    (TaskState, "campaign"): Campaign,
    (Control, "campaign"): Campaign,
    (Control, "task"): Task,
    (TaskFault, "campaign"): Campaign,
    (TaskFault, "task"): Task,
    (Qualification, "campaign"): Campaign,
    (Qualification, "person"): Person,
    (WorkPause, "campaign"): Campaign,
    (WorkPause, "person"): Person,
    (Voided, "judgement"): Judgement,
    (Acknowledged, "campaign"): Campaign,
    (Acknowledged, "person"): Person,
    (LabelStudioProject, "campaign"): Campaign,
    (LabelStudioTask, "campaign"): Campaign,
    (LabelStudioTask, "task"): Task,
    (LabelStudioPerson, "person"): Person,
    (LabelStudioAnnotation, "task"): Task,
}
_UNIQUE: dict[type[Any], list[tuple[str, ...]]] = {
    Judgement: [("project", "idempotency_key")],
    PromptSet: [("project", "name", "version")],
    Persona: [("project", "name", "version")],
    Rubric: [("project", "name", "version")],
    Person: [("issuer", "subject")],
    Invite: [("token_hash",)],
    ApiToken: [("token_hash",)],
    AuditEntry: [("number",)],
    Guideline: [("campaign", "version")],
    Voided: [("judgement",)],
    Control: [("task",)],
    LabelStudioProject: [("key",)],
    LabelStudioTask: [("key",)],
}
_INDEXED = {
    "project",
    "pushed",
    "pushed_to",
    "remote",
    "round",
    "task",
    "campaign",
    "prompt",
    "status",
    "policy",
    "person",
    "subject",
    "pair",
}
# Name -> (kind, columns, condition): what no two rows that fulfil the condition may share.
_UNIQUE_WHERE: dict[str, tuple[type[Any], tuple[str, ...], str]] = {
    "one_open_lease": (TaskLease, ("person", "campaign"), "status = 'open'"),
    "one_lease_ahead": (TaskLease, ("person", "campaign"), "status = 'ahead'"),
    "a_pair_once": (
        TaskLease,
        ("person", "pair"),
        "status IN ('open', 'ahead', 'answered') AND purpose IN ('judge', 'adjudicate')",
    ),
    "a_slot_once": (
        TaskLease,
        ("task", "slot"),
        "status IN ('open', 'ahead', 'answered') AND purpose = 'judge'",
    ),
    "an_account_once": (
        LabelStudioPerson,
        ("project", "server", "remote"),
        "ended_at IS NULL",
    ),
}
_NAMES = {
    "pk": "pk_%(table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
}


class UtcDateTime(sa.TypeDecorator[datetime]):
    """Aware times, kept in UTC; a naive one is refused. SQLite itself knows no time zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone: times are timezone-aware UTC")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def table_name(kind: type[Any]) -> str:
    """`PolicyVersion` -> `policy_version`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def field_types(kind: type[Any]) -> dict[str, tuple[Any, bool]]:
    """Field name -> (its type without None, whether None is allowed)."""
    hints = get_type_hints(kind)
    return {field.name: _without_none(hints[field.name]) for field in fields(kind)}


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) is not types.UnionType:
        return hint, False
    (inner,) = [part for part in get_args(hint) if part is not type(None)]
    return inner, True


def is_nested(hint: Any) -> bool:
    """Whether a field of this type is kept as JSON."""
    return _scalar_type(hint) is None


def _scalar_type(hint: Any) -> sa.types.TypeEngine[Any] | None:
    if not isinstance(hint, type):
        return None
    if issubclass(hint, (str, StrEnum)):
        return sa.String()
    plain: dict[type[Any], sa.types.TypeEngine[Any]] = {
        bool: sa.Boolean(),
        int: sa.BigInteger(),
        float: sa.Double(),
        datetime: UtcDateTime(),
    }
    return plain.get(hint)


def _columns(kind: type[Any]) -> list[sa.Column[Any]]:
    made = []
    for name, (hint, optional) in field_types(kind).items():
        column_type = _scalar_type(hint) or sa.JSON(none_as_null=True)
        made.append(sa.Column(name, column_type, *_references(kind, name), nullable=optional))
    return made


def _references(kind: type[Any], name: str) -> list[sa.ForeignKey]:
    target = Project if name == "project" else _REFERENCES.get((kind, name))
    return [sa.ForeignKey(f"{table_name(target)}.id")] if target is not None else []


def _constraints(kind: type[Any]) -> list[sa.UniqueConstraint]:
    return [sa.UniqueConstraint(*columns) for columns in [("id",), *_UNIQUE.get(kind, [])]]


def _sequence() -> sa.Column[int]:
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("seq", whole, primary_key=True, autoincrement=True)


@cache
def metadata() -> sa.MetaData:
    """All tables as this version of Trivox wants them."""
    made = sa.MetaData(naming_convention=_NAMES)
    for kind in KINDS:
        table = sa.Table(table_name(kind), made, _sequence(), *_columns(kind), *_constraints(kind))
        for name in sorted(_INDEXED & set(table.c.keys())):
            sa.Index(None, table.c[name])
    for name, (kind, columns, condition) in _UNIQUE_WHERE.items():
        table, only = made.tables[table_name(kind)], sa.text(condition)
        chosen = [table.c[column] for column in columns]
        sa.Index(name, *chosen, unique=True, sqlite_where=only, postgresql_where=only)
    return made


def table_of(kind: type[Any]) -> sa.Table:
    """The table of a record kind; TypeError for what is not kept in SQL."""
    if kind not in KINDS:
        raise TypeError(f"{kind.__name__} is not kept in SQL: rollouts and scores are in `Tables`")
    return metadata().tables[table_name(kind)]
