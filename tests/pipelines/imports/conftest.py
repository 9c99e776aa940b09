"""A workspace, and recordings to import into it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trivox.platform.store import Workspace

Record = Callable[..., Path]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "workspace") as made:
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def record() -> Record:
    """Writes a recording; each pitch is another recording. Folders are made as needed."""

    def write(path: Path, pitch: float = 300, rate: int = 16_000, channels: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(rate // 2) / rate)
        soundfile.write(path, np.stack([wave] * channels, axis=1).astype(np.float32), rate)
        return path

    return write
