"""People and other judges at work: how much, how well, how far they agree, and when the queue will be empty."""

import math

import polars as pl
import sqlalchemy as sa
from scipy.stats import binomtest

from trivox.dashboards.queries.estimates import SUMS, Z, with_means
from trivox.dashboards.queries.figures import Figure, View
from trivox.dashboards.queries.kept import Rollup
from trivox.dashboards.queries.names import damage_notes
from trivox.dashboards.queries.source import Source
from trivox.platform.hashing import derived_id
from trivox.platform.records import Campaign, LeaseStatus, Purpose, TaskLease, TaskState
from trivox.platform.statistics.intervals import wilson
from trivox.platform.store.schema import table_of

DAYS = 14
"""Over which the pace of the queue is taken."""
INTERVAL = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
QUEUE = {
    "campaign": pl.String, "name": pl.String, "branch": pl.String, "wanted": pl.Int64, "answered": pl.Int64,
    "open": pl.Int64, "per_day": pl.Float64, "days_left": pl.Float64, "low": pl.Float64, "high": pl.Float64,
}  # fmt: skip
CHECKS = {
    "campaign": pl.String, "branch": pl.String, "judge": pl.String, "asked": pl.Int64, "right": pl.Int64,
}  # fmt: skip
TIMED = ("seconds", "timed")
JUDGES = {
    "judge": pl.String, "kind": pl.String, "answers": pl.Int64, "mean_s": pl.Float64, "agrees": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "against": pl.Int64, "gold_right": pl.Int64, "gold_asked": pl.Int64,
}  # fmt: skip


def pseudonym(project: str, judge: str) -> str:
    """A name for a judge that is the same everywhere in a project and tells nobody who it is."""
    return f"judge {derived_id('pseudonym', project, judge)[-5:]}"


def annotation(source: Source, branch: str | None = None) -> View:
    return source.known(("annotation", branch), lambda: _annotation(source, branch))


def _annotation(source: Source, branch: str | None) -> View:
    days, voters, units = (_of(one.table, branch) for one in _kept(source))
    checks = _of(source.digest("checks", lambda: _checks(source)), branch)
    queue = _of(source.digest("queue", lambda: _queue(source)), branch)
    alpha = _agreement(units)
    people = alpha.filter(pl.col("judge_kind") == "human").to_dicts()
    asked, right = int(checks["asked"].sum()), int(checks["right"].sum())
    gold = wilson(right, asked)
    return View(
        {
            "answers": Figure("Judgements that count", int(days["counted"].sum())),
            "open": Figure("Judgements still wanted", int(queue["open"].sum())),
            "alpha": Figure("People's agreement (alpha)", people[0]["value"] if people else None, "",
                            people[0]["low"] if people else None, people[0]["high"] if people else None,
                            "Krippendorff's alpha, nominal" if people else "no comparison has two votes"),
            "gold": Figure("Gold accuracy", right / asked if asked else None, "share", gold.low if asked else None,
                           gold.high if asked else None, f"{right} of {asked} checks with a known answer"),
            "side": _side(voters),
        },
        {
            "throughput": _throughput(days),
            "agreement": alpha,
            "judges": _judges(source, voters, checks),
            "queue": queue,
        },
        damage_notes(source),
    )  # fmt: skip


def _kept(source: Source) -> tuple[Rollup, Rollup, Rollup]:
    return source.rollups.days, source.rollups.voters, source.rollups.units


def _of(rows: pl.DataFrame, branch: str | None) -> pl.DataFrame:
    return rows if branch is None else rows.filter(pl.col("branch") == branch)


def _throughput(days: pl.DataFrame) -> pl.DataFrame:
    """Answers of each day (UTC) by kind of judge, with the mean of the time taken."""
    sums = days.group_by("day", kind="judge_kind").agg(pl.col("answers", *TIMED).sum())
    return sums.select("day", "kind", "answers", mean_s=_mean_s()).sort("day", "kind")


