"""People and other judges at work: how much, how well, how far they agree, and when the queue will be empty."""

import math

import polars as pl
import sqlalchemy as sa
from scipy.stats import binomtest

from trivox.dashboards.queries.estimates import SUMS, Z, grouped_sums, with_means
from trivox.dashboards.queries.figures import Figure, View
from trivox.dashboards.queries.names import damage_notes
from trivox.dashboards.queries.pairs import majority
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
CHECKS = {"campaign": pl.String, "judge": pl.String, "asked": pl.Int64, "right": pl.Int64}
JUDGES = {
    "judge": pl.String, "kind": pl.String, "answers": pl.Int64, "median_s": pl.Float64, "agrees": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "against": pl.Int64, "gold_right": pl.Int64, "gold_asked": pl.Int64,
}  # fmt: skip


def pseudonym(project: str, judge: str) -> str:
    """A name for a judge that is the same everywhere in a project and tells nobody who it is."""
    return f"judge {derived_id('pseudonym', project, judge)[-5:]}"


def annotation(source: Source, branch: str | None = None) -> View:
    return source.known(("annotation", branch), lambda: _annotation(source, branch))


def _annotation(source: Source, branch: str | None) -> View:
    standing = source.mirror.standing()
    every = source.mirror.scan()
    if branch is not None:
        standing, every = (rows.filter(pl.col("branch") == branch) for rows in (standing, every))
    per_day = _throughput(every)
    checks = _checks(source, branch)
    side = _side(standing)
    alpha = _agreement(standing)
    people = alpha.filter(pl.col("judge_kind") == "human").to_dicts()
    asked, right = int(checks["asked"].sum()), int(checks["right"].sum())
    gold = wilson(right, asked)
    queue = _queue(source, branch, per_day)
    return View(
        {
            "answers": Figure("Judgements that count", int(standing.select(pl.len()).collect().item())),
            "open": Figure("Judgements still wanted", int(queue["open"].sum())),
            "alpha": Figure("People's agreement (alpha)", people[0]["value"] if people else None, "",
                            people[0]["low"] if people else None, people[0]["high"] if people else None,
                            "Krippendorff's alpha, nominal" if people else "no comparison has two votes"),
            "gold": Figure("Gold accuracy", right / asked if asked else None, "share", gold.low if asked else None,
                           gold.high if asked else None, f"{right} of {asked} checks with a known answer"),
            "side": side,
        },
        {
            "throughput": per_day,
            "agreement": alpha,
            "judges": _judges(source, standing, checks),
            "queue": queue,
        },
        damage_notes(source),
    )  # fmt: skip


def _throughput(every: pl.LazyFrame) -> pl.DataFrame:
    """Answers of each day (UTC) by kind of judge, with the median of the time taken."""
    return (
        every.group_by(day=pl.col("created_at").dt.strftime("%Y-%m-%d"), kind="judge_kind")
        .agg(answers=pl.len().cast(pl.Int64), median_s=pl.col("taken_s").median())
        .sort("day", "kind")
        .collect()
    )


def _agreement(standing: pl.LazyFrame) -> pl.DataFrame:
    """Krippendorff's alpha (nominal) of sides and ties, by kind of judge."""
    counts = (
        standing.filter(pl.col("strength").is_not_null())
        .group_by("task", "judge_kind")
        .agg(
            p=(pl.col("strength") > 0).sum().cast(pl.Float64),
            t=(pl.col("strength") == 0).sum().cast(pl.Float64),
            m=(pl.col("strength") < 0).sum().cast(pl.Float64),
        )
        .with_columns(n=pl.sum_horizontal("p", "t", "m"))
        .filter(pl.col("n") >= 2)
    )
    differ = pl.col("n") ** 2 - pl.col("p") ** 2 - pl.col("t") ** 2 - pl.col("m") ** 2
    sums = (
        counts.with_columns(d=differ / (pl.col("n") - 1))
        .group_by("judge_kind")
        .agg(
            units=pl.len(), n=pl.col("n").sum(), d=pl.col("d").sum(), dd=(pl.col("d") ** 2).sum(),
            p=pl.col("p").sum(), t=pl.col("t").sum(), m=pl.col("m").sum(),
        )
        .sort("judge_kind")
        .collect()
    )  # fmt: skip
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


def _side(standing: pl.LazyFrame) -> Figure:
    """How often what was shown first won, over people's decided comparisons."""
    won = (pl.col("strength") > 0) == pl.col("shown_first")
    found = (
        standing.filter(
            pl.col("judge_kind") == "human",
            pl.col("strength").is_not_null(),
            pl.col("strength") != 0,
        )
        .select(n=pl.len(), first=won.sum())
        .collect()
        .to_dicts()[0]
    )
    name, n, first = "Shown first wins", int(found["n"]), int(found["first"])
    if not n:
        return Figure(name, None, "share", note="no comparison was decided by people")
    interval, p = wilson(first, n), float(binomtest(first, n).pvalue)
    note = f"{first} of {n} decided; without side bias 50%; p = {p:.2g}, exact binomial"
    return Figure(name, first / n, "share", interval.low, interval.high, note)


