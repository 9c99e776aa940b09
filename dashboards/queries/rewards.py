"""Is the reward still measuring what listeners hear: accuracy beside the judges' own ceiling, biases, drift."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from trivox.dashboards.queries.agreement import SIZES, bin_names
from trivox.dashboards.queries.estimates import SUMS, added, with_means
from trivox.dashboards.queries.figures import Figure, View
from trivox.dashboards.queries.names import JUDGES, damage_notes, judges_note
from trivox.dashboards.queries.overview import evaluations
from trivox.dashboards.queries.rounds import rounds_of
from trivox.dashboards.queries.source import Source
from trivox.platform.records import RewardModelVersion, Stage, StageRun
from trivox.platform.store.schema import table_of

INTERVAL = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
SUBSETS = {
    "subset": pl.String,
    **INTERVAL,
    "pairs": pl.Int64,
    "failed": pl.Int64,
    "ceiling": pl.Float64,
}
BIASED = {
    "size": pl.String, "by_reward": pl.Float64, "by_raters": pl.Float64, "difference": pl.Float64,
    "low": pl.Float64, "high": pl.Float64,
}  # fmt: skip
SEARCHED = {"judge": pl.String, "n": pl.Int64, "divergence": pl.Float64, **INTERVAL}
OVER = {
    "round": pl.String, "kl": pl.Float64, "steps_kl": pl.String, "reward": pl.Float64, "win_rate": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "proxy": pl.Boolean,
}  # fmt: skip


def judge_kinds(source: Source) -> list[str]:
    """Kinds of judges that compared anything, people first."""
    found = set(source.rollups.agreed.table["judge_kind"].unique().to_list())
    return [kind for kind in JUDGES if kind in found]


def scorers(source: Source, branch: str | None = None) -> list[str]:
    """Scorers that were held against judges."""
    rows = source.rollups.agreed.table.filter(pl.col("scorer") != "")
    if branch is not None:
        rows = rows.filter(pl.col("branch") == branch)
    found: list[str] = rows["scorer"].unique().sort().to_list()
    return found


def reward_models(source: Source) -> list[RewardModelVersion]:
    """Trained ones, the newest first."""
    return source.known(
        "reward models",
        lambda: source.ws.records.find(RewardModelVersion, project=source.ws.project)[::-1],
    )


def rewards(
    source: Source, branch: str | None = None, scorer: str | None = None, judges: str | None = None
) -> View:
    """judges: None for people, or whoever judged where no person did."""
    kinds = judge_kinds(source)
    first = kinds[0] if kinds else None
    kind = judges if judges in kinds else first
    key = ("rewards", branch, scorer, kind)
    return source.known(key, lambda: _rewards(source, branch, scorer, kind))


def _rewards(source: Source, branch: str | None, scorer: str | None, kind: str | None) -> View:
    rows = source.rollups.agreed.table.filter(pl.col("judge_kind") == (kind or ""))
    if branch is not None:
        rows = rows.filter(pl.col("branch") == branch)
    own = rows.filter(pl.col("scorer").is_in(["", *([scorer] if scorer else scorers(source))]))
    ceiling = _means(own.filter(pl.col("measure") == "ceiling"), ["measure"]).to_dicts()
    tables = {
        "accuracy": _accuracy(own),
        "sure": _sure(own),
        "bias": _bias(own),
        "drift": _drift(source, own),
        "over_rounds": _over_rounds(source, branch, scorer),
        **_reports(source),
    }
    top = ceiling[0] if ceiling else dict.fromkeys(("value", "low", "high"))
    figures = {
        "ceiling": Figure(
            "Ceiling: judges among themselves",
            top["value"],
            "share",
            top["low"],
            top["high"],
            _votes(ceiling),
        )
    }
    for one in tables["accuracy"].filter(pl.col("subset") == "all").head(6).to_dicts():
        name = f"{one['scorer']}: accuracy"
        note = f"{one['n']} decided pairs of {one['groups']} prompts"
        figures[f"accuracy.{one['scorer']}.{one['role']}"] = Figure(
            name, one["value"], "share", one["low"], one["high"], note
        )
    return View(figures, tables, (*judges_note(kind), *damage_notes(source)))


def _votes(ceiling: Sequence[Mapping[str, Any]]) -> str:
    if not ceiling:
        return "no comparison has two or more votes"
    return f"{ceiling[0]['n']} votes, each held against the majority of the others"


def _means(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    return with_means(added(rows.select([*by, *SUMS]), by), 0.0, 1.0)


def _accuracy(rows: pl.DataFrame) -> pl.DataFrame:
    """By scorer and subset, beside how many had no value."""
    by = ["scorer", "role", "subset"]
    found = rows.filter(pl.col("measure") == "accuracy")
    branched = found.filter(pl.col("subset") == "all").with_columns(
        subset=pl.lit("branch: ") + pl.col("branch")
    )
    made = _means(pl.concat([found, branched]), by)
    failed = added(rows.filter(pl.col("measure") == "failed").select([*by, *SUMS]), by)
    counted = failed.select(*by, failed=pl.col("s").cast(pl.Int64))
    return made.join(counted, on=by, how="left").sort("role", "scorer", "subset")


def _sure(rows: pl.DataFrame) -> pl.DataFrame:
    """How often right, by how far the two scores are apart."""
    made = _means(rows.filter(pl.col("measure") == "sure"), ["scorer", "role", "subset"])
    order = {name: place for place, name in enumerate(bin_names())}
    placed = made.with_columns(place=pl.col("subset").replace_strict(order, default=99))
    return placed.sort("scorer", "place").drop("place")


def _bias(rows: pl.DataFrame) -> pl.DataFrame:
    """How often the larger is preferred, by scorer and by raters."""
    named = rows.filter(pl.col("measure").str.contains(", ", literal=True)).with_columns(
        size=pl.col("measure").str.split(", ").list.first(),
        by=pl.col("measure").str.split(", ").list.last(),
    )
    sums = added(named.select(["scorer", "size", "by", *SUMS]), ["scorer", "size", "by"])
    return (
        with_means(sums, -1.0, 1.0)
        .filter(pl.col("size").is_in(list(SIZES)))
        .sort("scorer", "size", "by")
    )


def _drift(source: Source, rows: pl.DataFrame) -> pl.DataFrame:
    """Accuracy by round, in the order of the rounds."""
    found = rows.filter(pl.col("measure") == "accuracy", pl.col("subset") == "all")
    made = _means(found, ["round", "scorer", "role"])
    order = {one.id: place for place, one in enumerate(reversed(rounds_of(source)))}
    return made.with_columns(number=pl.col("round").replace_strict(order, default=-1)).sort(
        "number", "scorer"
    )


def _over_rounds(source: Source, branch: str | None, scorer: str | None) -> pl.DataFrame:
    """Proxy reward of each round's rollouts beside the win rate of what it made, by how far that moved (KL)."""
    moved = source.digest("kl", lambda: _kl(source))
    means, rows = _reward_means(source, branch, scorer), []
    mine = {one.id for one in rounds_of(source, branch)}
    for one in evaluations(source):
        win, round_ = one["results"].get("win_rate") or {}, one["round"]
        if round_ not in mine or win.get("rate") is None:
            continue
        kl = moved.get(round_)
        told = "" if kl is None else f"{kl:.3f} nats"
        bounds = (win["rate"], win["low"], win["high"])
        rows.append((round_, kl, told, means.get(round_), *bounds, one["proxy"]))
    return pl.DataFrame(rows, schema=OVER, orient="row").sort("kl", nulls_last=True)


