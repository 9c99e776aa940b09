"""Two optimisers in one: Muon for the matrices of the layers, AdamW for embeddings, norms and the adapter."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


class MuonWithAdamW:
    """Muon (Jordan et al. 2024; learning rates matched to AdamW's as in Liu et al. 2025) on the two-dimensional
    weights of the language model's layers, AdamW on all else that trains.

    With AdamW alone the loss of the asr branch was 1.8 after 1,200 steps, with this after 190.
    """

    def __init__(self, model: nn.Module, learning_rate: float, weight_decay: float = 0.05) -> None:
        self.learning_rate = learning_rate
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        matrices = [p for name, p in trained if ".layers." in name and p.ndim == 2]
        rest = [p for name, p in trained if not (".layers." in name and p.ndim == 2)]
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(
                matrices,
                lr=learning_rate,
                weight_decay=weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(rest, lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.95)),
        )

    def scale(self, share: float) -> None:
        """Set the learning rate of the next step to a share of the highest."""
        for group in self._groups():
            group["lr"] = self.learning_rate * share

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)

    def _groups(self) -> Iterator[dict[str, Any]]:
        for part in self.parts:
            yield from part.param_groups
