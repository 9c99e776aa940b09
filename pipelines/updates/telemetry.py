"""The figures of each step to the workspace's metrics and, where asked, to TensorBoard and MLflow."""

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self

from trivox.pipelines.updates.recipe import TelemetrySection
from trivox.platform.errors import ConfigError
from trivox.platform.store import Workspace
from trivox.platform.store.metrics import Metrics

_WAY_OUT = "install it with `pip install 'trivox[{}]'`, or leave telemetry.{} out"


class Sink(Protocol):
    def write(self, step: int, figures: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class Telemetry:
    """A context: sinks are open within it. Steps count from 0; a step written again replaces the old one in the
    workspace."""

    def __init__(self, ws: Workspace, run: str, name: str, wanted: TelemetrySection) -> None:
        self.run, self.metrics = run, Metrics.of(ws)
        self._sinks: list[Sink] = []
        if wanted.tensorboard is not None:
            self._sinks.append(TensorBoard(f"{wanted.tensorboard}/{name}"))
        if wanted.mlflow is not None:
            self._sinks.append(MLflow(wanted.mlflow, run, name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with ExitStack() as ending:
            for sink in self._sinks:
                ending.callback(sink.close)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        known = {name: value for name, value in figures.items() if name != "step"}
        self.metrics.write(self.run, {step: known})
        for sink in self._sinks:
            sink.write(step, known)


class TensorBoard:
    """Event files in a folder. Raises ConfigError where the package is missing."""

    def __init__(self, folder: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            way_out = _WAY_OUT.format("tensorboard", "tensorboard")
            raise ConfigError(f"telemetry.tensorboard: TensorBoard is missing: {way_out}") from None
        self._writer = SummaryWriter(folder)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class MLflow:
    """A run of a tracking server or database, named as the policy, tagged with the id. Raises ConfigError where
    the package is missing."""

    def __init__(self, uri: str, run: str, name: str) -> None:
        try:
            from mlflow.tracking import MlflowClient
        except ImportError:
            way_out = _WAY_OUT.format("mlflow", "mlflow")
            raise ConfigError(f"telemetry.mlflow: MLflow is missing: {way_out}") from None
        self._client = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name("trivox")
        experiment = found.experiment_id if found else self._client.create_experiment("trivox")
        made = self._client.create_run(experiment, run_name=name, tags={"trivox.policy": run})
        self._run = made.info.run_id

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._client.log_metric(self._run, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._run)
