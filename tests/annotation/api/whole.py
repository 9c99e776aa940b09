"""The whole app on a workspace, as tests of the API use it."""

from fastapi import FastAPI

from trivox.annotation.webapp import make_site
from trivox.annotation.work.shapes import LeaseLost
from trivox.platform.store import Workspace


class NoWork:
    """Work of which there is none: every lease is another's."""

    def overview(self, person: str) -> list[object]:
        return []

    def __getattr__(self, name: str) -> object:
        def lost(*_: object) -> None:
            raise LeaseLost("no such lease for you")

        return lost


def site(workspace: Workspace) -> FastAPI:
    return make_site(workspace, NoWork())  # type: ignore[arg-type]
