"""Figures of training runs in Parquet: written again, read back, never mixed."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivox.platform.errors import StoreError
from trivox.platform.store.metrics import STEPS, Metrics

FIGURES = st.dictionaries(
    st.sampled_from(["loss", "reward/wer", "kl"]), st.floats(allow_nan=False, allow_infinity=False)
)


def test_steps_over_several_files_and_a_step_written_again(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, "p")
    metrics.write("run", {0: {"loss": 2.0}, STEPS: {"loss": 1.0}})
    metrics.write("run", {STEPS: {"loss": 0.5, "kl": 0.1}, STEPS + 1: {"step": 101.0, "loss": 0.4}})
    metrics.write("other run/é", {0: {"loss": 9.0}})
    assert metrics.read("run") == [
        {"step": 0.0, "loss": 2.0},
        {"step": 100.0, "loss": 0.5, "kl": 0.1},
        {"step": 101.0, "loss": 0.4},
    ]
    assert metrics.runs() == ["other run/é", "run"]
    assert Metrics(tmp_path, "q").runs() == [] and metrics.read("none") == []
    rows = metrics.scan("run").collect()
    assert rows.columns == ["run", "step", "name", "value"] and rows.height == 4
    with pytest.raises(StoreError, match="run run: step -1: steps count from 0"):
        metrics.write("run", {-1: {"loss": 1.0}})


def test_what_is_no_number_is_kept_as_nothing(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, "p")
    metrics.write("run", {0: {"a": math.nan, "b": math.inf, "c": 1.0}})
    assert metrics.read("run") == [{"step": 0.0, "c": 1.0}]
    assert metrics.scan("run").collect()["value"].to_list() == [None, None, 1.0]


@settings(max_examples=40)
@given(st.dictionaries(st.integers(0, 250), FIGURES, max_size=6))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, steps: dict[int, dict[str, float]]
) -> None:
    metrics = Metrics(tmp_path_factory.mktemp("metrics"), "p")
    metrics.write("run", steps)
    wanted = [{"step": float(step)} | steps[step] for step in sorted(steps) if steps[step]]
    assert metrics.read("run") == wanted
