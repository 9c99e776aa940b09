"""The whole app on a workspace, as tests of the API use it: with what floors above add."""

from fastapi import FastAPI

from trivox.app import build_site
from trivox.platform.store import Workspace


def site(workspace: Workspace) -> FastAPI:
    return build_site(workspace, None, url="http://127.0.0.1").site
