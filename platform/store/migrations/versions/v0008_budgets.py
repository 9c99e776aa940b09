"""Budgets and the storage prefix of projects."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision: str | None = "0007"


def upgrade() -> None:
    _create("project_plan", [_text("prefix"), _time("created_at")])
    _create(
        "budget",
        [
            _text("round", nullable=True),
            _text("campaign", nullable=True),
            _text("kind"),
            sa.Column("limit", sa.Double(), nullable=False),
            _text("unit"),
            _time("created_at"),
            _time("updated_at"),
        ],
        "campaign project round",
    )


def downgrade() -> None:
    op.drop_table("budget")
    op.drop_table("project_plan")


def _text(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _create(table: str, columns: list[sa.Column[Any]], indexed: str = "project") -> None:
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        table,
        sa.Column("seq", whole, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False),
        _text("project"),
        *columns,
        sa.PrimaryKeyConstraint("seq", name=f"pk_{table}"),
        sa.UniqueConstraint("id", name=f"uq_{table}_id"),
        sa.ForeignKeyConstraint(["project"], ["project.id"], name=f"fk_{table}_project"),
    )
    for column in indexed.split():
        op.create_index(f"ix_{table}_{column}", table, [column])
