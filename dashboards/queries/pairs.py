"""Comparisons that were judged, each beside what every scorer says of its two items."""

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from trivox.dashboards.queries.judgements import Mirror
from trivox.dashboards.queries.shards import Damage, Partition, scan

PAIRS: dict[str, Any] = {
    "branch": pl.String, "round": pl.String, "task": pl.String, "prompt": pl.String, "first": pl.String,
    "second": pl.String, "judge_kind": pl.String, "votes": pl.Int32, "strength": pl.Float64, "side": pl.Int8,
    "ceiling_credit": pl.Float64, "ceiling_votes": pl.Int32, "scorer": pl.String, "role": pl.String,
    "difference": pl.Float64, "scaled": pl.Float64, "seconds": pl.Float64, "lufs": pl.Float64,
    "tokens": pl.Float64,
}  # fmt: skip
"""One row for each comparison, kind of judge and scorer. strength: mean of the votes for the first, -3..3;
side: the majority's, 0 for none; ceiling_*: of votes held against the majority of the others; difference: the
first's score less the second's, better being more, null where either failed; scaled: in standard deviations of
the round's differences; seconds, lufs, tokens: the first's less the second's. Without scores there is one row
with scorer null."""
SOUNDS = {"audio": pl.String, "seconds": pl.Float64, "lufs": pl.Float64}


def judged_pairs(
    mirror: Mirror,
    rollouts: Partition,
    scores: Partition,
    sounds: Callable[[Sequence[str]], pl.DataFrame],
) -> tuple[pl.DataFrame, list[Damage]]:
    """PAIRS of one round."""
    votes = judged_tasks(mirror, rollouts.branch, rollouts.round)
    items = pl.concat([votes["first"], votes["second"]]).unique()
    sizes, bad = _sizes(rollouts, items, sounds)
    values, worse = _values(scores, items)
    both = _joined(votes, sizes, ["seconds", "lufs", "tokens"], [])
    scored = both.join(_differences(votes, values), on="task", how="left")
    named = scored.with_columns(branch=pl.lit(rollouts.branch), round=pl.lit(rollouts.round))
    return named.select(pl.col(name).cast(kind) for name, kind in PAIRS.items()), [*bad, *worse]


def judged_tasks(mirror: Mirror, branch: str, round_: str) -> pl.DataFrame:
    """Comparisons of a round with the votes on them, an expert's alone where one decided."""
    rows = mirror.standing().filter(
        pl.col("branch") == branch,
        pl.col("round") == round_,
        pl.col("kind") == "compare",
        pl.col("strength").is_not_null(),
    )
    expert = pl.col("purpose") == "adjudicate"
    decided = rows.filter(expert | ~expert.any().over("task", "judge_kind"))
    voted = decided.group_by("task", "judge_kind").agg(
        pl.col("prompt", "first", "second").first(),
        votes=pl.len().cast(pl.Int32),
        strength=pl.col("strength").cast(pl.Float64).mean(),
        p=(pl.col("strength") > 0).sum().cast(pl.Int32),
        m=(pl.col("strength") < 0).sum().cast(pl.Int32),
        t=(pl.col("strength") == 0).sum().cast(pl.Int32),
    )
    return with_ceiling(voted).sort("task", "judge_kind").collect()


def with_ceiling(voted: pl.LazyFrame) -> pl.LazyFrame:
    """With the majority's side, and each vote held against the majority of the others, from counts p, m, t of
    votes for the first, the second, and of ties. A tie held out is half right.

    By hand: p 3, m 1: leaving out a + leaves (2, 1), right, three times; leaving out the - leaves (3, 0),
    wrong: 3 of 4. p 2, m 1: leaving out a + leaves (1, 1), undecided; leaving out the - leaves (2, 0), wrong:
    0 of 1.
    """
    p, m, t = pl.col("p"), pl.col("m"), pl.col("t")
    held = [
        (p, majority(p - 1, m, t), 1),
        (m, majority(p, m - 1, t), -1),
        (t, majority(p, m, t - 1), 0),
    ]
    credit: list[pl.Expr] = []
    count: list[pl.Expr] = []
    for votes, others, side in held:
        usable = (votes > 0) & (others != 0)
        right = (1 + side * others.cast(pl.Float64)) / 2
        credit.append(pl.when(usable).then(votes * right).otherwise(0.0))
        count.append(pl.when(usable).then(votes).otherwise(0))
    return voted.with_columns(
        side=majority(p, m, t),
        ceiling_credit=pl.sum_horizontal(credit),
        ceiling_votes=pl.sum_horizontal(count).cast(pl.Int32),
    )


