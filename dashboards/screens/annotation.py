"""Annotation: how much people do, how far they agree, and when the queue is empty."""

import polars as pl
import streamlit as st

from trivox.dashboards import charts, parts
from trivox.dashboards.queries.annotation import annotation, names
from trivox.dashboards.queries.figures import View
from trivox.dashboards.queries.names import BRANCHES
from trivox.dashboards.shell import Here, page

EMPTY = (
    "Nobody has judged anything yet. A round with human judges opens a campaign; people work on it in "
    "`trivox serve`."
)


def draw(here: Here) -> None:
    branch = parts.pick("Branch", BRANCHES, "branch")
    view = annotation(here.source, branch)
    if view.is_empty:
        st.info(EMPTY)
        return
    parts.notes(view)
    parts.figures(list(view.figures.values()), 5)
    _throughput(view)
    parts.table(view, "queue", "Queue and forecast", "No open campaign wants answers.")
    parts.table(view, "agreement", "Agreement by kind of judge", "No comparison has two votes.")
    _judges(here, view)


def _throughput(view: View) -> None:
    st.subheader("Judgements a day")
    parts.chart(
        view,
        "throughput",
        lambda: charts.lines(
            view.tables["throughput"],
            x="day",
            y="answers",
            by="kind",
            x_title="day (UTC)",
            y_title="judgements",
        ),
        alt="Judgements of each day by kind of judge",
        empty="No judgement yet.",
    )


def _judges(here: Here, view: View) -> None:
    st.subheader("Reliability of each judge")
    rows = view.tables["judges"]
    if rows.is_empty():
        st.caption("No judge yet.")
        return
    st.caption(
        "How often a judge says what the majority of the others on the same question says, with its 95% interval."
    )
    parts.chart(
        view,
        "judges",
        lambda: charts.intervals(
            rows.head(40),
            value="agrees",
            name="judge",
            title="agrees with the others (95% interval)",
            by="kind",
        ),
        alt="Agreement of every judge with the majority of the others, with intervals",
        empty="No question has three or more votes.",
    )
    if here.viewer.sees_names:
        known = names(here.source)
        rows = rows.with_columns(
            name=pl.col("judge").replace_strict(known, default="", return_dtype=pl.String)
        )
    else:
        st.caption("Names are for leads: you see pseudonyms.")
    st.dataframe(rows, hide_index=True, key="judges", column_config=parts.number_columns(rows))
    parts.csv(rows, "judges")


if __name__ == "__main__":
    page(draw)
