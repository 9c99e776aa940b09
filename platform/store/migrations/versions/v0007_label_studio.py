"""What Label Studio was given, who is who there, what came back of it."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"

TABLES = (
    "label_studio_annotation",
    "label_studio_person",
    "label_studio_task",
    "label_studio_project",
)


def _text(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.String(), nullable=nullable) for name in names]


def _whole(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _time(name: str, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _json(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.JSON(), nullable=False) for name in names]


def _create(
    table: str, columns: list[sa.Column[Any]], references: str, indexed: str, unique: str = ""
) -> None:
    """references: columns that name a row of the table of their name."""
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        table,
        sa.Column("seq", whole, nullable=False, autoincrement=True),
        sa.Column("id", sa.String(), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("seq", name=f"pk_{table}"),
        *(sa.UniqueConstraint(name, name=f"uq_{table}_{name}") for name in ("id", *unique.split())),
        *(
            sa.ForeignKeyConstraint([name], [f"{name}.id"], name=f"fk_{table}_{name}")
            for name in references.split()
        ),
    )
    for column in indexed.split():
        op.create_index(f"ix_{table}_{column}", table, [column])


def upgrade() -> None:
    _create(
        "label_studio_project",
        [
            *_text("project", "campaign", "server", "key", "title", "question", "config"),
            _whole("overlap"),
            _time("created_at"),
            _whole("remote", nullable=True),
        ],
        references="project campaign",
        indexed="project campaign remote",
        unique="key",
    )
    _create(
        "label_studio_task",
        [
            *_text("project", "campaign", "task", "pushed_to", "key"),
            *_json("presentation", "clips", "data"),
            _whole("guideline_version"),
            _time("created_at"),
            _whole("remote", nullable=True),
        ],
        references="project campaign task",
        indexed="project campaign task pushed_to remote",
        unique="key",
    )
    _create(
        "label_studio_person",
        [
            *_text("project", "server"),
            _whole("remote"),
            *_text("email", "person", "linked_by"),
            _time("linked_at"),
            _time("ended_at", nullable=True),
        ],
        references="project person",
        indexed="project person remote",
    )
    live = sa.text("ended_at IS NULL")
    op.create_index(
        "an_account_once",
        "label_studio_person",
        ["project", "server", "remote"],
        unique=True,
        sqlite_where=live,
        postgresql_where=live,
    )
    _create(
        "label_studio_annotation",
        [
            *_text("project", "task", "pushed"),
            _whole("remote"),
            _whole("revision"),
            *_text("digest"),
            *_json("content"),
            *_text("intake"),
            _time("seen_at"),
            _whole("author", nullable=True),
            *_text("refusal", "detail", "judgement", nullable=True),
        ],
        references="project task",
        indexed="project task pushed remote",
    )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
