"""Accounts: passwords, sessions, invites, API tokens, limits, the audit log; guidelines and what people ask."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"

TABLES = (
    "credential",
    "sign_in",
    "invite",
    "api_token",
    "throttle",
    "audit_entry",
    "guideline",
    "inquiry",
)
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "text": sa.String(),
    "whole": sa.BigInteger(),
    "real": sa.Double(),
    "yes_no": sa.Boolean(),
    "time": sa.DateTime(timezone=True),
    "json": sa.JSON(),
}
_REFUSE = "the audit log is append-only"


def _create(
    table: str,
    references: dict[str, str] | None = None,
    unique: tuple[str, ...] = (),
    indexed: str = "",
    **columns: str,
) -> None:
    """columns: kind -> names, or kind_or_none -> names of those that may be NULL; references: column -> table."""
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
        *(
            sa.UniqueConstraint(*names.split(), name=f"uq_{table}_{'_'.join(names.split())}")
            for names in ("id", *unique)
        ),
        *(
            sa.ForeignKeyConstraint([column], [f"{target}.id"], name=f"fk_{table}_{column}")
            for column, target in (references or {}).items()
        ),
    )
    for column in indexed.split():
        op.create_index(f"ix_{table}_{column}", table, [column])


def upgrade() -> None:
    with op.batch_alter_table("person") as table:
        for name in ("skills", "declined"):
            table.add_column(sa.Column(name, sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("role_grant") as table:
        table.add_column(sa.Column("granted_by", sa.String(), nullable=True))
        table.add_column(sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True))
    _doors()
    _audit()
    _leads()


def _doors() -> None:
    _create("credential", {"id": "person"}, text="password_hash", time="changed_at")
    _create(
        "sign_in",
        {"person": "person"},
        indexed="person",
        text="person",
        time="created_at seen_at ends_at",
        text_or_none="address",
        time_or_none="ended_at",
    )
    _create(
        "invite",
        {"project": "project"},
        ("token_hash",),
        indexed="project",
        text="project token_hash name pool invited_by",
        json="roles languages skills",
        time="created_at expires_at",
        text_or_none="email pay_currency used_by",
        real_or_none="pay_rate",
        time_or_none="used_at revoked_at",
    )
    _create(
        "api_token",
        {"project": "project", "person": "person"},
        ("token_hash",),
        indexed="project person",
        text="project person name token_hash",
        json="scopes",
        time="created_at",
        time_or_none="expires_at used_at revoked_at",
    )
    _create("throttle", whole="failures", time="since", time_or_none="until")


def _audit() -> None:
    _create(
        "audit_entry",
        {"project": "project"},
        ("number",),
        indexed="project",
        whole="number",
        text="project actor action kind object previous digest",
        time="created_at",
        text_or_none="address",
        json="details",
    )
    if op.get_context().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_entry_no_{what.lower()} BEFORE {what} ON audit_entry"
                f" BEGIN SELECT RAISE(ABORT, '{_REFUSE}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_entry_refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{_REFUSE}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_refuse()"
    )


def _leads() -> None:
    _create(
        "guideline",
        {"project": "project", "campaign": "campaign"},
        ("campaign version",),
        indexed="project campaign",
        text="project campaign author",
        whole="version",
        json="texts warning",
        time="created_at",
        yes_no="requalify",
    )
    _create(
        "inquiry",
        {"project": "project", "campaign": "campaign", "person": "person"},
        indexed="project campaign person subject",
        text="project campaign person kind text",
        time="created_at",
        text_or_none="subject answer answered_by",
        time_or_none="answered_at",
    )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
    if op.get_context().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entry_refuse()")
    for table, column in (
        ("role_grant", "revoked_at"),
        ("role_grant", "granted_by"),
        ("person", "declined"),
        ("person", "skills"),
    ):
        op.drop_column(table, column)
