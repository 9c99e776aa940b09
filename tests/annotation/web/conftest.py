"""A fresh workspace for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from trivox.platform.store import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "workspace") as made:
        yield made
