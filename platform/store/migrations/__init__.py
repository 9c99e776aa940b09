"""Migrations of the database, by Alembic; `HEAD` is the newest revision that this version knows.

A new one: add `versions/vNNNN_name.py` with explicit operations that SQLite and PostgreSQL both know, and
move HEAD. Tests hold that the migrated schema equals `schema.metadata()`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from trivox.platform.errors import NewerWorkspace
from trivox.platform.store.engine import lock, writing

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0008"
_FOLDER = Path(__file__).parent


def current_revision(connection: sa.Connection) -> str | None:
    """The revision of the database; None when it has none of our tables yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def migrate(engine: sa.Engine, place: Path | str) -> None:
    """Bring the database up to HEAD, in one transaction.

    Raises NewerWorkspace when its revision is not one of ours.
    """
    with engine.connect() as connection:
        if current_revision(connection) == HEAD:
            return
    with writing(engine).begin() as connection:
        lock(connection, "migrations")
        # Looked at again: another process may have migrated while this one waited for the lock.
        revision = current_revision(connection)
        if revision == HEAD:
            return
        if revision is not None and revision not in known_revisions():
            raise NewerWorkspace(
                f"{place}: its database is at revision {revision!r}, newer than {HEAD!r}, the newest"
                " that this Trivox knows: update Trivox, or open a workspace of its own version"
            )
        upgrade(connection)


def known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config(None))
    return {script.revision for script in scripts.walk_revisions()}


def upgrade(connection: sa.Connection, revision: str = "head") -> None:
    """Run migrations inside the transaction of connection."""
    from alembic import command

    command.upgrade(_config(connection), revision)


def downgrade(connection: sa.Connection, revision: str) -> None:
    """Undo migrations down to revision ("base" for all) inside the transaction of connection.

    A migration drops a column by `op.drop_column`, never in a batch: for SQLite a batch makes the table anew, and
    to drop the old one is refused while rows of other tables refer to it.
    """
    from alembic import command

    command.downgrade(_config(connection), revision)


def _config(connection: sa.Connection | None) -> "Config":
    # Alembic takes a third of a second to import: only where there is something to migrate.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
