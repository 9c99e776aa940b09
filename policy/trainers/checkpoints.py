"""A run's folder between its start and its end: whose checkpoints lie there, and which of them is whole."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from trivox.platform.errors import ConfigError

RUN_FILE = "run.json"
_STATE = "trainer_state.json"
KEPT_CHECKPOINTS = 2
"""The one before the newest too: the newest may have been broken off."""


def claim(folder: Path, fingerprint: str) -> None:
    """Note which run folder belongs to; raises ConfigError when checkpoints of another run lie there, and in one
    of several processes that were launched as one run."""
    _check_alone()
    note = folder / RUN_FILE
    found = json.loads(note.read_text())["run"] if note.exists() else fingerprint
    if found != fingerprint and _checkpoints(folder):
        raise ConfigError(
            f"{folder} holds checkpoints of run {found[:12]}, this one is {fingerprint[:12]} (other rows, "
            "settings or seed): give another folder, or delete it"
        )
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"run": fingerprint}) + "\n")


def _check_alone() -> None:
    """Several would write one folder, each what it learned from all rows."""
    if (processes := int(os.environ.get("WORLD_SIZE") or 1)) > 1:
        raise ConfigError(
            f"launched as {processes} processes (WORLD_SIZE) and a run is one process on one GPU: start it "
            "without a launcher, and other seeds or branches on other GPUs"
        )


def latest(folder: Path) -> str | None:
    """The newest checkpoint that is whole, which the trainer's state tells, written last; others are deleted."""
    whole = None
    for checkpoint in _checkpoints(folder):
        if _is_whole(checkpoint):
            whole = str(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return whole


def save_state(folder: Path, step: int, tensors: dict[str, Any], known: dict[str, Any]) -> None:
    """A checkpoint of a loop of our own: `state.pt`, then, when that is written, what is known beside it."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, checkpoint / "state.pt")
    (checkpoint / _STATE).write_text(json.dumps({"step": step} | known))
    for older in _checkpoints(folder)[:-1]:
        shutil.rmtree(older)


def sweep(folder: Path) -> None:
    """Delete what only served to go on."""
    for checkpoint in _checkpoints(folder):
        shutil.rmtree(checkpoint)
    (folder / RUN_FILE).unlink(missing_ok=True)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / _STATE).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return True


def _checkpoints(folder: Path) -> list[Path]:
    """The oldest first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[-1]))
