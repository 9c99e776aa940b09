"""Reward models: is the reward still measuring what listeners hear."""

import altair as alt
import polars as pl
import streamlit as st

from trivox.dashboards import charts, parts
from trivox.dashboards.queries.agreement import bin_names
from trivox.dashboards.queries.figures import View
from trivox.dashboards.queries.names import BRANCHES, JUDGES
from trivox.dashboards.queries.rewards import judge_kinds, rewards, scorers
from trivox.dashboards.shell import Here, page

EMPTY = (
    "Nothing was judged yet: once people, or a generative judge, have answered comparisons of a round, every "
    "scorer is held against them here."
)


def draw(here: Here) -> None:
    columns = st.columns(3)
    with columns[0]:
        branch = parts.pick("Branch", BRANCHES, "branch")
    with columns[1]:
        scorer = parts.pick("Scorer", scorers(here.source, branch), "scorer")
    with columns[2]:
        kinds = judge_kinds(here.source)
        judges = parts.pick(
            "Judged by", kinds, "judges", every=False, tip=", ".join(JUDGES.values())
        )
    view = rewards(here.source, branch, scorer, judges)
    if view.is_empty:
        st.info(EMPTY)
        return
    parts.notes(view)
    parts.figures(list(view.figures.values()))
    _accuracy(view)
    _sure(view)
    _bias(view)
    _drift(view)
    _optimised(view)
    _trained(view)


def _accuracy(view: View) -> None:
    st.subheader("Accuracy by subset, beside the judges' own ceiling")
    rows = view.tables["accuracy"].with_columns(what=pl.col("scorer") + ", " + pl.col("subset"))
    top = view.figures["ceiling"].value
    parts.chart(
        view,
        "accuracy",
        lambda: charts.intervals(
            rows.head(40), value="value", name="what", 
            title="agrees with the majority (95% interval); dashed: ceiling",
            reference=top, by="role",
        ),
        alt="Accuracy of every scorer by subset with intervals; dashed: what judges reach among themselves",
        empty="No scorer was held against a decided comparison.",
    )  # fmt: skip
    parts.table(
        view, "accuracy", "Accuracy", "No scorer was held against a decided comparison.", height=240
    )


def _sure(view: View) -> None:
    st.subheader("Calibration: how often right, by how far apart the two scores are")
    parts.chart(
        view,
        "sure",
        lambda: charts.lines(
            view.tables["sure"].with_columns(pl.col("low", "high").fill_null(pl.col("value"))),
            x="subset", y="value", by="scorer", x_title="distance of the two scores, in root mean squares",
            y_title="right",
            order=bin_names(), percent=True,
        ),
        alt="Share of comparisons a scorer gets right against the distance of its two scores",
        empty="No distances yet.",
    )  # fmt: skip


def _bias(view: View) -> None:
    st.subheader("Bias for length and loudness")
    rows = (
        view.tables["bias"]
        .filter(pl.col("by") == "gap")
        .with_columns(what=pl.col("scorer") + ": " + pl.col("size"))
    )
    parts.chart(
        view,
        "bias",
        lambda: _gap(rows),
        alt="How much more often a scorer prefers the longer or louder reply than the judges do; 0 is none",
        empty="The compared replies do not differ in length or loudness, or have no sound.",
    )
    with st.expander("How often the larger one is preferred"):
        st.dataframe(view.tables["bias"], hide_index=True, key="bias")


def _gap(rows: pl.DataFrame) -> charts.Drawn | None:
    return charts.intervals(
        rows,
        value="value",
        name="what",
        title="scorer less judges (95% interval); dashed: no bias",
        reference=0.0,
        percent=False,
    )


def _drift(view: View) -> None:
    st.subheader("Drift over rounds")
    rows = view.tables["drift"].with_columns(pl.col("low", "high").fill_null(pl.col("value")))
    parts.chart(
        view,
        "drift",
        lambda: charts.lines(
            rows,
            x="round",
            y="value",
            by="scorer",
            x_title="round, in order",
            y_title="accuracy",
            percent=True,
            band=True,
        ),
        alt="Accuracy of each scorer by round, with 95% bands",
        empty="No round was judged.",
    )


def _optimised(view: View) -> None:
    st.subheader(
        "Over-optimisation: the reward, and what listeners' stand-ins say, as the policy moves"
    )
    rows = view.tables["over_rounds"]
    columns = st.columns(2)
    with columns[0]:
        parts.chart(
            view,
            "over-reward",
            lambda: _moved(rows, "reward", "mean reward (proxy)"),
            alt="Mean reward by how far the policy moved (KL)",
            empty="No round has both a reward and an evaluation.",
        )
    with columns[1]:
        parts.chart(
            view,
            "over-won",
            lambda: _moved(rows, "win_rate", "win rate (95% interval)"),
            alt="Held-out win rate by how far the policy moved (KL)",
            empty="",
        )
    st.caption(
        "Where the reward rises and the held-out win rate falls, the reward is being exploited."
        + _left_out(rows)
    )


