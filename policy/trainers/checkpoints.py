"""A run's folder between its start and its end: whose checkpoints lie there, and which of them is whole."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import sha256_file
from trivox.platform.store.files import write_atomically

RUN_FILE = "run.json"
STATE = "trainer_state.json"
SEAL = "checkpoint.json"
"""Written last, with the hash of every file beside it: without it a checkpoint was broken off in the writing."""
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
    """The newest checkpoint that is whole; those that were broken off while they were written are deleted.

    Raises ConfigError for one that was changed or cut short after that; nothing is deleted then.
    """
    sealed = [one for one in _checkpoints(folder) if (one / SEAL).exists()]
    if sealed:
        _check_whole(sealed[-1])
    for checkpoint in _checkpoints(folder):
        if checkpoint not in sealed:
            shutil.rmtree(checkpoint)
    return str(sealed[-1]) if sealed else None


def save_state(folder: Path, step: int, tensors: dict[str, Any], known: dict[str, Any]) -> None:
    """A checkpoint of a loop of our own: `state.pt`, then, when that is written, what is known beside it."""
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, checkpoint / "state.pt")
    (checkpoint / STATE).write_text(json.dumps({"step": step} | known))
    seal(checkpoint)
    for older in _checkpoints(folder)[:-1]:
        shutil.rmtree(older)


def seal(checkpoint: Path) -> None:
    """Say that a checkpoint is whole, and what is in it."""
    files = sorted(one for one in checkpoint.rglob("*") if one.is_file() and one.name != SEAL)
    held = {str(path.relative_to(checkpoint)): sha256_file(path) for path in files}
    write_atomically(checkpoint / SEAL, json.dumps(held, indent=1).encode())


def seal_callback() -> TrainerCallback:
    """Seals what a trainer of transformers has saved."""

    class Sealing(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    return Sealing()


def sweep(folder: Path) -> None:
    """Delete what only served to go on."""
    for checkpoint in _checkpoints(folder):
        shutil.rmtree(checkpoint)
    (folder / RUN_FILE).unlink(missing_ok=True)


def _check_whole(checkpoint: Path) -> None:
    held: dict[str, str] = json.loads((checkpoint / SEAL).read_text())
    for name, known in held.items():
        path = checkpoint / name
        found = sha256_file(path) if path.exists() else "missing"
        if found != known:
            raise ConfigError(
                f"{path} was changed or cut short: its sha256 is {found[:12]}, not {known[:12]}: delete "
                f"{checkpoint} to go on from the one before it, or {checkpoint.parent} to begin again"
            )


def _checkpoints(folder: Path) -> list[Path]:
    """The oldest first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[-1]))
