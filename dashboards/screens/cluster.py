"""Cluster: nodes, workers, speed, failures."""

import os

import polars as pl
import streamlit as st

from trivox.dashboards import charts, parts
from trivox.dashboards.queries.cluster import Nodes, cluster, machine
from trivox.dashboards.queries.figures import View
from trivox.dashboards.shell import Here, moving, page

LOOK_S = 5.0
EMPTY = "No round has run yet: speed and failures are shown here once one has."


@st.cache_resource(show_spinner=False)
def _nodes() -> Nodes:
    """One for all sessions."""
    return Nodes()


def draw(here: Here) -> None:
    moving(here, _machines, LOOK_S)
    view = cluster(here.source)
    if view.is_empty:
        st.info(EMPTY)
        return
    parts.notes(view)
    _speed(view)
    _failures(view)


def _machines(here: Here) -> None:
    """What changes by itself: who works now, and on what."""
    view = cluster(here.source)
    parts.figures(list(view.figures.values()), 3)
    parts.table(
        view,
        "workers",
        "Workers",
        "No worker has a round now: `trivox worker` takes what is queued.",
    )
    st.subheader("Ray nodes")
    nodes, reason = _nodes().known(os.environ.get("RAY_ADDRESS"))
    if nodes.is_empty():
        st.caption(reason)
    else:
        st.dataframe(nodes, hide_index=True, key="nodes", column_config=parts.number_columns(nodes))
    st.subheader("This machine")
    for column, one in zip(st.columns(4), machine().to_dicts(), strict=False):
        with column:
            st.progress(
                min(1.0, one["used"]),
                f"{one['what']}: {one['used']:.0%} of {one['there']:,.0f} {one['unit']}",
            )


def _speed(view: View) -> None:
    st.subheader("Rollout tokens per second")
    rows = view.tables["speed"].filter(pl.col("tokens_per_s").is_not_null())
    parts.chart(
        view,
        "speed",
        lambda: charts.bars(
            rows.tail(40),
            x="tokens_per_s",
            y="round",
            by=None,
            x_title="tokens/s, start of the actors included",
        ),
        alt="Tokens per second of each round's rollouts",
        empty="No round has finished its rollouts.",
    )
    parts.table(view, "speed", "Stages", "No stage has finished.", height=240)


def _failures(view: View) -> None:
    rows = (
        view.tables["failures"]
        .group_by("what", "type")
        .agg(pl.col("count").sum())
        .sort("count", descending=True)
    )
    named = rows.with_columns(failure=pl.col("what") + ": " + pl.col("type"))
    st.subheader("Failures by type")
    parts.chart(
        view,
        "failures",
        lambda: charts.bars(named.head(30), x="count", y="failure", by=None, x_title="how many"),
        alt="Failures of scores, rollouts and rounds by type",
        empty="Nothing has failed.",
    )
    parts.table(view, "failures", "Failures by round", "Nothing has failed.", height=220)


if __name__ == "__main__":
    page(draw)
