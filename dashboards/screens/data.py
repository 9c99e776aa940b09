"""Data and lineage: what is stored, and what came of what."""

import streamlit as st

from trivox.dashboards import charts, parts
from trivox.dashboards.drawings import dot
from trivox.dashboards.queries.data import data, from_judgement, lineage, versions
from trivox.dashboards.queries.figures import View
from trivox.dashboards.queries.names import BRANCHES
from trivox.dashboards.shell import Here, page
from trivox.platform.errors import NotFound

EMPTY = "Nothing is stored yet: import prompts with `trivox data import`, or start a round."
STORED, DOWN, UP = "What is stored", "From a version down", "From a judgement up"


def draw(here: Here) -> None:
    views = [STORED, DOWN, UP]
    view = st.segmented_control(
        "View", views, default=STORED, key="view", bind="query-params", label_visibility="collapsed"
    )
    {STORED: _stored, DOWN: _down, UP: _up}[view or STORED](here)


def _stored(here: Here) -> None:
    branch = parts.pick("Branch", BRANCHES, "branch")
    view = data(here.source, branch)
    if view.is_empty:
        st.info(EMPTY)
        return
    parts.notes(view)
    parts.figures(list(view.figures.values()), 5)
    parts.chart(
        view,
        "stored",
        lambda: charts.bars(
            view.tables["stored"].tail(60), x="count", y="round", by="kind", x_title="records"
        ),
        alt="Records of each round by kind",
        empty="No round has stored anything.",
    )
    parts.table(view, "stored", "By branch and round", "No round has stored anything.", height=260)
    parts.table(
        view, "prompts", "Prompts by set, split, source and licence", "No prompt set.", height=220
    )
    parts.table(view, "sounds", "Audio by source and licence", "No audio.", height=220)


def _down(here: Here) -> None:
    every = versions(here.source)
    if not every:
        st.info("No policy version yet.")
        return
    names = {one.id: one.name for one in every}
    chosen = parts.pick("Version", list(names), "version", every=False)
    assert chosen is not None
    st.caption(names[chosen])
    view = lineage(here.source, chosen)
    parts.figures(list(view.figures.values()))
    _graph(view)
    parts.table(
        view,
        "preferences",
        "Preferences, each with its judgements",
        "No preference stands behind it.",
        height=260,
    )
    judgements = [id_ for ids in view.tables["preferences"]["judgements"].to_list() for id_ in ids]
    if judgements:
        st.caption(
            f"To follow one up again: `/data?view=From+a+judgement+up&judgement={judgements[0]}`"
        )


def _up(here: Here) -> None:
    asked = st.text_input(
        "Judgement",
        key="judgement",
        bind="query-params",
        help="Its id, as it stands with a preference.",
    )
    if not asked.strip():
        st.info(
            "Give the id of a judgement: it stands in the tables of Samples and of From a version down."
        )
        return
    try:
        view = from_judgement(here.source, asked.strip())
    except NotFound as error:
        st.error(str(error))
        return
    parts.figures(list(view.figures.values()))
    _graph(view)
    parts.table(view, "nodes", "What it came to", "Nothing came of it.")


def _graph(view: View) -> None:
    said = ", ".join(sorted(set(view.tables["nodes"]["kind"].to_list())))
    st.graphviz_chart(view.drawn("dot", lambda: dot(view)), alt=f"Lineage: {said}")


if __name__ == "__main__":
    page(draw)
