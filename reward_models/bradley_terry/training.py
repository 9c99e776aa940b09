"""Training of a Bradley-Terry reward model on `trl.RewardTrainer`: LoRA and head on a frozen backbone.

What bites in that trainer, and what is done about it: its `max_length` drops long pairs without a word (None here,
and what does not fit is refused by name); a head outside `modules_to_save` stays random (it is in); it hands
`margin` to the model's forward (labels are taken out first); it has no ties, no weights and no smoothing (its loss
is replaced).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from pydantic import BaseModel, ConfigDict, Field
from safetensors.numpy import save_file
from transformers import AutoTokenizer, PrinterCallback, set_seed

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import content_hash, sha256_file
from trivox.platform.records import Branch
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.resident import ADAPTER_WEIGHTS, BACKBONE_HASH_FILE
from trivox.policy.trainers.checkpoints import claim, latest, sweep
from trivox.policy.trainers.common import (
    check_finite,
    lora_config,
    numbers,
    quiet_arguments,
    step_callback,
)
from trivox.reward_models.bradley_terry.calibration import (
    Calibration,
    fit_temperature,
    head_covariance,
)
from trivox.reward_models.bradley_terry.learned import (
    COVARIANCE,
    HEAD_FILE,
    SETTINGS_FILE,
    LearnedReward,
    Readings,
)
from trivox.reward_models.bradley_terry.model import HEAD, RewardModel
from trivox.reward_models.bradley_terry.pairs import (
    RewardPair,
    Splits,
    check_pairs,
    fingerprint,
    split_pairs,
)
from trivox.reward_models.bradley_terry.trainer import RewardCollator, trainer_class

OWN_TEMPERATURE = 100
"""Decided calibration pairs from which a branch of a joint model has a temperature of its own."""


class RewardSettings(BaseModel):
    """How a reward model is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    branches: tuple[Branch, ...] = ()
    """Whose pairs are learned from; none named: all of them, one joint model."""
    learning_rate: float = Field(1e-3, gt=0)
    """Of AdamW at its highest; it rises over the warm-up and falls as a cosine."""
    epochs: int = Field(3, ge=1)
    """How often every pair is seen."""
    batch_size: int = Field(16, ge=1)
    """Pairs in one step."""
    lora_rank: int = Field(16, ge=1)
    """Rank of the update of each linear layer."""
    lora_alpha: int = Field(32, ge=1)
    """The update is scaled by alpha / rank."""
    warmup_share: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    margin_scale: float = Field(0.0, ge=0)
    """Times a pair's margin (1 to 3): by how much the rewards have to differ before the pair counts as learned."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Probability that a label has the wrong side; RRPO takes 0.1 against policies that please the judge."""
    confidence_weights: bool = True
    """Whether a pair counts as much as its label is sure of."""
    centre: float = Field(0.01, ge=0)
    """Weight of the squared sum of both rewards, which holds them around 0."""
    calibration: float = Field(0.15, gt=0, lt=1)
    """Share of the prompts that the temperature is fitted on."""
    test: float = Field(0.2, gt=0, lt=1)
    """Share of the prompts that the report is made from."""
    checkpoint_every: int = Field(200, ge=1)
    """Steps between checkpoints, from which a run that was stopped goes on."""


@dataclass(frozen=True)
class TrainedReward:
    """folder: adapter with head, temperature and width. metrics: one dict per step; test: the held-out pairs, with
    what the model reads of each side."""

    folder: Path
    weights_hash: str
    steps: int
    metrics: list[dict[str, float]]
    calibration: Calibration
    splits: Splits
    test: tuple[Readings, Readings]

    @property
    def accuracy(self) -> float:
        """Share of the decided held-out pairs whose chosen has more, half for as much."""
        differences = self.test[0].rewards - self.test[1].rewards
        decided = np.array([not pair.tie for pair in self.splits.test])
        return float(((np.sign(differences[decided]) + 1) / 2).mean())


