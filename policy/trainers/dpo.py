"""Direct preference optimisation (Rafailov et al. 2023) of a branch adapter, on `trl.DPOTrainer`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from pydantic import BaseModel, ConfigDict, Field
from transformers import PrinterCallback, set_seed

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import sha256_file
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.resident import ADAPTER_WEIGHTS, BACKBONE_HASH_FILE, check_adapter
from trivox.policy.trainers.common import (
    TrainedAdapter as TrainedAdapter,
)
from trivox.policy.trainers.common import (
    check_finite,
    lora_config,
    numbers,
    quiet_arguments,
    started,
    step_callback,
)


class DPOSettings(BaseModel):
    """How an adapter is trained on preferences."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beta: float = Field(0.1, gt=0)
    """Strength of the pull to the reference: equation 7 of the paper."""
    sft_weight: float = Field(1.0, ge=0)
    """Weight of the negative log-likelihood of the chosen answer beside the preference loss; 0 leaves it out."""
    learning_rate: float = Field(1e-4, gt=0)
    """Of AdamW at its highest; it rises over the warm-up and falls as a cosine."""
    epochs: int = Field(2, ge=1)
    """How often every pair is seen."""
    batch_size: int = Field(8, ge=1)
    """Pairs in one step."""
    lora_rank: int = Field(16, ge=1)
    """Rank of the update of each linear layer (Hu et al. 2021)."""
    lora_alpha: int = Field(32, ge=1)
    """The update is scaled by alpha / rank."""
    warmup_share: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""


@dataclass(frozen=True)
class TokenPair:
    """A preference in tokens: prompt ids, and the ids of both completions with their end tokens."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


def train_dpo(
    backbone_folder: Path,
    pairs: Sequence[TokenPair],
    settings: DPOSettings,
    folder: Path,
    seed: int,
    start: Path | None = None,
    carried_ids: Sequence[int] = (),
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> TrainedAdapter:
    """Train a LoRA adapter on the pairs; the reference is the policy as it starts: the backbone with the
    adapter off, or a frozen copy of the adapter `start`, which is then trained further. No loss covers
    carried_ids, which completions hold without the policy having chosen them.

    Repeatable: the same pairs, settings and seed give the same weights, bit for bit, on one machine.
    Raises ConfigError for no pairs, for a pair of identical completions or for a start of another backbone,
    NotFound for a start that is not there, WorkError for a loss or a weight that is not finite.
    """
    _check(pairs)
    if start is not None:
        check_adapter(start, backbone_hash(backbone_folder))
    backbone = Backbone.load(backbone_folder)
    set_seed(seed)
    with without_renaming_notices():
        trainer = _trainer(backbone, pairs, settings, folder, seed, start, carried_ids, on_step)
        result = trainer.train()
    check_finite("DPO", result.training_loss, trainer.model)
    trainer.model.save_pretrained(folder, selected_adapters=["default"])
    (folder / BACKBONE_HASH_FILE).write_text(backbone_hash(backbone_folder) + "\n")
    metrics = [numbers(entry) for entry in trainer.state.log_history if "loss" in entry]
    weights = sha256_file(folder / ADAPTER_WEIGHTS)
    return TrainedAdapter(folder, weights, trainer.state.global_step, metrics)


def _check(pairs: Sequence[TokenPair]) -> None:
    if not pairs:
        raise ConfigError(
            "DPO: the preference set is empty: label more comparisons or lower the margin"
        )
    for index, pair in enumerate(pairs):
        if pair.chosen == pair.rejected:
            raise ConfigError(f"DPO: pair {index} has the same tokens as chosen and as rejected")


def _trainer(
    backbone: Backbone,
    pairs: Sequence[TokenPair],
    settings: DPOSettings,
    folder: Path,
    seed: int,
    start: Path | None,
    carried_ids: Sequence[int],
    on_step: Callable[[int, int], None],
) -> Any:
    from transformers import AutoTokenizer
    from trl import DPOConfig

    losses = {"sigmoid": 1.0} | ({"sft": settings.sft_weight} if settings.sft_weight else {})
    steps = settings.epochs * -(-len(pairs) // settings.batch_size)
    arguments = DPOConfig(
        **quiet_arguments(folder, seed),
        beta=settings.beta,
        loss_type=list(losses),
        loss_weights=list(losses.values()),
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        warmup_steps=int(settings.warmup_share * steps),
        max_length=None,
        save_strategy="no",
        activation_checkpointing=False,
    )
    trainer = _pretokenised_trainer()(
        model=started(backbone.lm, start),
        args=arguments,
        data_collator=_collator(backbone.tokens.pad, carried_ids),
        train_dataset=_rows(pairs),
        processing_class=AutoTokenizer.from_pretrained(backbone.folder),
        peft_config=None
        if start
        else lora_config(backbone.lm, settings.lora_rank, settings.lora_alpha),
        callbacks=[step_callback(on_step)],
    )
    trainer.remove_callback(PrinterCallback)  # it prints every log entry on stdout
    return trainer


def _collator(pad: int, carried_ids: Sequence[int]) -> Any:
    """TRL's own batches, with the carried ids taken out of the completion mask."""
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    carried = torch.tensor(carried_ids, dtype=torch.long)

    class ChosenTokensCollator(DataCollatorForPreference):
        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            batch: dict[str, Any] = super().torch_call(examples)
            batch["completion_mask"] *= ~torch.isin(batch["input_ids"], carried)
            return batch

    return ChosenTokensCollator(pad_token_id=pad)


def _pretokenised_trainer() -> type:
    """trl.DPOTrainer for rows that are tokens already: TRL's own preparation knows only strings."""
    from trl import DPOTrainer

    class PretokenisedDPOTrainer(DPOTrainer):
        def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
            return dataset

    return PretokenisedDPOTrainer


def _rows(pairs: Sequence[TokenPair]) -> Dataset:
    return Dataset.from_dict(
        {
            "prompt_ids": [pair.prompt for pair in pairs],
            "chosen_ids": [pair.chosen for pair in pairs],
            "rejected_ids": [pair.rejected for pair in pairs],
        }
    )
