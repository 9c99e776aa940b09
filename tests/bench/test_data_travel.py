"""Each step of data-travel, small and in this process."""

from pathlib import Path

from trivox.bench.data_travel import _in, _make, _out
from trivox.pipelines.datasets.samples import Size
from trivox.platform.records import Judgement, Rollout
from trivox.platform.store import Workspace


def test_out_in_out_and_in_are_the_same(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    _make(first, Size(5, 20, 33))
    hashes = {
        _out(first, first, tmp_path / "out1"),
        _in(first, second, tmp_path / "out1"),
        _out(second, second, tmp_path / "out2"),
        _in(second, third, tmp_path / "out2"),
    }
    assert len(hashes) == 1
    with Workspace.open(third) as ws:
        assert len(ws.records.find(Judgement)) == 33 and len(ws.tables.read(Rollout)) == 20