def train_reward(
    backbone_folder: Path,
    pairs: Sequence[RewardPair],
    settings: RewardSettings,
    folder: Path,
    seed: int,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> TrainedReward:
    """Train on the pairs of the settings' branches; prompts are split by group before anything is learned.

    A folder with checkpoints of the same pairs, settings and seed is gone on with, to the same weights as without
    the stop. Repeatable bit for bit on one machine. Raises ConfigError as `check_pairs` and `split_pairs` do and
    for checkpoints of another run, WorkError for a loss or a weight that is not finite.
    """
    backbone = Backbone.load(backbone_folder)
    chosen = [one for one in pairs if not settings.branches or one.branch in settings.branches]
    check_pairs(backbone, chosen)
    if settings.calibration + settings.test >= 1:
        raise ConfigError(
            f"calibration {settings.calibration} and test {settings.test} leave no prompt to train on: lower them"
        )
    splits = split_pairs(chosen, settings.calibration, settings.test, seed)
    claim(folder, _fingerprint(backbone_folder, chosen, settings, seed))
    set_seed(seed)
    with without_renaming_notices():
        trainer = _trainer(backbone, splits.train, settings, folder, seed, on_step)
        result = trainer.train(resume_from_checkpoint=latest(folder))
    check_finite("reward", result.training_loss, trainer.model)
    trainer.model.save_pretrained(folder)
    (folder / BACKBONE_HASH_FILE).write_text(backbone_hash(backbone_folder) + "\n")
    learned = LearnedReward(backbone, trainer.model.eval())
    calibration = _settle(learned, splits, settings, folder, seed)
    sweep(folder)
    metrics = [numbers(entry) for entry in trainer.state.log_history if "loss" in entry]
    return TrainedReward(
        folder,
        sha256_file(folder / ADAPTER_WEIGHTS),
        trainer.state.global_step,
        metrics,
        calibration,
        splits,
        learned.read_pairs(splits.test),
    )


def _fingerprint(
    backbone: Path, pairs: Sequence[RewardPair], settings: RewardSettings, seed: int
) -> str:
    told = settings.model_dump(mode="json", exclude={"checkpoint_every"})
    return content_hash([backbone_hash(backbone), fingerprint(pairs), told, seed])


def _trainer(
    backbone: Backbone,
    pairs: Sequence[RewardPair],
    settings: RewardSettings,
    folder: Path,
    seed: int,
    on_step: Callable[[int, int], None],
) -> Any:
    weighed = [
        one if settings.confidence_weights else replace(one, tokens=replace(one.tokens, weight=1.0))
        for one in pairs
    ]
    trainer = trainer_class()(
        model=RewardModel(backbone.lm, seed),
        args=_arguments(len(pairs), settings, folder, seed),
        data_collator=RewardCollator(weighed, backbone.tokens.pad, backbone.position_limit),
        train_dataset=Dataset.from_dict({"pair": list(range(len(pairs)))}),
        processing_class=AutoTokenizer.from_pretrained(backbone.folder),
        peft_config=_lora(backbone, settings),
        callbacks=[step_callback(on_step)],
    )
    trainer.reward, trainer.with_ties = settings, any(pair.tie for pair in pairs)
    trainer.remove_callback(PrinterCallback)  # it prints every log entry on stdout
    return trainer


def _lora(backbone: Backbone, settings: RewardSettings) -> Any:
    config = lora_config(backbone.lm, settings.lora_rank, settings.lora_alpha, [HEAD])
    config.task_type = None  # it generates nothing
    return config


def _arguments(count: int, settings: RewardSettings, folder: Path, seed: int) -> Any:
    from trl import RewardConfig

    steps = settings.epochs * -(-count // settings.batch_size)
    return RewardConfig(
        **quiet_arguments(folder, seed),
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        warmup_steps=int(settings.warmup_share * steps),
        max_length=None,
        remove_unused_columns=False,
        activation_checkpointing=False,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=2,
    )


def _settle(
    learned: LearnedReward, splits: Splits, settings: RewardSettings, folder: Path, seed: int
) -> Calibration:
    """Temperature, offset and width, written beside the weights."""
    chosen, rejected = learned.read_pairs(splits.calibration)
    tie = learned.tie if any(pair.tie for pair in splits.train) else None
    differences = chosen.rewards - rejected.rewards
    ties = np.array([pair.tie for pair in splits.calibration])
    calibration = fit_temperature(differences, ties, tie)
    own = {}
    for branch in sorted({pair.branch for pair in splits.calibration}):
        of = np.array([pair.branch is branch for pair in splits.calibration])
        if int((of & ~ties).sum()) >= OWN_TEMPERATURE:
            own[branch.value] = asdict(fit_temperature(differences[of], ties[of], tie))
    told = {
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "branches": sorted({pair.branch.value for pair in splits.train}),
        "pairs": splits.counts,
        "data": fingerprint([*splits.train, *splits.calibration, *splits.test]),
        "ties": "davidson",
        "calibration": asdict(calibration),
        "by_branch": own,
        "offset": float(np.concatenate([chosen.rewards, rejected.rewards]).mean()),
    }
    (folder / SETTINGS_FILE).write_text(json.dumps(told, indent=2) + "\n")
    _write_width(learned, splits.train, folder)
    return calibration


def _write_width(learned: LearnedReward, pairs: Sequence[RewardPair], folder: Path) -> None:
    chosen, rejected = learned.read_pairs(pairs)
    both = np.concatenate([chosen.pooled, rejected.pooled])
    weights = np.array([0.0 if pair.tie else pair.tokens.weight for pair in pairs])
    covariance = head_covariance(
        chosen.pooled - rejected.pooled, chosen.rewards - rejected.rewards, weights
    )
    mean = both.mean(axis=0).astype(np.float32)
    save_file({COVARIANCE: covariance, "mean": mean}, folder / HEAD_FILE)