def _kl(source: Source) -> dict[str, float]:
    """Round -> KL to the reference after its training, in nats, where its trainer tells."""
    run, found = table_of(StageRun).c, {}
    query = sa.select(run.round, run.outputs["metrics"]).where(
        run.project == source.ws.project, run.stage == Stage.TRAIN.value
    )
    with source.ws.records.statements(write=False) as connection:
        for round_, steps in connection.execute(query):
            told = [step["kl"] for step in steps or [] if step.get("kl") is not None]
            if told:
                found[round_] = float(told[-1])
    return found


def _reward_means(source: Source, branch: str | None, scorer: str | None) -> dict[str, float]:
    """Round -> mean of its rewards, better being more."""
    rows = source.rollups.scores.table.filter(
        pl.col("role") == "reward", pl.col("failure").is_null()
    )
    if scorer is not None:
        rows = rows.filter(pl.col("scorer") == scorer)
    if branch is not None:
        rows = rows.filter(pl.col("branch") == branch)
    way = pl.when(pl.col("direction") == "lower").then(-1.0).otherwise(1.0)
    return dict(rows.group_by("round").agg((pl.col("mean") * way).mean()).iter_rows())


def _reports(source: Source) -> dict[str, pl.DataFrame]:
    """What the report on the newest trained model says; empty tables without one."""
    every = reward_models(source)
    report = every[0].report if every else {}
    figures = report.get("figures") or {}
    agreed = [figures["overall"], *figures["subsets"]] if figures else []
    subsets = [
        (one["subset"], one["accuracy"], *one["interval"], one["pairs"], one["failed"], one["ceiling"]["accuracy"])
        for one in agreed
    ]  # fmt: skip
    bins = [
        (one["confidence"], one["accuracy"], one["count"]) for one in figures.get("reliability", [])
    ]
    searched = [
        (one["judge"], one["n"], one["divergence"], one["mean"], *one["interval"])
        for one in report.get("best_of", [])
    ]  # fmt: skip
    flips = figures.get("order_flips")
    models = [
        (one.name, one.id, f"{one.created_at:%Y-%m-%d}", len(one.preference_sets)) for one in every
    ]
    bias = [
        (one["size"], one["by_reward"], one["by_raters"], one["difference"], *one["interval"])
        for one in figures.get("biases", [])
    ]  # fmt: skip
    return {
        "models": pl.DataFrame(
            models, schema={"model": pl.String, "id": pl.String, "made": pl.String, "sets": pl.Int64}, orient="row"
        ),
        "report_subsets": pl.DataFrame(subsets, schema=SUBSETS, orient="row"),
        "calibration": pl.DataFrame(
            bins, schema={"confidence": pl.Float64, "accuracy": pl.Float64, "pairs": pl.Int64}, orient="row"
        ),
        "searched": pl.DataFrame(searched, schema=SEARCHED, orient="row"),
        "swaps": pl.DataFrame(
            [(1 - flips["rate"], flips["judged"])] if flips and flips["rate"] is not None else [],
            schema={"consistent": pl.Float64, "pairs": pl.Int64}, orient="row",
        ),
        "report_bias": pl.DataFrame(
            bias, schema=BIASED, orient="row",
        ),
    }  # fmt: skip
