"""The dashboard: `trivox dashboard` serves it behind its door (gate.py)."""

import os
from pathlib import Path

import streamlit as st

from trivox.annotation.people import accounts
from trivox.dashboards.gate import STATIC, WORKSPACE
from trivox.dashboards.shell import Here, enter

# File below screens/ and last part of the address, title, icon. (Streamlit would show a string here on the page.)
PAGES = (
    ("overview", "Overview", ":material/monitoring:"),
    ("rounds", "Rounds", ":material/autorenew:"),
    ("samples", "Samples", ":material/graphic_eq:"),
    ("rewards", "Reward models", ":material/balance:"),
    ("annotation", "Annotation", ":material/groups:"),
    ("data", "Data and lineage", ":material/account_tree:"),
    ("cluster", "Cluster", ":material/dns:"),
)


def main(root: Path) -> None:
    """The whole app, run anew for every click."""
    st.set_page_config(page_title="Trivox", page_icon=str(STATIC / "icon.svg"), layout="wide")
    folder = Path(__file__).parent / "screens"
    pages = [
        st.Page(
            folder / f"{name}.py", title=title, icon=icon, url_path=name, default=name == "overview"
        )
        for name, title, icon in PAGES
    ]
    chosen = st.navigation(pages)
    here = enter(root)
    if here is None:
        return
    _side(here)
    st.title(chosen.title)
    chosen.run()


def _side(here: Here) -> None:
    with st.sidebar:
        st.caption(f"Workspace **{here.ws.root.name}**, project **{here.ws.project}**")
        roles = ", ".join(sorted(role.value for role in here.viewer.roles))
        st.caption(f"Signed in as **{here.viewer.name}** ({roles})")
        if not here.viewer.may_act:
            st.caption("You may look; starting and deciding is for researchers.")
        if st.button("Sign out", icon=":material/logout:"):
            accounts.sign_out(here.ws, here.viewer.by, here.viewer.session)
            st.rerun()


if __name__ == "__main__":
    main(Path(os.environ.get(WORKSPACE, ".")))