def _left_out(rows: pl.DataFrame) -> str:
    unknown = int(rows["kl"].is_null().sum())
    if unknown == len(rows):
        return " No trainer told its KL: the rounds stand in order." if unknown else ""
    return f" Left out: {unknown} rounds whose trainer told no KL." if unknown else ""


def _moved(rows: pl.DataFrame, value: str, title: str) -> charts.Drawn | None:
    found = rows.filter(pl.col(value).is_not_null())
    if found.is_empty():
        return None
    moved = found.filter(pl.col("kl").is_not_null())
    known = not moved.is_empty()
    placed = moved if known else found.with_row_index("place")
    x = alt.X(
        "kl:Q" if known else "place:O",
        title="KL to the reference (nats)" if known else "round, in order",
    )
    base = alt.Chart(placed).encode(x=x, tooltip=[alt.Tooltip(one) for one in placed.columns])
    percent = alt.Axis(format=".0%") if value == "win_rate" else alt.Axis()
    layers = [
        base.mark_line(point=True, color=charts.COLOURS[0]).encode(
            y=alt.Y(f"{value}:Q", title=title, axis=percent, scale=alt.Scale(zero=False))
        )
    ]
    if value == "win_rate":
        layers.append(base.mark_rule(color=charts.COLOURS[0]).encode(y="low:Q", y2="high:Q"))
    return alt.layer(*layers).properties(height=240)


def _trained(view: View) -> None:
    parts.table(
        view,
        "models",
        "Trained reward models",
        "None is trained yet: `trivox reward train`, or [train_reward] in a round.",
    )
    if view.tables["models"].is_empty():
        return
    st.markdown(
        f"The report on **{view.tables['models']['model'][0]}**, on prompts held out from its training:"
    )
    columns = st.columns(2)
    with columns[0]:
        parts.chart(view, "calibration", lambda: _calibration(view.tables["calibration"]),
                    alt="How often the reward is right by how sure it is; the dashed line is perfect calibration",
                    empty="The report has no probabilities.")  # fmt: skip
    with columns[1]:
        parts.chart(view, "searched", lambda: _searched(view.tables["searched"]),
                    alt="Best of n by the reward, as the reward and as judges of other families see it, by KL",
                    empty="Over-optimisation was not measured in the report.")  # fmt: skip
    parts.table(
        view,
        "report_subsets",
        "Accuracy by subset, from the report",
        "The report has no judged pairs.",
        height=200,
    )
    parts.table(
        view, "report_bias", "Bias, from the report", "The report has no biases.", height=140
    )
    for one in view.tables["swaps"].to_dicts():
        st.metric(
            "Swap consistency",
            f"{one['consistent']:.1%}",
            help=f"{one['pairs']} pairs judged in both orders",
        )


def _calibration(rows: pl.DataFrame) -> charts.Drawn | None:
    if rows.is_empty():
        return None
    percent = alt.Axis(format=".0%")
    line = alt.Chart(pl.DataFrame({"x": [0.5, 1.0], "y": [0.5, 1.0]})).mark_line(
        strokeDash=[4, 4], color=charts.GREY
    )
    points = alt.Chart(rows).mark_line(point=True, color=charts.COLOURS[0]).encode(
        x=alt.X("confidence:Q", title="how sure the reward is", scale=alt.Scale(domain=[0.5, 1.0]), axis=percent),
        y=alt.Y("accuracy:Q", title="how often it is right", scale=alt.Scale(domain=[0, 1]), axis=percent),
        tooltip=["confidence", "accuracy", "pairs"],
    )  # fmt: skip
    return alt.layer(line.encode(x="x:Q", y="y:Q"), points).properties(height=240)


def _searched(rows: pl.DataFrame) -> charts.Drawn | None:
    found = rows.filter(pl.col("value").is_not_null())
    if found.is_empty():
        return None
    base = alt.Chart(found).encode(
        x=alt.X("divergence:Q", title="KL of the best of n (nats)"),
        color=charts.colour("judge", "judge"),
    )
    drawn = base.mark_line(point=True).encode(
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False))
    )
    rules = base.mark_rule().encode(y="low:Q", y2="high:Q")
    made: charts.Drawn = (
        alt.layer(rules, drawn)
        .properties(height=100, width=320)
        .facet(row=alt.Row("judge:N", title=None))
        .resolve_scale(y="independent")
    )
    return made


if __name__ == "__main__":
    page(draw)
