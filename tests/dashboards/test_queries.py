"""The numbers of the query layer, against those made the slow way and against hand work."""

import math
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dashboards.test_overview import source_of
from trivox.dashboards.drawings import dot
from trivox.dashboards.parts import view_csv
from trivox.dashboards.queries.annotation import alpha_of, annotation, forecast, pseudonym
from trivox.dashboards.queries.estimates import (
    added,
    chained_odds,
    grouped_sums,
    interval_of,
    with_means,
)
from trivox.dashboards.queries.figures import Figure, View, told
from trivox.dashboards.queries.pairs import with_ceiling
from trivox.dashboards.queries.rewards import rewards
from trivox.platform.records import Branch, JudgeKind
from trivox.platform.statistics.agreement import krippendorff_alpha
from trivox.platform.statistics.intervals import mean_interval
from trivox.reward_models.report.ceiling import left_out
from trivox.reward_models.report.judged import JudgedPair

SUMS = [("a", 1.0), ("a", 1.0), ("b", 0.0), ("c", 1.0)]


def test_interval_from_sums_by_hand() -> None:
    """Groups (2, 2), (0, 1), (1, 1) of (sum, count): mean 3/4, half width 0.56136."""
    rows = pl.DataFrame(SUMS, schema=["g", "v"], orient="row").with_columns(k=pl.lit("x")).lazy()
    sums = grouped_sums(rows, ["k"], "g", "v").collect()
    (one,) = with_means(sums).to_dicts()
    assert (one["value"], one["n"], one["groups"]) == (0.75, 4, 3)
    assert one["high"] - one["value"] == pytest.approx(0.56136, abs=1e-4)


def test_interval_from_sums_is_that_of_the_bootstrap() -> None:
    """200 groups of 1 to 5 values: within a tenth of the width of the cluster bootstrap's."""
    rng = random.Random(0)
    rows = [
        (str(g), float(rng.random() < 0.3 + 0.4 * (g % 2)))
        for g in range(200)
        for _ in range(rng.randint(1, 5))
    ]
    frame = pl.DataFrame(rows, schema=["g", "v"], orient="row").with_columns(k=pl.lit("x"))
    found = interval_of(
        *grouped_sums(frame.lazy(), ["k"], "g", "v")
        .select("n", "s", "groups", "ss", "sn", "nn")
        .collect()
        .row(0)
    )
    drawn = mean_interval([v for _, v in rows], [g for g, _ in rows], 0)
    width = drawn.high - drawn.low
    assert abs(found.low - drawn.low) < 0.1 * width and abs(found.high - drawn.high) < 0.1 * width


def test_sums_of_parts_are_the_sums_of_the_whole() -> None:
    rows = pl.DataFrame(SUMS, schema=["g", "v"], orient="row").with_columns(k=pl.lit("x"))
    parts = [
        grouped_sums(rows.filter(pl.col("g") == g).lazy(), ["k"], "g", "v").collect() for g in "abc"
    ]
    whole = grouped_sums(rows.lazy(), ["k"], "g", "v").collect()
    assert added(pl.concat(parts), ["k"]).equals(whole)


def test_one_group_alone_has_no_interval() -> None:
    assert interval_of(3, 2, 1, 4, 6, 9).high == math.inf


def test_odds_are_chained_by_hand() -> None:
    """(3, 1) twice: 0.8448, 0.267 to 0.988."""
    found = chained_odds([(3, 1), (3, 1)])
    assert found is not None and np.allclose(found, (0.8448, 0.2669, 0.9879), atol=1e-3)
    assert chained_odds([]) is None


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=6))
def test_ceiling_from_counts_is_that_of_each_vote(votes: list[int]) -> None:
    counts = {"p": [votes.count(1)], "m": [votes.count(-1)], "t": [votes.count(0)]}
    frame = pl.DataFrame(counts, schema=dict.fromkeys(counts, pl.Int32))
    (one,) = with_ceiling(frame.lazy()).collect().to_dicts()
    pair = JudgedPair(
        "i", "p", Branch.TTS, "s", JudgeKind.HUMAN, {str(n): v for n, v in enumerate(votes)}, 0.0
    )
    given_credit = left_out(pair)
    assert (one["ceiling_credit"], one["ceiling_votes"]) == (
        pytest.approx(sum(given_credit)),
        len(given_credit),
    )
    assert one["side"] == pair.side