def _mean_s() -> pl.Expr:
    """Seconds that an answer took, each counted up to COUNTED_S, over those whose time is known."""
    return pl.when(pl.col("timed") > 0).then(pl.col("seconds") / pl.col("timed"))


def _agreement(units: pl.DataFrame) -> pl.DataFrame:
    """Krippendorff's alpha (nominal) of sides and ties, by kind of judge."""
    names = ["units", "n", "d", "dd", "p", "t", "m"]
    sums = units.group_by("judge_kind").agg(pl.col(names).sum()).sort("judge_kind")
    schema = {"judge_kind": pl.String, "units": pl.Int64, **INTERVAL}
    rows = [(one.pop("judge_kind"), one["units"], *alpha_of(**one)) for one in sums.to_dicts()]
    return pl.DataFrame(rows, schema=schema, orient="row")


def alpha_of(
    units: float, n: float, d: float, dd: float, p: float, t: float, m: float
) -> tuple[float | None, float | None, float | None]:
    """Krippendorff's nominal alpha (2018, chapter 12) and its 95% interval, from sums over units.

    d: of each unit's disagreeing pairs over its votes less one, dd: of its square; p, t, m: votes of each class; n
    all. alpha = 1 - (n - 1) d / (n^2 - p^2 - t^2 - m^2). The interval takes the expected disagreement as given and
    the units as drawn. By hand: units (2, 0, 0), (1, 0, 1): d = 0 + 2 = 2, n = 4, p = 3, m = 1: 1 - 3 * 2 / 6 = 0.
    """
    expected = n * n - p * p - t * t - m * m
    if not expected or units < 2:
        return None, None, None
    factor = (n - 1) / expected
    value = 1 - factor * d
    spread = max(0.0, dd - d * d / units) * units / (units - 1)
    half = Z * factor * math.sqrt(spread)
    return value, value - half, min(1.0, value + half)


def _side(voters: pl.DataFrame) -> Figure:
    """How often what was shown first won, over people's decided comparisons."""
    people = voters.filter(pl.col("judge_kind") == "human")
    name, n, first = "Shown first wins", int(people["decided"].sum()), int(people["first"].sum())
    if not n:
        return Figure(name, None, "share", note="no comparison was decided by people")
    interval, p = wilson(first, n), float(binomtest(first, n).pvalue)
    note = f"{first} of {n} decided; without side bias 50%; p = {p:.2g}, exact binomial"
    return Figure(name, first / n, "share", interval.low, interval.high, note)


def _checks(source: Source) -> pl.DataFrame:
    """Answers to gold and traps, by campaign and person."""
    lease, campaign = table_of(TaskLease).c, table_of(Campaign).c
    query = (
        sa.select(
            lease.campaign,
            campaign.branch,
            lease.person,
            sa.func.count(),
            sa.func.sum(sa.cast(lease.right, sa.Integer)),
        )
        .select_from(table_of(TaskLease))
        .join(table_of(Campaign), lease.campaign == campaign.id)
        .where(
            lease.project == source.ws.project,
            lease.status == LeaseStatus.ANSWERED.value,
            lease.purpose.in_([Purpose.GOLD.value, Purpose.TRAP.value]),
            lease.right.is_not(None),
        )
        .group_by(lease.campaign, campaign.branch, lease.person)
    )
    return source.frame(query, CHECKS)


