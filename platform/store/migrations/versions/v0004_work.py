"""The work of judges: plans, leases, how far tasks are, controls, training, pauses, what was voided."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"

TABLES = (
    "task_lease",
    "task_state",
    "control",
    "qualification",
    "work_pause",
    "voided",
    "acknowledged",
)
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "text": sa.String(),
    "whole": sa.BigInteger(),
    "real": sa.Double(),
    "yes_no": sa.Boolean(),
    "time": sa.DateTime(timezone=True),
    "json": sa.JSON(),
}
_PARTIAL = {
    "one_open_lease": (["person", "campaign"], "status = 'open'"),
    "one_lease_ahead": (["person", "campaign"], "status = 'ahead'"),
    "a_pair_once": (
        ["person", "pair"],
        "status IN ('open', 'ahead', 'answered') AND purpose IN ('judge', 'adjudicate')",
    ),
    "a_slot_once": (
        ["task", "slot"],
        "status IN ('open', 'ahead', 'answered') AND purpose = 'judge'",
    ),
}


def _create(
    table: str, references: str, unique: str = "", indexed: str = "", **columns: str
) -> None:
    """columns: kind -> names, or kind_or_none -> names of those that may be NULL; references: names of tables."""
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        table,
        sa.Column("seq", whole, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False),
        *(
            sa.Column(
                name, _TYPES[kind.removesuffix("_or_none")], nullable=kind.endswith("_or_none")
            )
            for kind, names in columns.items()
            for name in names.split()
        ),
        sa.PrimaryKeyConstraint("seq", name=f"pk_{table}"),
        *(sa.UniqueConstraint(name, name=f"uq_{table}_{name}") for name in ("id", *unique.split())),
        *(
            sa.ForeignKeyConstraint([other], [f"{other}.id"], name=f"fk_{table}_{other}")
            for other in references.split()
        ),
    )
    for column in indexed.split():
        op.create_index(f"ix_{table}_{column}", table, [column])


def upgrade() -> None:
    with op.batch_alter_table("campaign") as table:
        table.add_column(sa.Column("status", sa.String(), nullable=False, server_default="open"))
        table.add_column(sa.Column("plan", sa.JSON(), nullable=False, server_default="{}"))
        table.create_index("ix_campaign_status", ["status"])
    with op.batch_alter_table("judgement") as table:
        table.add_column(sa.Column("purpose", sa.String(), nullable=False, server_default="judge"))
        table.add_column(sa.Column("inclusion", sa.Double(), nullable=True))
        table.add_column(sa.Column("gains_db", sa.JSON(), nullable=False, server_default="{}"))
    _leases()
    _create(
        "task_state",
        "project campaign",
        indexed="campaign pair project",
        text="project campaign pair language",
        text_or_none="control",
        whole="wanted taken answered priority",
        real="information shuffle",
        yes_no="expert closed",
    )
    _create(
        "control",
        "project campaign task",
        unique="task",
        indexed="campaign project task",
        text="project campaign task purpose",
        json="expected explanation",
        time="created_at",
        time_or_none="retired_at",
    )
    _people()


def _leases() -> None:
    _create(
        "task_lease",
        "project campaign task person",
        indexed="campaign pair person project status task",
        text="project campaign task person purpose status pair",
        whole="slot guideline_version last_report",
        json="presentation clips",
        json_or_none="draft",
        time="opened_at expires_at",
        time_or_none="closed_at",
        real_or_none="inclusion",
        text_or_none="judgement supersedes",
        yes_no_or_none="right",
    )
    for name, (columns, condition) in _PARTIAL.items():
        only = sa.text(condition)
        op.create_index(
            name, "task_lease", columns, unique=True, sqlite_where=only, postgresql_where=only
        )


def _people() -> None:
    _create(
        "qualification",
        "project campaign person",
        indexed="campaign person project",
        text="project campaign person",
        whole="guideline_version right asked",
        yes_no="passed",
        time="created_at",
    )
    _create(
        "work_pause",
        "project campaign person",
        indexed="campaign person project",
        text="project campaign person kind reason",
        json="figures",
        time="created_at",
        time_or_none="lifted_at",
        text_or_none="lifted_by",
    )
    _create(
        "voided",
        "project judgement",
        unique="judgement",
        indexed="project",
        text="project judgement actor reason",
        time="created_at",
    )
    _create(
        "acknowledged",
        "project campaign person",
        indexed="campaign person project",
        text="project campaign person",
        whole="guideline_version",
        time="created_at",
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    for name in ("gains_db", "inclusion", "purpose"):
        op.drop_column("judgement", name)
    op.drop_index("ix_campaign_status", "campaign")
    for name in ("plan", "status"):
        op.drop_column("campaign", name)