def test_alpha_from_sums_is_krippendorffs() -> None:
    rng = random.Random(1)
    units = [
        [
            rng.choice([-1, -1, 0, 1]) if rng.random() < 0.5 else n % 3 - 1
            for _ in range(rng.randint(2, 4))
        ]
        for n in range(60)
    ]
    expected = krippendorff_alpha(
        [{str(j): float(v) for j, v in enumerate(unit)} for unit in units], "nominal", resamples=200
    )
    n = [len(unit) for unit in units]
    counts = [[unit.count(kind) for unit in units] for kind in (1, 0, -1)]
    d = [(n[i] ** 2 - sum(c[i] ** 2 for c in counts)) / (n[i] - 1) for i in range(len(units))]
    value, low, high = alpha_of(
        len(units), sum(n), sum(d), sum(x * x for x in d), *map(sum, counts)
    )
    assert value == pytest.approx(expected.value) and low is not None and high is not None
    assert low < value < high  # type: ignore[operator]
    assert abs((high - low) - (expected.interval.high - expected.interval.low)) < 0.12


def test_forecast_by_hand() -> None:
    """100 open, 100 answers in 10 days: 10 days, 8.4 to 12.4."""
    assert forecast(100, 100, 10) == (
        10.0,
        10.0,
        pytest.approx(8.361, abs=1e-3),
        pytest.approx(12.438, abs=1e-3),
    )
    assert forecast(5, 0) == (0.0, None, None, None)


def test_accuracy_and_ceiling_of_people_by_hand(built: Path) -> None:
    """The majority is always for the second, which has 0.4 more by `mos`: right every time."""
    view = rewards(source_of(built), judges="human")
    assert view.figures["accuracy.mos.reward"].value == 1.0
    rows = (
        view.tables["accuracy"]
        .filter(pl.col("scorer") == "wer", pl.col("subset") == "all")
        .to_dicts()
    )
    second_less = [
        0.1 * ((n + pair + 2) % 4) < 0.1 * ((n + pair) % 4)
        for n in range(6)
        for pair in range(2)
        if (n, pair) != (5, 1)
    ]
    assert rows[0]["value"] == pytest.approx(sum(second_less) / len(second_less))
    assert rows[0]["failed"] == 1 and rows[0]["n"] == 11


def test_side_bias_counts_what_was_shown_first(built: Path) -> None:
    """35 decided votes of people; the order alternates with place and number."""
    figure = annotation(source_of(built)).figures["side"]
    assert "of 35 decided" in figure.note and 0.3 < (figure.value or 0) < 0.7


def test_pseudonyms_are_steady_and_of_one_project() -> None:
    assert pseudonym("a", "human:x") == pseudonym("a", "human:x") != pseudonym("b", "human:x")


def test_csv_holds_no_formula() -> None:
    text = view_csv(pl.DataFrame({"name": ["=cmd()", "fine"], "ids": [["a"], []]}))
    assert "'=cmd()" in text and "\n=" not in text


def test_words_of_people_are_not_dot() -> None:
    nodes = pl.DataFrame({"id": ['x"]; evil ['], "kind": ["round"], "what": ['a"\nb\\']})
    view = View(
        tables={"nodes": nodes, "edges": pl.DataFrame(schema={"from": pl.String, "to": pl.String})}
    )
    assert '"x\\"]; evil ["' in dot(view)


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(0.625, "share", "62.5%"), (1204, "", "1,204"), (-0.02, "points", "-2.0 points"), (0.3, "h", "0.3 h"),
     (math.inf, "s", "unbounded")],
)  # fmt: skip
def test_figures_are_told_to_the_digits_that_matter(value: float, unit: str, shown: str) -> None:
    assert told(value, unit) == shown and Figure("x", None).shown == "not known"
