"""A rubric says for each language how words are compared; the rubrics of before say nothing of it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    with op.batch_alter_table("rubric") as table:
        table.add_column(sa.Column("metrics", sa.JSON(), nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("rubric", "metrics")
