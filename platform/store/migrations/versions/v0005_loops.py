"""Schedules of rounds; which Trivox made a round, and of which schedule it is."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    with op.batch_alter_table("round") as table:
        table.add_column(sa.Column("code_version", sa.String(), nullable=True))
        table.add_column(sa.Column("loop", sa.String(), nullable=True))
    op.create_table(
        "loop",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
            autoincrement=True,
        ),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("rounds", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_loop"),
        sa.UniqueConstraint("id", name="uq_loop_id"),
        sa.ForeignKeyConstraint(["project"], ["project.id"], name="fk_loop_project"),
    )
    for column in ("project", "status"):
        op.create_index(f"ix_loop_{column}", "loop", [column])


def downgrade() -> None:
    op.drop_table("loop")
    for name in ("loop", "code_version"):
        op.drop_column("round", name)
