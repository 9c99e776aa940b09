"""The first page: `streamlit run dashboards/app.py -- WORKSPACE`; without a path, the current folder."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import streamlit as st

from trivox.dashboards.queries import Overview, PolicyRow, RoundRow, WinRateFigure, overview
from trivox.platform.errors import TrivoxError
from trivox.platform.records import JudgeKind
from trivox.platform.store import Workspace

EMPTY = "Nothing here yet. Run `trivox round run --branch tts`, or `trivox demo`, then reload this page."
JUDGES = {
    JudgeKind.HUMAN: "Human judgements",
    JudgeKind.GRM: "Model judgements",
    JudgeKind.SIMULATED: "Simulated judgements",
}


def page(root: Path) -> None:
    """The whole page; a workspace that cannot be opened is one clear line on it."""
    st.set_page_config(page_title="Trivox", layout="wide")
    st.title("Trivox")
    st.caption(str(root.resolve()))
    try:
        with Workspace.open(root) as workspace:
            shown = overview(workspace)
    except TrivoxError as error:
        st.error(str(error))
        return
    if shown.is_empty:
        st.info(EMPTY)
        return
    _figures(shown)
    _table("Rounds", shown.rounds, "No round yet: `trivox round run --branch tts` starts one.")
    _table("Policy versions", shown.policies, "No policy version yet.")


def _figures(shown: Overview) -> None:
    win_rate, *counts = st.columns(1 + len(JUDGES))
    _win_rate(win_rate, shown.win_rate)
    for column, (kind, label) in zip(counts, JUDGES.items(), strict=True):
        column.metric(label, shown.judgements[kind])


def _win_rate(column: Any, figure: WinRateFigure | None) -> None:
    label = (
        "Proxy win rate over the parent" if figure and figure.proxy else "Win rate over the parent"
    )
    if figure is None:
        column.metric(label, "not measured")
        return
    column.metric(label, "no decision" if figure.rate is None else f"{figure.rate:.0%}")
    column.caption(
        f"{figure.policy} on held-out prompts: 95% interval {figure.low:.0%} to {figure.high:.0%};"
        f" {figure.wins} won, {figure.losses} lost, {figure.ties} tied, by {', '.join(figure.evaluators)}"
    )


def _table(title: str, rows: Sequence[RoundRow | PolicyRow], empty: str) -> None:
    st.subheader(title)
    if rows:
        st.dataframe([asdict(row) for row in rows], hide_index=True)
    else:
        st.caption(empty)


if __name__ == "__main__":
    page(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
