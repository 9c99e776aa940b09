"""Whole rounds in miniature: the model that ships, real Ray, real TRL, real scorers, a real store."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.runner import run_round
from trivox.pipelines.rounds.service import RoundService
from trivox.pipelines.workspaces import init_workspace
from trivox.platform.records import Round
from trivox.platform.store import Workspace

# Small enough for a minute on two free cores; one actor each, because their start is most of the time.
MINI = """
[rollout]
prompts = 4
candidates = 3
slots = 6
workers = 1
max_tokens = 160
[score]
rewards = ["whisper-tiny-wer", "distillmos"]
workers = 1
[label]
judges = "simulated"
[aggregate]
min_confidence = 0.5
[train]
epochs = 1
batch_size = 4
[evaluate]
prompts = 3
"""


@dataclass(frozen=True)
class MiniRound:
    """A finished round and where it lies."""

    ws: Workspace
    config: RoundConfig
    round: Round


def play(root: Path, config: RoundConfig) -> MiniRound:
    """A fresh workspace with that round run in it."""
    ws = init_workspace(root)
    return MiniRound(ws, config, run_round(ws, RoundService(ws).enqueue(config).id))


@pytest.fixture(scope="session")
def mini_toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "mini.toml"
    path.write_text(MINI, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def mini(
    tmp_path_factory: pytest.TempPathFactory, ray_session: None, mini_toml: Path
) -> Iterator[MiniRound]:
    """The round that most tests look at; it is made once, and they only read it."""
    from trivox.platform.config import load_toml

    made = play(tmp_path_factory.mktemp("mini") / "ws", load_toml(mini_toml, RoundConfig))
    with made.ws:
        yield made
