"""B10: questions about 10 million rollouts and a million judgements, against DuckDB and Polars on the raw files.

Group-by with three aggregates, one rollout by id, 100 random ids, and which ids differ between two versions. The
peers know the files' paths and nothing else; ours goes through the workspace, which looks for parts and checks the
version of each. The ratio is to the faster peer, question by question; the worst counts.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import parquet

from trivox.bench.harness import REPEATS, Result, Timing, interleaved, ratio
from trivox.bench.store_rows import ROUNDS, judgements, rollouts, with_tasks
from trivox.platform.progress import say
from trivox.platform.records import Judgement, Rollout
from trivox.platform.store import Workspace
from trivox.platform.store.columns import BATCH, add_batches

SIZES, FULL_SIZES = (10_000, 100_000, 1_000_000), (100_000, 1_000_000, 10_000_000)
PASSES_AT = 1.5
_PART = 100_000
Sides = dict[str, Callable[[], object]]


def run(full: bool = False) -> Result:
    """full: 10 million rollouts and a million judgements as the largest size, a tenth of it otherwise."""
    sizes = FULL_SIZES if full else SIZES
    timed: dict[str, Timing] = {}
    growth: dict[str, float] = {}
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            say(f"writing {rows} rollouts and {rows // 10} judgements")
            ws, first = _filled(Path(folder) / "ws", rows)
            found = _timed(ws, first, rows)
            ws.close()
        growth |= {
            f"{name} ms at {rows}": 1000 * one.median
            for name, one in found.items()
            if "ours" in name
        }
        timed = found
    return _result(sizes[-1], timed, growth)


def _filled(root: Path, rows: int) -> tuple[Workspace, list[str]]:
    """The workspace, and 100 ids of rollouts spread over it."""
    ws = with_tasks(root)
    ids: list[str] = []
    per_round = max(1, rows // ROUNDS)
    for number, begin in enumerate(range(0, rows, per_round)):
        for part, at in enumerate(range(begin, min(begin + per_round, rows), _PART)):
            table = rollouts(at, min(at + _PART, begin + per_round, rows), f"rd_{number:02}")
            ids += table.column("id").to_pylist()[:: max(1, per_round // 5)][:5]
            folder = (
                root
                / "tables"
                / "rollout"
                / "project=default"
                / "branch=tts"
                / f"round=rd_{number:02}"
            )
            folder.mkdir(parents=True, exist_ok=True)
            parquet.write_table(table, folder / f"{part}.parquet", compression="zstd")
    add_batches(ws.records, Judgement, judgements(rows // 10, BATCH))
    rng = np.random.default_rng(0)
    return ws, rng.permutation(ids)[:100].tolist()


def _timed(ws: Workspace, ids: list[str], rows: int) -> dict[str, Timing]:
    asked: Sides = {}
    for question in (_group_by, _point, _hundred, _difference, _judged):
        name = question.__name__.strip("_")
        sides = question(ws, ids)
        answers = {side: _count(work()) for side, work in sides.items()}
        assert len(set(answers.values())) == 1, (name, answers)
        asked |= {f"{name}: {side}": work for side, work in sides.items()}
    return interleaved(asked, REPEATS, "cpu")


def _count(answer: object) -> int:
    return len(answer)  # type: ignore[arg-type]  # a frame or a table


def _glob(ws: Workspace) -> str:
    return str(ws.root / "tables" / "rollout" / "**" / "*.parquet")


def _duck(query: str) -> pa.Table:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        return connection.sql(query).to_arrow_table()


def _pl_group(rows: pl.LazyFrame) -> pl.DataFrame:
    figures = [pl.len(), pl.col("index").mean().alias("mean"), pl.col("seed").max().alias("most")]
    return rows.group_by("producer", "finish_reason").agg(figures).collect()


def _group_by(ws: Workspace, ids: list[str]) -> Sides:
    query = (
        "SELECT producer, finish_reason, count(*), avg(index), max(seed) "
        f"FROM '{_glob(ws)}' GROUP BY producer, finish_reason"
    )
    return {
        "ours": lambda: _pl_group(ws.tables.scan(Rollout)),
        "Polars": lambda: _pl_group(pl.scan_parquet(_glob(ws), hive_partitioning=False)),
        "DuckDB": lambda: _duck(query),
    }


def _point(ws: Workspace, ids: list[str]) -> Sides:
    return _by_id(ws, ids[:1])


def _hundred(ws: Workspace, ids: list[str]) -> Sides:
    return _by_id(ws, ids)


def _by_id(ws: Workspace, ids: list[str]) -> Sides:
    named = ", ".join(f"'{one}'" for one in ids)
    asked = "id, prompt, producer, text"

    def wanted(rows: pl.LazyFrame) -> pl.DataFrame:
        chosen = pl.col("id").is_in(
            pl.Series(ids).implode()
        )  # of a list it takes ten times as long
        return rows.filter(chosen).select(asked.split(", ")).collect()

    return {
        "ours": lambda: ws.tables.find(Rollout, ids, asked.split(", ")),
        "Polars": lambda: wanted(pl.scan_parquet(_glob(ws), hive_partitioning=False)),
        "DuckDB": lambda: _duck(f"SELECT {asked} FROM '{_glob(ws)}' WHERE id IN ({named})"),
    }


def _difference(ws: Workspace, ids: list[str]) -> Sides:
    """Versions: all rounds but the last, all but the first."""
    last = f"rd_{ROUNDS - 1:02}"

    def between(rows: pl.LazyFrame) -> pl.DataFrame:
        old = rows.filter(pl.col("round") != last).select("id")
        new = rows.filter(pl.col("round") != "rd_00").select("id")
        gone, come = old.join(new, on="id", how="anti"), new.join(old, on="id", how="anti")
        return pl.concat([gone, come]).collect()

    files = f"'{_glob(ws)}'"
    old, new = (
        f"SELECT id FROM {files} WHERE round <> '{last}'",
        f"SELECT id FROM {files} WHERE round <> 'rd_00'",
    )
    query = f"(({old}) EXCEPT ({new})) UNION ALL (({new}) EXCEPT ({old}))"
    return {
        "ours": lambda: between(ws.tables.scan(Rollout)),
        "Polars": lambda: between(pl.scan_parquet(_glob(ws), hive_partitioning=False)),
        "DuckDB": lambda: _duck(query),
    }


def _judged(ws: Workspace, ids: list[str]) -> Sides:
    """Judgements by judge and strength: the dashboards' mirror of the database, against raw files of the same."""
    from trivox.dashboards.queries.judgements import Mirror

    mirror = Mirror(ws, ws.root / "cache")
    newest = ws.records.count(Judgement)
    mirror.refresh(newest, newest)
    raw = str(ws.root / "cache" / "judgements" / "*.parquet")

    def grouped(rows: pl.LazyFrame) -> pl.DataFrame:
        return rows.group_by("judge", "strength").agg(pl.len(), pl.col("taken_s").mean()).collect()

    def ours() -> pl.DataFrame:
        mirror.refresh(newest, newest)
        return grouped(mirror.scan())

    query = f"SELECT judge, strength, count(*), avg(taken_s) FROM '{raw}' GROUP BY judge, strength"
    return {
        "ours": ours,
        "Polars": lambda: grouped(pl.scan_parquet(raw)),
        "DuckDB": lambda: _duck(query),
    }


def _result(rows: int, timed: dict[str, Timing], growth: dict[str, float]) -> Result:
    questions = list(dict.fromkeys(name.split(": ")[0] for name in timed))
    best = {
        one: min(("Polars", "DuckDB"), key=lambda peer, one=one: timed[f"{one}: {peer}"].median)  # type: ignore[misc]
        for one in questions
    }
    slower = {one: ratio(timed[f"{one}: ours"], timed[f"{one}: {best[one]}"]) for one in questions}
    worst = max(slower, key=lambda one: slower[one])
    return Result(
        name="store-query",
        ratio_to_peer={f"{one}: {best[one]}": 1 / value for one, value in slower.items()},
        ratio_to_limit=None,
        passed=slower[worst] <= PASSES_AT,
        threshold=f"each question at most {PASSES_AT}x the CPU time of the faster of raw Polars and DuckDB",
        terms={},
        sizes={"rollouts": rows, "judgements": rows // 10, "rounds": ROUNDS, "ids": 100},
        sides=timed,
        figures={f"times {one}": value for one, value in slower.items()} | growth,
        notes=(
            f"the slowest beside its peer is {worst}",
            "ids are hashes: no file can be left out by its range",
        ),
    )
