"""All tables of the first version.

The helpers below belong to this revision alone: a migration never changes once it has been released.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

TABLES = (
    "project",
    "person",
    "role_grant",
    "speaker",
    "audio",
    "prompt",
    "prompt_set",
    "persona",
    "rubric",
    "round",
    "stage_run",
    "cost_entry",
    "campaign",
    "task",
    "judgement",
    "preference_set",
    "policy_version",
    "reward_model_version",
    "evaluation",
    "decision",
)

_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "text": sa.String(),
    "whole": sa.BigInteger(),
    "real": sa.Double(),
    "yes_no": sa.Boolean(),
    "time": sa.DateTime(timezone=True),
    "json": sa.JSON(),
}


def _create(
    table: str,
    unique: tuple[str, ...] = (),
    references: dict[str, str] | None = None,
    indexed: str = "",
    **columns: str,
) -> None:
    """columns: kind -> names of columns, or kind_or_none -> names of those that may be NULL."""
    op.create_table(
        table,
        *_key(table),
        *(
            sa.Column(
                name, _TYPES[kind.removesuffix("_or_none")], nullable=kind.endswith("_or_none")
            )
            for kind, names in columns.items()
            for name in names.split()
        ),
        *(_unique(table, *names.split()) for names in ("id", *unique)),
        *(_to(table, column, target) for column, target in (references or {}).items()),
    )
    for column in indexed.split():
        op.create_index(f"ix_{table}_{column}", table, [column])


def _key(table: str) -> list[sa.schema.SchemaItem]:
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return [
        sa.Column("seq", whole, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=f"pk_{table}"),
    ]


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=f"uq_{table}_{'_'.join(columns)}")


def _to(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=f"fk_{table}_{column}")


def upgrade() -> None:
    _people()
    _prompts()
    _rounds()
    _labels()
    _models()


def _people() -> None:
    _create(
        "project",
        text="name",
        time="created_at",
    )
    _create(
        "person",
        unique=("issuer subject",),
        indexed="subject",
        text="name pool",
        time="created_at",
        json="languages qualifications",
        time_or_none="device_checked_at",
        real_or_none="pay_rate",
        text_or_none="pay_currency issuer subject",
        yes_no="active",
    )
    _create(
        "role_grant",
        references={"project": "project", "person": "person"},
        indexed="person project",
        text="project person role",
        time="granted_at",
    )
    _create(
        "speaker",
        references={"project": "project"},
        indexed="project",
        text="project name",
        json="consents",
        yes_no="synthetic",
        text_or_none="generator licence",
        time_or_none="expires_at revoked_at",
    )
    _create(
        "audio",
        references={"project": "project"},
        indexed="project",
        text="project source",
        whole="rate channels depth frames",
        real="duration_s",
        real_or_none="loudness_lufs true_peak_dbtp",
        text_or_none="speaker licence derived_from",
    )


def _prompts() -> None:
    _create(
        "prompt",
        text="branch",
        json="languages turns inline_instructions pronunciations",
        text_or_none="text audio persona instruction reference_text reference_audio voice_audio rubric",
    )
    _create(
        "prompt_set",
        unique=("project name version",),
        references={"project": "project"},
        indexed="project",
        text="project name",
        whole="version",
        json="items",
    )
    _create(
        "persona",
        unique=("project name version",),
        references={"project": "project"},
        indexed="project",
        text="project name description",
        whole="version",
        json="traits parents",
    )
    _create(
        "rubric",
        unique=("project name version",),
        references={"project": "project"},
        indexed="project",
        text="project name",
        whole="version",
        json="criteria parents",
    )


def _rounds() -> None:
    _create(
        "round",
        references={"project": "project"},
        indexed="policy project status",
        text="project branch algorithm policy prompt_set stage status",
        json="config",
        whole="seed",
        time="created_at updated_at",
        text_or_none="worker error",
        time_or_none="lease_until",
    )
    _create(
        "stage_run",
        references={"project": "project", "round": "round"},
        indexed="project round",
        text="project round stage code_version",
        json="inputs outputs",
        whole="seed",
        time="started_at finished_at",
        real_or_none="peak_memory_mb",
    )
    _create(
        "cost_entry",
        references={"project": "project"},
        indexed="campaign project round",
        text="project kind unit",
        text_or_none="round campaign currency",
        real="quantity",
        real_or_none="price",
        time="created_at",
        json="note",
    )


def _labels() -> None:
    _create(
        "campaign",
        references={"project": "project"},
        indexed="project round",
        text="project name branch guideline",
        whole="guideline_version overlap",
        json="languages",
        time="created_at",
        text_or_none="round",
        whole_or_none="budget",
    )
    _create(
        "task",
        references={"project": "project", "campaign": "campaign"},
        indexed="campaign project prompt round",
        text="project campaign kind prompt question language scope",
        json="items",
        whole="overlap",
        text_or_none="round",
    )
    _create(
        "judgement",
        unique=("project idempotency_key",),
        references={"project": "project", "task": "task"},
        indexed="project task",
        text="project task judge_kind judge idempotency_key",
        json="answer presentation reasons spans heard_s",
        time="created_at",
        text_or_none="comment ui_version supersedes",
        real_or_none="taken_s",
        whole_or_none="guideline_version",
    )
    _create(
        "preference_set",
        references={"project": "project"},
        indexed="project round",
        text="project method",
        text_or_none="round",
        json="preferences dropped",
    )


def _models() -> None:
    _create(
        "policy_version",
        references={"project": "project"},
        indexed="project round status",
        text="project name artefact artefact_hash status",
        text_or_none="branch backbone round",
        json="parents",
        time="created_at",
    )
    _create(
        "reward_model_version",
        references={"project": "project"},
        indexed="project",
        text="project name artefact artefact_hash",
        json="preference_sets report",
        time="created_at",
    )
    _create(
        "evaluation",
        references={"project": "project"},
        indexed="policy project round",
        text="project policy suite",
        text_or_none="parent round",
        json="evaluators results per_item",
        yes_no="proxy",
        time="created_at",
    )
    _create(
        "decision",
        references={"project": "project"},
        indexed="project subject",
        text="project kind subject actor reason",
        time="created_at",
        json="evidence",
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
