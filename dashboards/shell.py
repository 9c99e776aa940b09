"""What every page stands on: the source of its figures, who looks, and one line instead of a crash."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from trivox.dashboards import access
from trivox.dashboards.access import Viewer
from trivox.dashboards.queries.source import Source
from trivox.platform.errors import TrivoxError
from trivox.platform.store import Workspace


@dataclass(frozen=True)
class Here:
    """A page at work."""

    source: Source
    viewer: Viewer

    @property
    def ws(self) -> Workspace:
        return self.source.ws


SEEN_S = 1.0
"""A part of a page does not look again at what the page looked at just before."""
_HERE: ContextVar[Here] = ContextVar("trivox_here")
"""Set by the app for the page that it runs next, in the same thread."""


@st.cache_resource(show_spinner=False)
def source_of(root: str) -> Source:
    """One for all sessions of this process: what one asked for, the next has from memory."""
    return Source(Workspace.open(Path(root)))


def enter(root: Path) -> Here | None:
    """Who looks at what; None, with a line on the page, where the workspace cannot be read or nobody is signed
    in."""
    try:
        source = source_of(str(root.resolve()))
        viewer = access.here(source.ws)
        if viewer is None:
            st.warning("You are not signed in, or no role of yours sees the dashboards.")
            st.link_button("Sign in", "/sign-in")
            return None
        with st.spinner("Taking in what is new …", show_time=True):
            source.look()
    except TrivoxError as error:
        st.error(str(error))
        return None
    made = Here(source, viewer)
    _HERE.set(made)
    return made


def page(draw: Callable[[Here], None]) -> None:
    """Draw a page; what cannot be read is one clear line on it."""
    try:
        draw(_HERE.get())
    except TrivoxError as error:
        st.error(str(error))


def attempt(do: Callable[[], object]) -> None:
    """Do it and draw the page anew; what is refused is said."""
    try:
        do()
    except TrivoxError as error:
        st.error(str(error))
    else:
        st.rerun()


def moving(here: Here, draw: Callable[[Here], None], seconds: float | None) -> None:
    """A part of a page that looks at the data anew every so many seconds, alone; None: only with the page."""

    @st.fragment(run_every=seconds)
    def part() -> None:
        try:
            viewer = access.here(here.ws)
            if viewer is None:
                st.warning("You have been signed out. Sign in again and reload this page.")
                return
            here.source.look(within_s=SEEN_S)
            draw(Here(here.source, viewer))
        except TrivoxError as error:
            st.error(str(error))

    part()
