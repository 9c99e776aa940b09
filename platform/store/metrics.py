"""The figures of training runs, step by step, in Parquet: one row for each figure of each step."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from trivox.platform.errors import StoreError
from trivox.platform.store.files import write_atomically
from trivox.platform.store.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

SCHEMA_VERSION = 1
STEPS = 100
"""Steps of one file: a run that writes after every step writes at most so many again."""


class Metrics:
    """Files `metrics/project=…/run=…/000000.parquet` below the tables of a workspace, of one project.

    Columns: run (the id that its policy version will have), step (from 0), name, value (float64; what is not
    finite is null). A step that is written again, by a run that was resumed say, takes the place of the old one.
    """

    def __init__(self, root: Path, project: str) -> None:
        self._root, self._project = root / "metrics" / f"project={quote(project, safe='')}", project

    @classmethod
    def of(cls, ws: Workspace) -> "Metrics":
        return cls(ws.root / ws.config.tables, ws.project)

    def write(self, run: str, steps: Mapping[int, Mapping[str, float]]) -> None:
        """Write the figures of steps, whole files at a time. Raises StoreError for a step below 0, DiskFull."""
        if any(step < 0 for step in steps):
            raise StoreError(f"run {run}: step {min(steps)}: steps count from 0")
        for part in sorted({step // STEPS for step in steps}):
            mine = {step: dict(one) for step, one in steps.items() if step // STEPS == part}
            self._write_part(run, part, self._known(run, part) | mine)

    def read(self, run: str) -> list[dict[str, float]]:
        """The figures of a run, a dict for each step in order, with the step in it; [] for an unknown run."""
        steps: dict[int, dict[str, float]] = {}
        for row in self.scan(run).sort("step").collect().iter_rows(named=True):
            if row["value"] is not None:
                steps.setdefault(row["step"], {"step": float(row["step"])})[row["name"]] = row[
                    "value"
                ]
        return list(steps.values())

    def runs(self) -> list[str]:
        """Ids of all runs that have figures, in alphabetical order."""
        found: list[str] = self.scan().select("run").unique().sort("run").collect()["run"].to_list()
        return found

    def scan(self, run: str | None = None) -> "pl.LazyFrame":
        """All rows, or those of one run, as a lazy frame."""
        import polars as pl

        empty = pl.LazyFrame(schema=_columns())
        folder = "run=*" if run is None else f"run={quote(run, safe='')}"
        files = sorted(self._root.glob(f"{folder}/*.parquet"))
        parts = [pl.scan_parquet(file, hive_partitioning=False) for file in files]
        return pl.concat([empty, *parts], how="diagonal")

    def _known(self, run: str, part: int) -> dict[int, dict[str, float]]:
        return {
            int(one["step"]): {name: value for name, value in one.items() if name != "step"}
            for one in self.read(run)
            if one["step"] // STEPS == part
        }

    def _write_part(self, run: str, part: int, steps: Mapping[int, Mapping[str, float]]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        rows = [
            (run, step, name, value if abs(value) < float("inf") else None)
            for step in sorted(steps)
            for name, value in steps[step].items()
            if name != "step"
        ]
        kinds = (pa.string(), pa.int64(), pa.string(), pa.float64())
        columns = zip(*rows, strict=True) if rows else ((), (), (), ())
        arrays = [pa.array(list(one), kind) for one, kind in zip(columns, kinds, strict=True)]
        table = pa.table(dict(zip(_columns(), arrays, strict=True)))
        about = {"schema_version": str(SCHEMA_VERSION), "kind": "Metric"}
        content = pa.BufferOutputStream()
        parquet.write_table(table.replace_schema_metadata(about), content, compression="zstd")
        path = self._root / f"run={quote(run, safe='')}" / f"{part:06d}.parquet"
        write_atomically(path, memoryview(content.getvalue()))


def _columns() -> "dict[str, type[pl.DataType]]":
    import polars as pl

    return {"run": pl.String, "step": pl.Int64, "name": pl.String, "value": pl.Float64}
