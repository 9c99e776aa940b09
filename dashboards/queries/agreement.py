"""How far scorers and judges agree, as sums that add over rounds: accuracy, the judges' own ceiling, biases."""

from typing import Any

import polars as pl

from trivox.dashboards.queries.estimates import SUMS, grouped_sums

BY = ("judge_kind", "scorer", "role")
AGREED: dict[str, Any] = {
    "branch": pl.String, "round": pl.String, "judge_kind": pl.String, "scorer": pl.String, "role": pl.String,
    "measure": pl.String, "subset": pl.String, **dict.fromkeys(SUMS, pl.Float64),
}  # fmt: skip
"""measure: accuracy (1 where the scorer prefers what the majority does, half where it prefers neither),
ceiling (of judges among themselves, scorer ""), failed (share of decided pairs without a value), sure (as
accuracy, by how far the two scores are apart), or BIASES. SUMS over prompts."""
CLEAR = 1.5
"""Mean strength from which a preference is clear, as in the report on a reward."""
EDGES = (0.25, 0.5, 1.0, 1.5, 2.0)
"""Of how sure a scorer is: |difference| in root mean squares of its round."""
SIZES = {"longer": "seconds", "louder": "lufs", "more tokens": "tokens"}
BIASES = tuple(f"{name}, {who}" for name in SIZES for who in ("reward", "raters", "gap"))


def agreement(pairs: pl.DataFrame) -> pl.DataFrame:
    """AGREED of the PAIRS of one round."""
    if pairs.is_empty():
        return pl.DataFrame(schema=AGREED)
    rows = pairs.lazy()
    scored = rows.filter(pl.col("scorer").is_not_null(), pl.col("side") != 0).with_columns(
        credit=_share(pl.col("difference") * pl.col("side")),
        failed=pl.col("difference").is_null().cast(pl.Float64),
        subset=pl.lit("all"),
        margin=pl.when(pl.col("strength").abs() >= CLEAR)
        .then(pl.lit("margin: clear"))
        .otherwise(pl.lit("margin: slight")),
        sure=_bin(),
    )
    parts = [
        _sums(scored, "accuracy", "credit", "subset"),
        _sums(scored, "accuracy", "credit", "margin"),
        _sums(scored, "failed", "failed", "subset"),
        _sums(scored.filter(pl.col("scaled").is_not_null()), "sure", "credit", "sure"),
        _ceiling(rows),
        *_biases(scored),
    ]
    made = pl.concat([part.collect() for part in parts])
    named = made.with_columns(branch=pl.lit(pairs["branch"][0]), round=pl.lit(pairs["round"][0]))
    return named.select(pl.col(name).cast(kind) for name, kind in AGREED.items()).sort(
        "judge_kind", "scorer", "role", "measure", "subset"
    )


def _share(preferred: pl.Expr) -> pl.Expr:
    """1 for more than 0, 0 for less, half for 0, null for null."""
    return (1.0 + preferred.sign()) / 2


def _bin() -> pl.Expr:
    """The name of the step of |scaled|, in order of names."""
    size, found = pl.col("scaled").abs(), pl.lit(f"≥ {EDGES[-1]:g}")
    names = [
        f"< {EDGES[0]:g}",
        *(f"{a:g} to {b:g}" for a, b in zip(EDGES, EDGES[1:], strict=False)),
    ]
    for edge, name in reversed(list(zip(EDGES, names, strict=True))):
        found = pl.when(size < edge).then(pl.lit(name)).otherwise(found)
    return found


def bin_names() -> list[str]:
    """From unsure to sure."""
    inner = [f"{a:g} to {b:g}" for a, b in zip(EDGES, EDGES[1:], strict=False)]
    return [f"< {EDGES[0]:g}", *inner, f"≥ {EDGES[-1]:g}"]


def _sums(rows: pl.LazyFrame, measure: str, value: str, subset: str) -> pl.LazyFrame:
    named = rows.select(*BY, "prompt", value=pl.col(value), part=pl.col(subset))
    sums = grouped_sums(named, [*BY, "part"], "prompt", "value")
    return sums.select(*BY, *SUMS, measure=pl.lit(measure), subset="part")


def _ceiling(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Over comparisons, whatever scored them."""
    once = rows.unique(["task", "judge_kind"], keep="first").filter(pl.col("ceiling_votes") > 0)
    named = once.with_columns(scorer=pl.lit(""), role=pl.lit(""))
    sums = grouped_sums(named, BY, "prompt", "ceiling_credit", "ceiling_votes")
    return sums.select(*BY, *SUMS, measure=pl.lit("ceiling"), subset=pl.lit("all"))


def _biases(scored: pl.LazyFrame) -> list[pl.LazyFrame]:
    """How often the larger is preferred by the scorer, by the raters, and the difference."""
    parts = []
    for name, size in SIZES.items():
        usable = scored.filter(
            pl.col(size).is_not_null(), pl.col(size) != 0, pl.col("difference").is_not_null()
        ).with_columns(
            reward=_share(pl.col("difference") * pl.col(size).sign()),
            raters=_share(pl.col("side") * pl.col(size).sign()),
        )
        both = usable.with_columns(gap=pl.col("reward") - pl.col("raters"))
        parts += [
            _sums(both, f"{name}, {who}", who, "subset") for who in ("reward", "raters", "gap")
        ]
    return parts
