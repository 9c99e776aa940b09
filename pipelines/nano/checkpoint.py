"""Training state on disk, so that a stopped recipe goes on where it was."""

import os
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from trivox.platform.errors import ConfigError


class HasState(Protocol):
    """An optimiser, or several in one."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


def save_checkpoint(
    path: Path, model: nn.Module, optimiser: HasState, step: int, loss: float
) -> None:
    """Write model, optimiser and step atomically."""
    state = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "loss": loss,
    }
    save_whole(state, path)


def save_whole(state: Any, path: Path) -> None:
    """torch.save, so that path is never half written."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def resume(path: Path, model: nn.Module, optimiser: HasState) -> int:
    """Load the checkpoint if there is one; returns the number of steps already done.

    Raises ConfigError when it is of a model of another shape.
    """
    if not path.exists():
        return 0
    state = torch.load(path)
    try:
        model.load_state_dict(state["model"])
    except RuntimeError:
        raise ConfigError(
            f"{path} is the checkpoint of a model of another shape: give another folder, or delete it"
        ) from None
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])
