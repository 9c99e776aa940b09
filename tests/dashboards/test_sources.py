"""What the query layer asks of the store, wherever that lies: a PostgreSQL, an object store."""

import shutil
from pathlib import Path

import pytest

from trivox.bench.servers import Postgres
from trivox.dashboards.queries import source as module
from trivox.dashboards.queries.data import _preference_counts
from trivox.dashboards.queries.shards import scan
from trivox.dashboards.queries.source import Source
from trivox.platform.errors import CorruptObject
from trivox.platform.records import Branch, Direction, Preference, PreferenceSet, Score, ScorerRole
from trivox.platform.store import Workspace
from trivox.platform.store.config import WorkspaceConfig


def _score(number: int) -> Score:
    return Score(
        f"sc_{number}", "default", "rd_1", "ro_1", "episode", "wer", "w", "1", "00", "asr",
        ScorerRole.REWARD, "share", Direction.LOWER, 0.25,
    )  # fmt: skip


def test_preferences_are_counted_on_postgresql(postgres_server: Postgres, tmp_path: Path) -> None:
    config = WorkspaceConfig(database=postgres_server.fresh("trivox_store"))
    one = Preference("pf_1", "pr_1", "ro_1", "ro_2", 1.0, 1.0, ("ju_1",), ())
    with Workspace.create(tmp_path / "ws", config) as ws:
        ws.records.add(PreferenceSet("ps_1", "default", None, "majority", (one, one)))
        ws.records.add(PreferenceSet("ps_2", "default", None, "majority", ()))
        counted = _preference_counts(Source(ws))
        assert counted["count"].to_list() == [2, 0]


def test_tables_on_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine sees what the first one wrote; what comes later is seen when the store is asked again."""
    config = WorkspaceConfig(tables=f"memory://{tmp_path.name}/tables")
    with (
        Workspace.create(tmp_path / "one", config) as one,
        Workspace.create(tmp_path / "other", config) as other,
    ):
        one.tables.write([_score(1)], branch=Branch.ASR, round="rd_1", part="0")
        source = Source(other)
        seen = source.look()
        (part,) = source.parts["score"]
        rows, damaged = scan(part, ["id"])
        assert rows is not None and rows.collect()["id"].to_list() == ["sc_1"] and not damaged
        one.tables.write([_score(2)], branch=Branch.ASR, round="rd_1", part="1")
        assert source.look() == seen
        monkeypatch.setattr(module, "FETCHED_S", 0.0)
        assert source.look() != seen and len(source.parts["score"][0].paths) == 2


def test_a_damaged_part_on_an_object_store_is_named(tmp_path: Path) -> None:
    config = WorkspaceConfig(tables=f"memory://{tmp_path.name}/tables")
    with Workspace.create(tmp_path / "ws", config) as ws:
        ws.tables.write([_score(1)], branch=Branch.ASR, round="rd_1", part="0")
        objects = ws.tables._remote._objects  # type: ignore[union-attr]
        (name,) = objects.names("score")
        objects._files.pipe_file(objects._blob(objects.members(name)[0]), b"damage")
        shutil.rmtree(ws.root / "cache")
        with pytest.raises(CorruptObject, match="has the hash"):
            Source(ws).look()
