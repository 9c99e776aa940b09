"""What the judgements of each round come to, as sums that add over rounds: answers by day, what each judge said,
how far they agree. Pages add these; none reads the judgements themselves."""

from typing import Any

import polars as pl

from trivox.dashboards.queries.estimates import SUMS, grouped_sums
from trivox.dashboards.queries.pairs import majority

AT = ("branch", "round")
NO_ROUND = ""
"""Stands for the round of judgements that belong to none."""
COUNTED_S = 600.0
"""Seconds that one answer counts for at most, as for people's pay (annotation/leads/hours.py)."""
_AT: dict[str, Any] = {"branch": pl.String, "round": pl.String, "judge_kind": pl.String}
DAYS: dict[str, Any] = {
    **_AT, "campaign": pl.String, "day": pl.String, "answers": pl.Int64, "counted": pl.Int64, "asked": pl.Int64,
    "seconds": pl.Float64, "timed": pl.Int64,
}  # fmt: skip
"""answers: all; counted: those that stand and are no checks; asked: for a judgement, whether or not it stands;
seconds: of `timed` answers, each up to COUNTED_S. day: in UTC."""
VOTERS: dict[str, Any] = {
    **_AT, "judge": pl.String, "answers": pl.Int64, "counted": pl.Int64, "seconds": pl.Float64, "timed": pl.Int64,
    "decided": pl.Int64, "first": pl.Int64, **dict.fromkeys(SUMS, pl.Float64),
}  # fmt: skip
"""decided: comparisons decided for one side, first: for the one shown first. SUMS over tasks: of votes held
against the majority of the others."""
UNITS: dict[str, Any] = {
    **_AT,
    "units": pl.Int64,
    **dict.fromkeys(("n", "d", "dd", "p", "t", "m"), pl.Float64),
}
"""Of comparisons with two or more votes, as `alpha_of` wants them (annotation.py)."""


def marks(marked: pl.LazyFrame) -> pl.DataFrame:
    """Branch and round -> count, counted, compared, last: what changes when the judgements of a round do."""
    compared = pl.col("counts") & (pl.col("kind") == "compare")
    return (
        marked.group_by(AT)
        .agg(
            count=pl.len(),
            counted=pl.col("counts").sum(),
            compared=compared.sum(),
            last=pl.col("seq").max(),
            last_compared=pl.col("seq").filter(compared).max(),
        )
        .collect()
    )


def days(marked: pl.LazyFrame) -> pl.DataFrame:
    """DAYS."""
    day = pl.col("created_at").dt.strftime("%Y-%m-%d")
    found = marked.group_by(*AT, "judge_kind", "campaign", day=day).agg(
        answers=pl.len(),
        counted=pl.col("counts").sum(),
        asked=(pl.col("purpose") == "judge").sum(),
        **_worked(),
    )
    return _in_order(found, DAYS)


def voters(marked: pl.LazyFrame) -> pl.DataFrame:
    """VOTERS."""
    strength = pl.col("strength")
    decided = pl.col("counts") & (strength != 0)
    first = decided & ((strength > 0) == pl.col("shown_first"))
    by = [*AT, "judge_kind", "judge"]
    worked = marked.group_by(by).agg(
        answers=pl.len(), counted=pl.col("counts").sum(), decided=decided.sum(), first=first.sum(), **_worked()
    )  # fmt: skip
    votes = marked.filter("counts", strength.is_not_null()).with_columns(side=strength.sign())
    held = grouped_sums(_held_out(votes), by, "task", "credit")
    both = worked.join(held, on=by, how="left", nulls_equal=True)
    return _in_order(both.with_columns(pl.col(list(SUMS)).fill_null(0.0)), VOTERS)


def units(marked: pl.LazyFrame) -> pl.DataFrame:
    """UNITS."""
    votes = marked.filter("counts", pl.col("strength").is_not_null())
    counts = votes.group_by(*AT, "task", "judge_kind").agg(**_sides(pl.Float64))
    n, parts = pl.col("n"), [pl.col(name) for name in ("p", "t", "m")]
    usable = counts.with_columns(n=pl.sum_horizontal(parts)).filter(n >= 2)
    differ = (n**2 - pl.sum_horizontal([one**2 for one in parts])) / (n - 1)
    sums = usable.with_columns(d=differ).group_by(*AT, "judge_kind").agg(
        pl.col("n", "d", "p", "t", "m").sum(), units=pl.len(), dd=(pl.col("d") ** 2).sum()
    )  # fmt: skip
    return _in_order(sums, UNITS)


def _worked() -> dict[str, pl.Expr]:
    taken = pl.col("taken_s")
    return {"seconds": taken.clip(0.0, COUNTED_S).sum(), "timed": taken.is_not_null().sum()}


def _sides(kind: Any) -> dict[str, pl.Expr]:
    """Votes for the first, ties, votes for the second."""
    side = pl.col("strength")
    counted = {"p": side > 0, "t": side == 0, "m": side < 0}
    return {name: one.sum().cast(kind) for name, one in counted.items()}


def _held_out(votes: pl.LazyFrame) -> pl.LazyFrame:
    """Each vote with whether the majority of the others on its task says the same: credit 1, 0, half for a tie."""
    of = ["task", "judge_kind"]
    both = votes.join(votes.group_by(of).agg(**_sides(pl.Int32)), on=of)
    side = pl.col("side")
    p, m, t = (
        pl.col(name) - (side == way).cast(pl.Int32) for name, way in (("p", 1), ("m", -1), ("t", 0))
    )
    others = majority(p, m, t)
    credit = (1.0 + (side * others).cast(pl.Float64)) / 2
    return both.with_columns(credit=pl.when(others != 0).then(credit).otherwise(None))


def _in_order(rows: pl.LazyFrame, schema: dict[str, Any]) -> pl.DataFrame:
    made = rows.select(pl.col(name).cast(kind) for name, kind in schema.items()).collect()
    return made.sort([name for name, kind in schema.items() if kind == pl.String], nulls_last=True)
