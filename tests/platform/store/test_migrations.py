"""Migrated databases have the schema of the records, and keep their data on the way up and down."""

import io
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from trivox.platform.errors import StoreError
from trivox.platform.records import Branch, Project, Prompt, Rubric
from trivox.platform.store import Workspace, migrations
from trivox.platform.store.engine import writing
from trivox.platform.store.schema import metadata

_NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{before}"


def upgrade():
    with op.batch_alter_table("prompt") as table:
        table.add_column(sa.Column("mood", sa.String(), server_default="calm"))
    {then}


def downgrade():
    with op.batch_alter_table("prompt") as table:
        table.drop_column("mood")
"""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROMPT = Prompt.of(Branch.TTS, ("en",), text="kept")


def test_migrated_schema_is_the_schema_of_the_records(ws: Workspace) -> None:
    with ws._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata()) == []


def test_head_is_the_newest_script() -> None:
    script = ScriptDirectory.from_config(migrations._config(None))
    assert script.get_heads() == [migrations.HEAD]


def test_down_to_nothing_and_up_again(ws: Workspace) -> None:
    with writing(ws._engine).begin() as connection:
        migrations.downgrade(connection, "base")
    assert sa.inspect(ws._engine).get_table_names() == ["alembic_version"]
    ws.close()
    with Workspace.open(ws.root) as again:
        assert again.records.find(Project) == []


def _next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str = "") -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, folder)
    (folder / "versions" / "v9999_mood.py").write_text(
        _NEXT.format(then=then, before=migrations.HEAD)
    )
    monkeypatch.setattr(migrations, "_FOLDER", folder)
    monkeypatch.setattr(migrations, "HEAD", "9999")


def _moods(ws: Workspace) -> list[Any]:
    with ws._engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text("SELECT text, mood FROM prompt"))]


def test_opening_upgrades_and_keeps_the_data(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws.records.add(PROMPT)
    ws.close()
    before = migrations.HEAD
    _next_version(tmp_path, monkeypatch)
    with Workspace.open(ws.root) as newer:
        assert _moods(newer) == [("kept", "calm")]
        with writing(newer._engine).begin() as connection:
            migrations.downgrade(connection, before)
        assert newer.records.find(Prompt) == [PROMPT]
        assert len(newer.records.find(Project)) == 1


def test_failed_upgrade_leaves_the_old_schema(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws.records.add(PROMPT)
    ws.close()
    _next_version(tmp_path, monkeypatch, then='op.execute("SELECT 1 FROM nowhere")')
    with pytest.raises(
        StoreError, match="no such table: nowhere|relation .nowhere. does not exist"
    ):
        Workspace.open(ws.root)
    monkeypatch.undo()
    with Workspace.open(ws.root) as old:
        assert old.records.find(Prompt) == [PROMPT]
        assert "mood" not in {
            column["name"] for column in sa.inspect(old._engine).get_columns("prompt")
        }


def test_every_revision_is_valid_for_postgresql() -> None:
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written}
    )
    scripts = list(ScriptDirectory.from_config(migrations._config(None)).walk_revisions())
    with Operations.context(context):
        for script in reversed(scripts):
            script.module.upgrade()
        for script in scripts:
            script.module.downgrade()
    sql = written.getvalue()
    assert "seq BIGSERIAL NOT NULL" in sql
    assert "created_at TIMESTAMP WITH TIME ZONE NOT NULL" in sql
    assert sql.count("CREATE TABLE") == sql.count("DROP TABLE") == len(metadata().tables)


def test_rubrics_of_the_first_revision_get_no_metrics(ws: Workspace) -> None:
    rubric = Rubric("ru_1", "default", "old", 1, {"natural": (1.0, "sounds natural")})
    ws.records.add(rubric)
    with writing(ws._engine).begin() as connection:
        migrations.downgrade(connection, "0001")
        assert "metrics" not in {
            column["name"] for column in sa.inspect(connection).get_columns("rubric")
        }
    ws.close()
    with Workspace.open(ws.root) as again:
        assert again.records.find(Rubric) == [rubric]


Rows = dict[str, list[dict[str, Any]]]


def _value(table: sa.Table, column: sa.Column[Any]) -> Any:
    """Of the one row that a table is given: what it refers to are the rows of the others."""
    for key in column.foreign_keys:
        return _value(key.column.table, key.column)
    values: dict[type[Any], Any] = {
        sa.String: f"{table.name} {column.name}", sa.Boolean: True, sa.JSON: {"kept": [1]}, sa.Integer: 7,
        sa.Float: 0.5, sa.types.TypeDecorator: NOW,
    }  # fmt: skip
    return next(value for kind, value in values.items() if isinstance(column.type, kind))


def _rows(connection: sa.Connection) -> Rows:
    """Every row as the database holds it, by table; without tables that have none."""
    names = set(sa.inspect(connection).get_table_names()) - {"alembic_version"}
    query = 'SELECT * FROM "{}" ORDER BY seq'
    found = {name: connection.execute(sa.text(query.format(name))).mappings() for name in names}
    held = {name: [dict(row) for row in rows] for name, rows in found.items()}
    return {name: rows for name, rows in held.items() if rows}


def _common(rows: Rows, other: Rows) -> Rows:
    """The rows in those tables and columns that the other has too."""
    return {
        name: [{key: row[key] for key in row.keys() & other[name][0]} for row in rows[name]]
        for name in rows.keys() & other
    }


def test_every_step_down_and_up_keeps_the_rows(ws: Workspace) -> None:
    """A row in every table, each referring to the others: a step down takes away what it had brought and nothing
    else, a step up brings defaults to the rows that are there."""
    script = ScriptDirectory.from_config(migrations._config(None))
    first, *ups = [one.revision for one in reversed([*script.walk_revisions()])]
    with writing(ws._engine).begin() as connection:
        for table in metadata().sorted_tables:
            row = {one.name: _value(table, one) for one in table.columns if one.name != "seq"}
            connection.execute(table.insert().values(row))
        rows = _rows(connection)
    assert len(rows) == len(metadata().tables)
    downs = [*reversed(ups[:-1]), first]
    for step, revisions in ((migrations.downgrade, downs), (migrations.upgrade, ups)):
        for revision in revisions:
            with writing(ws._engine).begin() as connection:
                step(connection, revision)
                after = _rows(connection)
            assert _common(after, rows) == _common(rows, after), f"{step.__name__} {revision}"
            lost = rows.keys() - after.keys()
            assert not lost or step is migrations.downgrade, f"{revision}: {lost}"
            rows = after
    assert {"round", "judgement", "person", "campaign", "rubric"} <= rows.keys()
    assert (rows["judgement"][0]["purpose"], rows["campaign"][0]["status"]) == ("judge", "open")
    ws.close()
    with Workspace.open(ws.root) as again, again._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata()) == []
