"""A fresh workspace for each test, on SQLite and on a real PostgreSQL that the tests start."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from trivox.bench.servers import Postgres
from trivox.platform.store import Workspace
from trivox.platform.store.config import WorkspaceConfig

SQLITE = "sqlite:///trivox.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return SQLITE
    server: Postgres = request.getfixturevalue("postgres_server")
    return server.fresh("trivox_store")


@pytest.fixture
def create(database: str) -> Callable[[Path], Workspace]:
    """Makes a workspace on that database."""
    return partial(Workspace.create, config=WorkspaceConfig(database=database))


@pytest.fixture
def ws(tmp_path: Path, create: Callable[[Path], Workspace]) -> Iterator[Workspace]:
    with create(tmp_path / "ws") as made:
        yield made