def _judges(source: Source, voters: pl.DataFrame, checks: pl.DataFrame) -> pl.DataFrame:
    """Each judge: how much, how often with the majority of the others, and on gold. Judges by pseudonym."""
    by = ["judge", "judge_kind"]
    sums = voters.group_by(by).agg(pl.col("counted", *TIMED, *SUMS).sum())
    agreed = with_means(sums.select(*by, *SUMS), 0.0, 1.0)
    gold = (
        checks.group_by("judge")
        .agg(pl.col("asked", "right").sum())
        .with_columns(judge=pl.lit("human:") + pl.col("judge"))
    )
    rows = (
        sums.filter(pl.col("counted") > 0)
        .join(agreed, on=by, how="left", suffix="_agreed")
        .join(gold, on="judge", how="left")
        .sort("counted", "judge", descending=[True, False])
    )
    made = rows.select(
        judge="judge", kind="judge_kind", answers="counted", mean_s=_mean_s(), agrees="value", low="low",
        high="high", against="n_agreed", gold_right="right", gold_asked="asked",
    )  # fmt: skip
    return hidden(source.ws.project, made)


def hidden(project: str, rows: pl.DataFrame) -> pl.DataFrame:
    """With pseudonyms in the column judge."""
    names = {judge: pseudonym(project, judge) for judge in rows["judge"].unique().to_list()}
    named = (
        pl.col("judge").replace_strict(names, return_dtype=pl.String) if names else pl.col("judge")
    )
    return rows.with_columns(named).select(pl.col(name).cast(kind) for name, kind in JUDGES.items())


def names(source: Source) -> dict[str, str]:
    """Pseudonym -> name, for those who may know."""
    from trivox.annotation.people.accounts import people_of

    project = source.ws.project
    return {pseudonym(project, f"human:{one.id}"): one.name for one in people_of(source.ws)}


def _queue(source: Source) -> pl.DataFrame:
    """Open campaigns: what is wanted, the pace of the last DAYS, and in how many days they end at that pace."""
    state, campaign = table_of(TaskState).c, table_of(Campaign).c
    query = (
        sa.select(
            campaign.id, campaign.name, campaign.branch, sa.func.sum(state.wanted), sa.func.sum(state.answered),
            sa.func.sum(sa.case((state.answered < state.wanted, state.wanted - state.answered), else_=0)),
        )
        .select_from(table_of(TaskState))
        .join(table_of(Campaign), state.campaign == campaign.id)
        .where(campaign.project == source.ws.project, campaign.status == "open")
        .where(state.control.is_(None), state.closed.is_(False))
        .group_by(campaign.id, campaign.name, campaign.branch)
        .order_by(campaign.id)
    )  # fmt: skip
    rows = source.frame(query, {name: QUEUE[name] for name in list(QUEUE)[:6]})
    pace = _pace(source.rollups.days.table, rows["campaign"].to_list())
    made = [(*row, *forecast(row[5], pace.get(row[0], 0))) for row in rows.iter_rows()]
    return pl.DataFrame(made, schema=QUEUE, orient="row")


def _pace(days: pl.DataFrame, campaigns: list[str]) -> dict[str, int]:
    """People's answers on the last DAYS days up to the one on which anybody last answered in the campaign."""
    people = days.filter(
        pl.col("campaign").is_in(campaigns), pl.col("judge_kind") == "human", pl.col("asked") > 0
    ).with_columns(day=pl.col("day").str.to_date())
    first = pl.col("day").max().over("campaign") - pl.duration(days=DAYS - 1)
    recent = people.filter(pl.col("day") >= first)
    return dict(recent.group_by("campaign").agg(pl.col("asked").sum()).iter_rows())


def forecast(
    open_: int, answers: int, days: int = DAYS
) -> tuple[float, float | None, float | None, float | None]:
    """Answers a day, and days until the queue is empty at that pace with the 95% bounds of a Poisson count.

    By hand: 100 open, 100 answers in 10 days: 10 a day, 10 days; counts 80.4 to 119.6 (100 +- 1.96 * 10) give
    8.4 to 12.4 days.
    """
    pace = answers / days
    if not answers:
        return pace, None, None, None
    half = Z * math.sqrt(answers)
    slow = (answers - half) / days
    return pace, open_ / pace, open_ / ((answers + half) / days), open_ / slow if slow > 0 else None