def majority(p: pl.Expr, m: pl.Expr, t: pl.Expr) -> pl.Expr:
    """The most frequent of first (1), second (-1) and tie (0); 0 where two are as frequent."""
    first, second = (p > m) & (p > t), (m > p) & (m > t)
    return pl.when(first).then(1).when(second).then(-1).otherwise(0).cast(pl.Int8)


def _sizes(
    part: Partition, items: pl.Series, sounds: Callable[[Sequence[str]], pl.DataFrame]
) -> tuple[pl.DataFrame, list[Damage]]:
    rows, damage = scan(part, ["id", "audio", "tokens"])
    if rows is None:
        return pl.DataFrame(schema={"id": pl.String, "tokens": pl.Float64, **SOUNDS}), damage
    wanted = rows.filter(pl.col("id").is_in(items.implode())).with_columns(
        tokens=pl.col("tokens").list.len().cast(pl.Float64)
    )
    found = wanted.unique("id").collect()
    heard = sounds(found["audio"].drop_nulls().unique().to_list())
    return found.join(heard, on="audio", how="left"), damage


def _values(part: Partition, items: pl.Series) -> tuple[pl.DataFrame, list[Damage]]:
    """Of episodes, better being more; gates decide and compare nothing."""
    rows, damage = scan(
        part, ["rollout", "scope", "scorer", "component", "role", "direction", "value"]
    )
    if rows is None:
        return pl.DataFrame(
            schema={"id": pl.String, "scorer": pl.String, "role": pl.String, "value": pl.Float64}
        ), damage
    wanted = rows.filter(
        pl.col("rollout").is_in(items.implode()),
        pl.col("scope") == "episode",
        pl.col("role") != "gate",
        pl.col("direction") != "neither",
    )
    way = pl.when(pl.col("direction") == "lower").then(-1.0).otherwise(1.0)
    found = wanted.select(id="rollout", scorer="scorer", role="role", value=pl.col("value") * way)
    return found.unique(["id", "scorer", "role"], keep="last").collect(), damage


def _joined(
    votes: pl.DataFrame, values: pl.DataFrame, names: Sequence[str], on: Sequence[str]
) -> pl.DataFrame:
    """votes with the first's less the second's of each name."""
    kept = values.select("id", *on, *names)
    one = kept.rename({"id": "first"} | {name: f"{name}_1" for name in names})
    two = kept.rename({"id": "second"} | {name: f"{name}_2" for name in names})
    both = votes.join(one, on="first", how="left").join(two, on=["second", *on], how="left")
    return both.with_columns(**{name: pl.col(f"{name}_1") - pl.col(f"{name}_2") for name in names})


def _differences(votes: pl.DataFrame, values: pl.DataFrame) -> pl.DataFrame:
    tasks = votes.select("task", "first", "second").unique("task")
    both = _joined(tasks, values, ["value"], ["scorer", "role"]).filter(
        pl.col("scorer").is_not_null()
    )
    # Scaled by the root mean square, not around a mean: 0 stays "neither".
    spread = (pl.col("value") ** 2).mean().sqrt().over("scorer", "role")
    scaled = pl.when(spread > 0).then(pl.col("value") / spread).otherwise(None)
    return both.select("task", "scorer", "role", difference="value", scaled=scaled)
