"""Tasks that are left out because something of them cannot be shown or played."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"


def upgrade() -> None:
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    texts = ("id", "project", "campaign", "task", "kind", "item", "message")
    op.create_table(
        "task_fault",
        sa.Column("seq", whole, nullable=False, autoincrement=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_task_fault"),
        sa.UniqueConstraint("id", name="uq_task_fault_id"),
        *(
            sa.ForeignKeyConstraint([other], [f"{other}.id"], name=f"fk_task_fault_{other}")
            for other in ("project", "campaign", "task")
        ),
    )
    for column in ("campaign", "project", "task"):
        op.create_index(f"ix_task_fault_{column}", "task_fault", [column])


def downgrade() -> None:
    op.drop_table("task_fault")
