"""What leaves as a file and comes back is the same to the byte, and a file that was cut off is refused."""

from pathlib import Path

import pytest

from trivox.bench import store_travel
from trivox.platform.errors import CorruptObject
from trivox.platform.records import Judgement
from trivox.platform.store import Workspace
from trivox.platform.store.travel import export_file, import_file


def test_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches that do not divide the rows; exporting in others gives the same rows again."""
    monkeypatch.setattr(store_travel, "BATCH", 64)
    assert store_travel.travel(300, 150, tmp_path)
    with Workspace.open(tmp_path / "two") as ws:
        assert ws.records.count(Judgement) == 300
        assert import_file(ws, Judgement, tmp_path / "1-Judgement", 50) == 0


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    with Workspace.create(tmp_path / "ws") as ws:
        export_file(ws, Judgement, tmp_path / "all.parquet")
        whole = (tmp_path / "all.parquet").read_bytes()
        (tmp_path / "all.parquet").write_bytes(whole[:-10])
        with pytest.raises(CorruptObject, match="not a whole Parquet file"):
            import_file(ws, Judgement, tmp_path / "all.parquet")
    assert not [one for one in tmp_path.iterdir() if one.suffix == ".tmp"]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_travel, "SIZES", (20_000, 40_000, 120_000))
    result = store_travel.run()
    assert result.passed, result.figures
