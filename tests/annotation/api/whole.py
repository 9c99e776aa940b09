"""The whole app on a workspace, as tests of the API use it."""

from fastapi import FastAPI

from trivox.annotation.webapp import make_site
from trivox.platform.store import Workspace


def site(workspace: Workspace) -> FastAPI:
    return make_site(workspace)