def _checks(source: Source, branch: str | None) -> pl.DataFrame:
    """Answers to gold and traps, by campaign and person."""
    lease, campaign = table_of(TaskLease).c, table_of(Campaign).c
    query = (
        sa.select(
            lease.campaign,
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
        .group_by(lease.campaign, lease.person)
    )
    if branch is not None:
        query = query.where(campaign.branch == branch)
    return source.frame(query, CHECKS)


def _judges(source: Source, standing: pl.LazyFrame, checks: pl.DataFrame) -> pl.DataFrame:
    """Each judge: how much, how often with the majority of the others, and on gold. Judges by pseudonym."""
    votes = standing.filter(pl.col("strength").is_not_null()).with_columns(
        side=pl.col("strength").sign()
    )
    held = _held_out(votes)
    agreed = with_means(
        grouped_sums(held, ["judge", "judge_kind"], "task", "credit")
        .select("judge", "judge_kind", *SUMS)
        .collect(),
        0.0,
        1.0,
    )
    worked = standing.group_by("judge", "judge_kind").agg(
        answers=pl.len().cast(pl.Int64), median_s=pl.col("taken_s").median()
    )
    gold = (
        checks.group_by("judge")
        .agg(pl.col("asked", "right").sum())
        .with_columns(judge=pl.lit("human:") + pl.col("judge"))
    )
    rows = (
        worked.collect()
        .join(agreed, on=["judge", "judge_kind"], how="left")
        .join(gold, on="judge", how="left")
        .sort("answers", "judge", descending=[True, False])
    )
    made = rows.select(
        judge="judge", kind="judge_kind", answers="answers", median_s="median_s", agrees="value", low="low",
        high="high", against="n", gold_right="right", gold_asked="asked",
    )  # fmt: skip
    return hidden(source.ws.project, made)


def hidden(project: str, rows: pl.DataFrame) -> pl.DataFrame:
    """With pseudonyms in the column judge."""
    names = {judge: pseudonym(project, judge) for judge in rows["judge"].unique().to_list()}
    named = (
        pl.col("judge").replace_strict(names, return_dtype=pl.String) if names else pl.col("judge")
    )
    return rows.with_columns(named).select(pl.col(name).cast(kind) for name, kind in JUDGES.items())


def _held_out(votes: pl.LazyFrame) -> pl.LazyFrame:
    """Each vote with whether the majority of the others on its task says the same: credit 1, 0, half for a tie."""
    counts = votes.group_by("task", "judge_kind").agg(
        p=(pl.col("side") > 0).sum().cast(pl.Int32),
        m=(pl.col("side") < 0).sum().cast(pl.Int32),
        t=(pl.col("side") == 0).sum().cast(pl.Int32),
    )
    both = votes.select("task", "judge_kind", "judge", "side").join(
        counts, on=["task", "judge_kind"]
    )
    p, m, t, side = (pl.col(name) for name in ("p", "m", "t", "side"))
    others = majority(
        p - (side > 0).cast(pl.Int32), m - (side < 0).cast(pl.Int32), t - (side == 0).cast(pl.Int32)
    )
    credit = (1.0 + (side * others).cast(pl.Float64)) / 2
    return both.with_columns(credit=pl.when(others != 0).then(credit).otherwise(None))


def names(source: Source) -> dict[str, str]:
    """Pseudonym -> name, for those who may know."""
    from trivox.annotation.people.accounts import people_of

    project = source.ws.project
    return {pseudonym(project, f"human:{one.id}"): one.name for one in people_of(source.ws)}


def _queue(source: Source, branch: str | None, per_day: pl.DataFrame) -> pl.DataFrame:
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
    if branch is not None:
        query = query.where(campaign.branch == branch)
    kinds = {name: QUEUE[name] for name in list(QUEUE)[:6]}
    rows = source.frame(query, kinds)
    pace = _pace(source, rows["campaign"].to_list())
    made = [(*row, *forecast(row[5], pace.get(row[0], 0))) for row in rows.iter_rows()]
    return pl.DataFrame(made, schema=QUEUE, orient="row")


def _pace(source: Source, campaigns: list[str]) -> dict[str, int]:
    """People's answers in the last DAYS days in which anybody answered in the campaign."""
    people = source.mirror.scan().filter(
        pl.col("campaign").is_in(campaigns),
        pl.col("judge_kind") == "human",
        pl.col("purpose") == "judge",
    )
    last = people.with_columns(newest=pl.col("created_at").max().over("campaign"))
    recent = last.filter(pl.col("created_at") > pl.col("newest") - pl.duration(days=DAYS))
    return dict(recent.group_by("campaign").agg(pl.len()).collect().iter_rows())


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
