"""Machines: the nodes of Ray, who works on what, how fast rollouts are made, what fails and why."""

import re
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import polars as pl
import sqlalchemy as sa

from trivox.dashboards.queries.figures import Figure, View
from trivox.dashboards.queries.names import damage_notes
from trivox.dashboards.queries.source import Source
from trivox.platform.records import Round, RoundStatus, Stage, StageRun
from trivox.platform.store.schema import table_of

REACHED_S = 2.0
NODES = {
    "node": pl.String, "alive": pl.Boolean, "address": pl.String, "cpus": pl.Float64, "gpus": pl.Float64,
    "memory_gb": pl.Float64,
}  # fmt: skip
WORKERS = {"worker": pl.String, "round": pl.String, "stage": pl.String, "lease_until": pl.String}
SPEED = {
    "round": pl.String, "stage": pl.String, "seconds": pl.Float64, "tokens": pl.Int64, "tokens_per_s": pl.Float64,
    "peak_mb": pl.Float64,
}  # fmt: skip
FAILURES = {"what": pl.String, "type": pl.String, "round": pl.String, "count": pl.Int64}


def cluster(source: Source) -> View:
    """What the store knows; the nodes of a running Ray are asked for apart, by `ray_nodes`."""
    return source.known("cluster", lambda: _cluster(source))


def _cluster(source: Source) -> View:
    rounds = source.ws.records.find(Round, project=source.ws.project)
    speed, failures, workers = _speed(source), _failures(source, rounds), _workers(rounds)
    last = speed.filter(pl.col("tokens_per_s").is_not_null()).tail(1).to_dicts()
    return View(
        {
            "workers": Figure("Workers at a round", len(workers)),
            "tokens": Figure(
                "Rollout tokens per second", last[0]["tokens_per_s"] if last else None, "tokens/s",
                note=f"of {last[0]['round']}" if last else "no round has finished its rollouts",
            ),
            "failures": Figure("Failures", int(failures["count"].sum()), note="of scores, rollouts and rounds"),
        },
        {"workers": workers, "speed": speed, "failures": failures},
        damage_notes(source),
    )  # fmt: skip


def _workers(rounds: list[Round]) -> pl.DataFrame:
    rows = [
        (
            one.worker,
            one.id,
            one.stage.value,
            f"{one.lease_until:%Y-%m-%d %H:%M:%S}" if one.lease_until else "",
        )
        for one in rounds
        if one.worker is not None and one.status is RoundStatus.RUNNING
    ]
    return pl.DataFrame(rows, schema=WORKERS, orient="row")


def _speed(source: Source) -> pl.DataFrame:
    """Of every finished stage; tokens where it makes rollouts."""
    run, rows = table_of(StageRun).c, []
    tokens = sa.case((run.stage == Stage.ROLLOUT.value, run.outputs["tokens"].as_float()))
    query = (
        sa.select(run.round, run.stage, run.started_at, run.finished_at, tokens, run.peak_memory_mb)
        .where(run.project == source.ws.project)
        .order_by(run.seq)
    )
    with source.ws.records.statements(write=False) as connection:
        for round_, stage, began, ended, made, peak in connection.execute(query):
            seconds = (ended - began).total_seconds()
            pace = made / seconds if made and seconds > 0 else None
            rows.append((round_, stage, seconds, None if made is None else int(made), pace, peak))
    return pl.DataFrame(rows, schema=SPEED, orient="row")


def _failures(source: Source, rounds: list[Round]) -> pl.DataFrame:
    scores = source.rollups.scores.table.filter(pl.col("failure").is_not_null())
    said = scores.group_by("scorer", "failure", "round").agg(count=pl.col("scores").sum())
    rows: list[tuple[Any, ...]] = [
        (f"scores of {scorer}", kind, round_, count)
        for scorer, kind, round_, count in said.iter_rows()
    ]
    ended = source.rollups.rollouts.table.filter(
        pl.col("finish_reason").is_in(["failed", "length"])
    )
    made = ended.group_by("finish_reason", "round").agg(count=pl.col("rollouts").sum())
    words = {"failed": "failed", "length": "reached the length limit"}
    rows += [
        ("rollouts", words[reason], round_, count) for reason, round_, count in made.iter_rows()
    ]
    rows += [
        ("rounds", _kind(one.error), one.id, 1)
        for one in rounds
        if one.status is RoundStatus.FAILED
    ]
    return pl.DataFrame(rows, schema=FAILURES, orient="row").sort(
        "count", "what", "round", descending=[True, False, False]
    )


