"""Figures to TensorBoard and MLflow as these read them, and what is said where one is not installed."""

import sys
from pathlib import Path

import pytest

from trivox.pipelines.updates.recipe import TelemetrySection
from trivox.pipelines.updates.telemetry import Telemetry
from trivox.platform.errors import ConfigError
from trivox.platform.store import Workspace
from trivox.platform.store.metrics import Metrics


def test_tensorboard_reads_what_was_written(ws: Workspace, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    wanted = TelemetrySection(tensorboard=str(tmp_path / "runs"))
    with Telemetry(ws, "po_1", "mine", wanted) as telemetry:
        telemetry.write(0, {"loss": 2.0, "step": 0.0})
        telemetry.write(1, {"loss": 1.5})
    found = events.EventAccumulator(str(tmp_path / "runs" / "mine"))
    found.Reload()
    assert [(one.step, one.value) for one in found.Scalars("loss")] == [(0, 2.0), (1, 1.5)]
    assert [one["loss"] for one in Metrics.of(ws).read("po_1")] == [2.0, 1.5]


# MLflow's migrations and its unclosed databases are its own.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slow
def test_mlflow_reads_what_was_written(ws: Workspace, tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with Telemetry(ws, "po_1", "mine", TelemetrySection(mlflow=uri)) as telemetry:
        telemetry.write(0, {"loss": 2.0})
        telemetry.write(1, {"loss": 1.5})
    client = tracking.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("trivox")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["trivox.policy"] == "po_1" and run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(0, 2.0), (1, 1.5)]


@pytest.mark.parametrize(
    ("wanted", "hidden", "told"),
    [
        (
            {"tensorboard": "runs"},
            "torch.utils.tensorboard",
            r"pip install 'trivox\[tensorboard\]'",
        ),
        ({"mlflow": "http://x"}, "mlflow.tracking", r"pip install 'trivox\[mlflow\]'"),
    ],
)
def test_what_is_not_installed(
    ws: Workspace,
    wanted: dict[str, str],
    hidden: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(ConfigError, match=told):
        Telemetry(ws, "po_1", "mine", TelemetrySection.model_validate(wanted))
