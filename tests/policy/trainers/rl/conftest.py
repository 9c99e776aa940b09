"""One tiny backbone for all runs."""

from pathlib import Path

import pytest

from tests.policy.conftest import write_backbone
from trivox.policy.vocabulary import TokenMap


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("rl"))


@pytest.fixture(scope="session")
def tokens(backbone: Path) -> TokenMap:
    return TokenMap.load(backbone)
