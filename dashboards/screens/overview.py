"""Overview, for product managers."""

from datetime import UTC, datetime
from functools import partial

import polars as pl
import streamlit as st

from trivox.dashboards import actions, charts, parts
from trivox.dashboards.export import KINDS, Kind, sheet
from trivox.dashboards.queries.figures import View
from trivox.dashboards.queries.names import BRANCHES
from trivox.dashboards.queries.overview import overview
from trivox.dashboards.shell import Here, attempt, page
from trivox.platform.registry import IN_USE

EMPTY = (
    "Nothing here yet. Start a round on the page Rounds, or run `trivox demo` in a terminal; this page then says "
    "which version each branch runs on, how much better it is, and what it cost."
)


def draw(here: Here) -> None:
    view = overview(here.source)
    if view.is_empty:
        st.info(EMPTY)
        return
    parts.notes(view)
    parts.figures([view.figures[key] for key in _TOTALS])
    waiting(view)
    chosen = parts.pick("Branch", BRANCHES, "branch")
    for branch in BRANCHES:
        if chosen in (None, branch):
            _branch(here, view, branch)
    _win_rates(view)
    _costs(view)
    parts.table(view, "versions", "Policy versions", "No policy version yet.")
    parts.table(view, "rounds", "Rounds", "No round yet.")
    _export(here, view)


_TOTALS = ("rounds", "going", "human", "grm", "simulated", "hours", "pay")


def waiting(view: View) -> None:
    parts.table(view, "waiting", "What waits for whom", "Nothing waits for anybody.")


def _branch(here: Here, view: View, branch: str) -> None:
    found = [one for key, one in view.figures.items() if key.startswith(f"{branch}.")]
    if not found:
        return
    rows = view.tables["branches"].filter(pl.col("branch") == branch, pl.col("figure") == "In use")
    st.subheader(branch)
    st.markdown(f"In use: {rows['note'][0]}")
    _roll_back(here, view, branch)
    parts.figures([one for one in found if one.value is not None])
    unknown = [f"{one.name.partition(': ')[2]} ({one.note})" for one in found if one.value is None]
    if unknown:
        st.caption(f"Not known: {'; '.join(unknown)}.")


def _roll_back(here: Here, view: View, branch: str) -> None:
    """For who may act, where the branch has a version of its own in use."""
    own = view.tables["versions"].filter(
        pl.col("branch") == branch, pl.col("status").is_in([one.value for one in IN_USE])
    )
    if not here.viewer.may_act or own.is_empty():
        return
    with st.popover(f"Roll back {branch}", icon=":material/undo:"):
        st.caption(f"{own['version'][0]} is retired, and what {branch} ran on before is in use.")
        reason = st.text_input("Reason (kept with the decision)", key=f"why-back-{branch}")
        if st.button("Roll back", key=f"back-{branch}", type="primary"):
            attempt(lambda: actions.rollback(here.ws, here.viewer, branch, reason))


def _win_rates(view: View) -> None:
    st.subheader("Win rates")
    rows = view.tables["branches"].filter(pl.col("figure").str.contains("win rate"))
    parts.chart(
        view,
        "win-rates",
        lambda: charts.intervals(
            rows, value="value", name="figure", title="win rate (95% interval)", reference=0.5
        ),
        alt="Win rates of the versions in use with 95% intervals; dashed line: chance",
        empty="No version in use was compared with another yet: a round's evaluation does so.",
    )


def _costs(view: View) -> None:
    parts.table(
        view,
        "people",
        "Judgements, hours and cost by round",
        "Nobody has judged anything yet.",
        height=240,
    )
    parts.chart(
        view,
        "judgements",
        lambda: charts.bars(
            view.tables["people"].tail(40).with_columns(pl.col("round").fill_null("no round")),
            x="judgements", y="round", by="judge", x_title="judgements",
        ),
        alt="Judgements by round and kind of judge",
        empty="",
    )  # fmt: skip
    parts.table(
        view, "machines", "Machines and paid calls by round", "No stage has run yet.", height=240
    )


def _export(here: Here, view: View) -> None:
    st.subheader("Take it along")
    columns = st.columns(6)
    title = f"Overview of {here.ws.project}"

    def made(kind: Kind) -> bytes:
        found: bytes = view.drawn(kind, lambda: sheet(view, title, datetime.now(UTC), kind))
        return found

    for column, kind, mime in zip(columns, KINDS, ("application/pdf", "image/png"), strict=False):
        with column:
            name = f"trivox-overview.{kind}"
            st.download_button(
                kind.upper(), partial(made, kind), name, mime, icon=":material/download:"
            )
    with columns[2]:
        parts.csv(view.tables["branches"], "figures")


if __name__ == "__main__":
    page(draw)
