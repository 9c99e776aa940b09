"""Workspaces that pages are looked at on: made once, copied where a test changes or spoils one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboards import building
from trivox.annotation.people import sessions
from trivox.annotation.people.door import Door
from trivox.dashboards import access, app
from trivox.dashboards.gate import WORKSPACE
from trivox.platform.store import Workspace

Show = Callable[..., AppTest]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody changes this one."""
    return building.build(tmp_path_factory.mktemp("dashboards") / "small")


@pytest.fixture
def small(built: Path, tmp_path: Path) -> Path:
    """One to change."""
    return Path(shutil.copytree(built, tmp_path / "small"))


@pytest.fixture(scope="session")
def spoilt(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("spoilt") / "ws"
    shutil.copytree(built, root)
    return building.damage(root)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("empty") / "ws"
    Workspace.create(root).close()
    with Workspace.open(root) as ws:
        ws.records.add(*building._people())
    return root


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    """Show a page of a workspace to somebody: show(root, "rounds", "viewer", round="round_1")."""

    def shown(
        root: Path, page: str = "overview", person: str | None = "researcher", **query: str
    ) -> AppTest:
        monkeypatch.setenv(WORKSPACE, str(root))
        held: dict[str, str] = {}
        if person is not None:
            with Workspace.open(root) as ws:
                held[Door(ws).cookie] = sessions.begin(ws, person, None)
        monkeypatch.setattr(access, "cookies", lambda: held)
        test = AppTest.from_file(app.__file__, default_timeout=60)
        if page != "overview":
            _to(test, page)
        for name, value in query.items():
            test.query_params[name] = value
        return test.run()

    return shown


def _to(test: AppTest, page: str) -> None:
    """As a deep link does. Before the first run AppTest knows pages by their file, whose name is their address."""
    test.switch_page(f"screens/{page}.py")