def _kind(error: str | None) -> str:
    """The stage and cause of a round's error, without its id."""
    return re.sub(r"^round \S+,? ?", "", error or "unknown")[:80]


class Nodes:
    """What a Ray says of its nodes, asked for in the background: a page never waits for a cluster.

    Only looks: it starts no Ray and joins none.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        self._every, self._asked = every_s, 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ray-nodes")
        self._pending: Future[tuple[pl.DataFrame, str]] | None = None
        self._last = pl.DataFrame(schema=NODES), "Asking Ray …"

    def known(self, address: str | None) -> tuple[pl.DataFrame, str]:
        """NODES of the Ray at address, or of the one this machine runs, as said last; and why there are none."""
        if self._pending is not None and self._pending.done():
            self._last, self._pending = self._pending.result(), None
        if self._pending is None and time.monotonic() - self._asked > self._every:
            self._asked = time.monotonic()
            self._pending = self._thread.submit(ray_nodes, address)
        return self._last


def ray_nodes(address: str | None) -> tuple[pl.DataFrame, str]:
    """NODES, and why there are none. May take seconds where nobody answers."""
    from ray._private.authentication import authentication_token_setup as tokens
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled
    from ray.exceptions import RayError

    found = _local() if address in (None, "", "auto", "local") else address
    if found is None:
        return pl.DataFrame(
            schema=NODES
        ), "No Ray is running here (RAY_ADDRESS names one elsewhere)."
    # A Ray that this user started asks for this user's token: ray.init brings it, its client alone does not.
    tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
    try:
        _reach(found)  # where nobody listens, Ray itself goes on trying for most of a minute
        answers = GcsClient(address=found).get_all_node_info(timeout=2)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        cause = " ".join(str(error).split())[:160]
        return pl.DataFrame(schema=NODES), f"The Ray at {found} does not say what it has: {cause}"
    rows = [_node(id_, one) for id_, one in answers.items()]
    return pl.DataFrame(rows, schema=NODES, orient="row"), ""


def _reach(address: str) -> None:
    """Raises OSError where nobody listens, ValueError for what is no address."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_S).close()


def _local() -> str | None:
    from ray._private.services import find_gcs_addresses

    find: Any = find_gcs_addresses
    return next(iter(sorted(find())), None)


def _node(id_: Any, one: Any) -> tuple[Any, ...]:
    there = dict(one.resources_total)
    name = id_.hex()[:12] if hasattr(id_, "hex") else str(id_)[:12]
    return (
        name, one.state == 0, one.node_manager_address, there.get("CPU", 0.0), there.get("GPU", 0.0),
        there.get("memory", 0.0) / 2**30,
    )  # fmt: skip


def machine() -> pl.DataFrame:
    """This machine now: share of processors and memory in use."""
    import psutil

    memory = psutil.virtual_memory()
    rows = [
        ("processors", float(psutil.cpu_count() or 0), "", psutil.cpu_percent() / 100),
        ("memory", memory.total / 2**30, "GiB", memory.percent / 100),
    ]
    rows += _gpus()
    schema = {"what": pl.String, "there": pl.Float64, "unit": pl.String, "used": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _gpus() -> list[tuple[str, float, str, float]]:
    """Memory of each GPU, where the driver's own tool is there to ask."""
    import shutil
    import subprocess

    if shutil.which("nvidia-smi") is None:
        return []
    asked = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,memory.used",
        "--format=csv,noheader,nounits",
    ]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=3, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in told.splitlines() if line.count(", ") == 2]
    return [
        (name, float(total) / 1024, "GiB", float(used) / float(total)) for name, total, used in rows
    ]
