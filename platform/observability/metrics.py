"""Figures for Prometheus, counted from the workspace when they are asked for.

What a database can count is the same whoever asks, after a restart too. Each query is a count by an index.
"""

import shutil
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from trivox.platform.errors import TrivoxError
from trivox.platform.records import CostEntry, Judgement, Round, StageRun
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics(ws: Workspace) -> bytes:
    """All figures of the workspace's project, as Prometheus reads it; trivox_up 0: no database."""
    registry = CollectorRegistry()
    registry.register(_OfWorkspace(ws))
    return generate_latest(registry)


class _OfWorkspace(Collector):
    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("trivox_up", "1 if the database answers")
        found: list[Metric] = []
        try:
            for make in (_rounds, _stages, _judgements, _costs, _disk):
                found += make(self._ws)
            up.add_metric([], 1)
        except TrivoxError:
            up.add_metric([], 0)
        yield up
        yield from found

    def describe(self) -> Iterator[Metric]:
        return iter(())


def _rounds(ws: Workspace) -> list[Metric]:
    rounds = table_of(Round)
    made = GaugeMetricFamily("trivox_rounds", "Rounds by state", labels=["branch", "status"])
    return [_filled(ws, made, [rounds.c.branch, rounds.c.status], sa.func.count(), rounds)]


def _stages(ws: Workspace) -> list[Metric]:
    runs = table_of(StageRun)
    made = CounterMetricFamily(
        "trivox_stages_finished", "Finished stages of rounds", labels=["stage"]
    )
    return [_filled(ws, made, [runs.c.stage], sa.func.count(), runs)]


def _judgements(ws: Workspace) -> list[Metric]:
    """People's and machines' are never added up: judge_kind says whose."""
    rows = table_of(Judgement)
    made = CounterMetricFamily(
        "trivox_judgements", "Judgements by kind of judge", labels=["judge_kind", "purpose"]
    )
    return [_filled(ws, made, [rows.c.judge_kind, rows.c.purpose], sa.func.count(), rows)]


def _costs(ws: Workspace) -> list[Metric]:
    costs = table_of(CostEntry)
    made = CounterMetricFamily(
        "trivox_cost", "What was booked, in its unit", labels=["kind", "unit"]
    )
    return [_filled(ws, made, [costs.c.kind, costs.c.unit], sa.func.sum(costs.c.quantity), costs)]


def _disk(ws: Workspace) -> list[Metric]:
    made = GaugeMetricFamily("trivox_disk_free_bytes", "Room on the disk of the workspace")
    made.add_metric([], shutil.disk_usage(ws.root).free)
    return [made]


def _filled(ws: Workspace, made: Any, keys: list[Any], figure: Any, table: sa.Table) -> Metric:
    query = sa.select(*keys, figure).where(table.c.project == ws.project).group_by(*keys)
    with ws.records.statements(write=False) as connection:
        for *labels, value in connection.execute(query):
            made.add_metric([str(label) for label in labels], float(value))
    result: Metric = made
    return result
