"""A trained reward model in memory: rewards of rows, in batches of like length."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from safetensors.numpy import load_file

from trivox.platform.errors import NotFound
from trivox.platform.hashing import sha256_file
from trivox.platform.records import Branch
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.resident import ADAPTER_WEIGHTS, check_adapter
from trivox.policy.rows import Row, collate
from trivox.reward_models.bradley_terry.model import RewardModel
from trivox.reward_models.bradley_terry.pairs import RewardPair

SETTINGS_FILE = "reward.json"
HEAD_FILE = "head.safetensors"
COVARIANCE = "covariance"
_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Readings:
    """rewards [n] as the head gives them, in logits; pooled [n, H], what it was applied to."""

    rewards: NDArray[np.float64]
    pooled: NDArray[np.float64]


class LearnedReward:
    """A model and what reads with it. Rewards do not depend on order or padding beyond 1e-4 of their spread."""

    def __init__(self, backbone: Backbone, model: Any) -> None:
        self.backbone, self.model = backbone, model

    @property
    def tie(self) -> float:
        """The log-propensity to tie."""
        named = dict(self.model.named_parameters())
        [found] = [one for name, one in named.items() if name.endswith("default.tie")]
        return float(found.detach())

    @torch.no_grad()
    def read(self, rows: Sequence[Row]) -> Readings:
        """In the order of the rows, whatever their lengths. Raises ConfigError for a row beyond the context."""
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        width = int(self.backbone.lm.config.get_text_config().hidden_size)
        rewards, pooled = np.zeros(len(rows)), np.zeros((len(rows), width))
        for begin in range(0, len(order), _AT_ONCE):
            places = order[begin : begin + _AT_ONCE]
            outputs = self.model(**self._batch([rows[place] for place in places]))
            rewards[places] = outputs.logits.squeeze(-1).double().cpu().numpy()
            pooled[places] = outputs.pooled.double().cpu().numpy()
        return Readings(rewards, pooled)

    def read_pairs(self, pairs: Sequence[RewardPair]) -> tuple[Readings, Readings]:
        """Of the chosen, of the rejected."""
        sides = [pair.rows for pair in pairs]
        return self.read([chosen for chosen, _ in sides]), self.read([other for _, other in sides])

    def _batch(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        batch = collate(rows, self.backbone.tokens.pad, limit=self.backbone.position_limit)
        batch.pop("labels")
        return {name: value.to(self.model.device) for name, value in batch.items()}


@dataclass(frozen=True, eq=False)
class Scale:
    """From the head's logits to calibrated ones: (reward - offset) / temperature of the branch. tie: calibrated
    log-propensity, None where nobody tied."""

    offset: float
    temperature: float
    by_branch: dict[str, float]
    tie: float | None
    covariance: NDArray[np.float32]
    mean: NDArray[np.float32]

    def temperature_of(self, branch: Branch) -> float:
        return self.by_branch.get(branch.value, self.temperature)

    def values(self, readings: Readings, branch: Branch) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (readings.rewards - self.offset) / self.temperature_of(branch)
        return found

    def widths(self, readings: Readings, branch: Branch) -> NDArray[np.float64]:
        """One standard deviation of each value, from what the data leave open of the head."""
        away = readings.pooled - self.mean
        variance = np.einsum("np,pq,nq->n", away, self.covariance, away)
        found: NDArray[np.float64] = np.sqrt(np.maximum(variance, 0)) / self.temperature_of(branch)
        return found


def load_learned(folder: Path, backbone_folder: Path) -> tuple[LearnedReward, Scale]:
    """Raises NotFound for a folder that lacks a file, ConfigError for a model of another backbone."""
    check_adapter(folder, backbone_hash(backbone_folder))
    for needed in (SETTINGS_FILE, HEAD_FILE):
        if not (folder / needed).is_file():
            raise NotFound(f"reward model {folder}: {needed} is missing: train it to the end")
    backbone = Backbone.load(backbone_folder)
    with without_renaming_notices():
        model = PeftModel.from_pretrained(RewardModel(backbone.lm), folder).eval()
    told, width = json.loads((folder / SETTINGS_FILE).read_text()), load_file(folder / HEAD_FILE)
    scale = Scale(
        told["offset"],
        told["calibration"]["temperature"],
        {name: one["temperature"] for name, one in told["by_branch"].items()},
        told["calibration"]["tie"],
        width[COVARIANCE],
        width["mean"],
    )
    return LearnedReward(backbone, model), scale


def weights_hash(folder: Path) -> str:
    """sha256 of LoRA and head."""
    return sha256_file(folder / ADAPTER_WEIGHTS)
