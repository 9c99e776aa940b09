"""Direct preference optimisation (Rafailov et al. 2023) of an adapter or of all weights, on `trl.DPOTrainer`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from datasets import Dataset
from peft import get_peft_model
from pydantic import BaseModel, ConfigDict, Field, model_validator
from transformers import PrinterCallback, set_seed

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import content_hash, sha256_file
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.modeling import default_dtype
from trivox.policy.resident import ADAPTER_WEIGHTS
from trivox.policy.rows import Row
from trivox.policy.trainers.checkpoints import (
    KEPT_CHECKPOINTS,
    claim,
    latest,
    seal_callback,
    sweep,
)
from trivox.policy.trainers.common import (
    TOKEN_MODULES,
    OnFigures,
    check_finite,
    check_rehearsal,
    check_start,
    lora_config,
    numbers,
    quiet_arguments,
    save_trained,
    started,
    step_callback,
    unfrozen,
    widen,
)
from trivox.policy.trainers.common import (
    TrainedAdapter as TrainedAdapter,
)
from trivox.policy.trainers.dpo_loss import PreferenceLoss
from trivox.policy.trainers.dpo_trainer import PairCollator, Rehearsal, trainer_class
from trivox.policy.trainers.dpo_watching import UNWATCHED, DPOWatch, watch_callback
from trivox.policy.trainers.reference import moving_reference, reference_key, stored_reference


class DPOSettings(BaseModel):
    """How an adapter is trained on preferences."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    beta: float = Field(0.1, gt=0)
    """Strength of the pull to the reference: equation 7 of the paper."""
    loss: PreferenceLoss = "sigmoid"
    """sigmoid, sigmoid_norm (by the token, against length bias) or ipo."""
    margin_scale: float = Field(0.0, ge=0)
    """Times a pair's margin (1 to 3): by how much the policy has to prefer the chosen one (DPO with an offset)."""
    confidence_weights: bool = False
    """Whether a pair counts as much as its label is sure of."""
    sft_weight: float = Field(1.0, ge=0)
    """Weight of the negative log-likelihood of the chosen answer beside the preference loss; 0 leaves it out."""
    learning_rate: float = Field(1e-4, gt=0)
    """Of AdamW at its highest; it rises over the warm-up and falls as a cosine. All weights want about a tenth."""
    epochs: int = Field(2, ge=1)
    """How often every pair is seen."""
    batch_size: int = Field(8, ge=1)
    """Pairs in one step."""
    lora_rank: int = Field(16, ge=0)
    """Rank of the update of each linear layer of the language model (Hu et al. 2021); 0: all its weights train,
    and what the reference finds of the pairs is kept before they do."""
    lora_alpha: int = Field(32, ge=1)
    """The update is scaled by alpha / rank."""
    train_tokens: bool = False
    """With LoRA: whether the rows of the tokens and the head are trained too, in full, as a model with new audio
    tokens needs it."""
    warmup_share: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    reference_every: int = Field(0, ge=0)
    """Steps after which the reference moves to the policy as it is then (trust region DPO, Gorbatovski et al.
    2024, hard updates); 0: it stays what the policy started as. Over rounds it moves by itself: it is each round's
    parent."""
    rehearsal_share: float = Field(0.0, ge=0, lt=1)
    """Share of the supervised loss, on rows of all branches, in the loss of a step, so that none is forgotten."""
    rehearsal_rows: int = Field(16, ge=1)
    """Rows of a step that are rehearsed."""
    checkpoint_every: int = Field(100, ge=1)
    """Steps between checkpoints, from which a run that was stopped goes on."""
    recompute: bool = False
    """Whether activations are computed again in the backward pass: less memory, a third more time."""

    def identity(self) -> dict[str, Any]:
        """What the result depends on, in JSON. No rehearsal is what runs had before there was any."""
        left_out = {"checkpoint_every", "recompute"}
        if not self.rehearsal_share:
            left_out |= {"rehearsal_share", "rehearsal_rows"}
        return self.model_dump(mode="json", exclude=left_out)

    @model_validator(mode="after")
    def _reference_can_move(self) -> Self:
        if self.reference_every and not self.lora_rank:
            raise ValueError(
                f"reference_every is {self.reference_every} and lora_rank 0 trains all weights: the "
                "reference of a run moves with an adapter alone: set reference_every to 0, and start each round "
                "from the last one"
            )
        return self


@dataclass(frozen=True)
class TokenPair:
    """A preference in tokens: prompt ids, and the ids of both completions with their end tokens.

    margin: how much better the chosen one is, 1 to 3, 0 where nobody said; weight: how sure the label is, above 0;
    audio: float32 [T, F] encoder features of the clips of the prompt.
    """

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]
    margin: float = 0.0
    weight: float = 1.0
    audio: tuple[npt.NDArray[np.float32], ...] = ()


def train_dpo(
    backbone_folder: Path,
    pairs: Sequence[TokenPair],
    settings: DPOSettings,
    folder: Path,
    seed: int,
    start: Path | None = None,
    carried_ids: Sequence[int] = (),
    on_step: Callable[[int, int], None] = lambda done, total: None,
    reference_cache: Path | None = None,
    on_figures: OnFigures | None = None,
    rehearsal: Sequence[Row] = (),
    watch: DPOWatch = UNWATCHED,
) -> TrainedAdapter:
    """Train a LoRA adapter on the pairs; the reference is the policy as it starts: the backbone with the
    adapter off, or a frozen copy of the adapter `start`, which is then trained further. With lora_rank 0 the
    folder gets a whole backbone, and the reference's log-probabilities are taken before it learns. No loss covers
    carried_ids, which completions hold without the policy having chosen them. reference_cache: a folder in which
    the reference's log-probabilities are kept, by the hash of its weights and of the pairs. rehearsal: supervised
    rows of all branches. watch: what looks at each step from outside, and may stop the run. A folder with
    checkpoints of the same run is gone on with, to the same weights as without the stop.

    Repeatable: the same pairs, settings and seed give the same weights, bit for bit, on one machine. Raises
    ConfigError for no pairs, for a pair of identical completions, for a start of another backbone, for checkpoints
    of another run, for a cache of a reference that moves and for a share of rehearsal without rows; NotFound for a
    start that is not there, WorkError for a loss or a weight that is not finite, WatcherStop.
    """
    _check(pairs)
    check_rehearsal(settings.rehearsal_share, rehearsal)
    full = settings.lora_rank == 0
    check_start("DPO", start, backbone_folder, settings.lora_rank)
    if reference_cache is not None and settings.reference_every:
        raise ConfigError(
            f"DPO: the reference moves every {settings.reference_every} steps, so its log-probabilities cannot be "
            "stored: leave the cache out, or set reference_every to 0"
        )
    key = reference_key(
        backbone_hash(backbone_folder),
        None if start is None else sha256_file(start / ADAPTER_WEIGHTS),
        pairs,
        carried_ids,
        torch.float32 if full else default_dtype(),
    )
    claim(folder, _fingerprint(key, pairs, settings, seed, rehearsal))
    begun = latest(folder)
    backbone = Backbone.load(backbone_folder)
    set_seed(seed)
    with without_renaming_notices():
        trainer = _trainer(backbone, pairs, settings, folder, seed, start, carried_ids, on_step)
        trainer.rehearsal = Rehearsal(rehearsal, settings, backbone.tokens.pad, seed)
        report = on_figures or (lambda done, total, figures: None)
        trainer.add_callback(watch_callback(watch, backbone, report, begun))
        trainer.add_callback(seal_callback())  # behind all that writes into a checkpoint
        if full or reference_cache is not None:
            known = stored_reference(trainer, reference_cache, key, len(pairs), settings.batch_size)
            trainer.data_collator = replace(trainer.data_collator, reference=known)
        result = trainer.train(resume_from_checkpoint=begun)
    check_finite("DPO", result.training_loss, trainer.model)
    weights = save_trained(trainer.model, backbone, full, folder)
    sweep(folder)
    metrics = [numbers(entry) for entry in trainer.state.log_history if "loss" in entry]
    return TrainedAdapter(folder, weights, trainer.state.global_step, metrics)


def _fingerprint(
    reference: str,
    pairs: Sequence[TokenPair],
    settings: DPOSettings,
    seed: int,
    rehearsal: Sequence[Row],
) -> str:
    """What a run's result depends on, as a hash."""
    weighed = [[p.margin, p.weight] for p in pairs]
    rehearsed = [content_hash([row.prompt, row.completion, row.loss]) for row in rehearsal]
    return content_hash([reference, weighed, settings.identity(), seed, rehearsed])


def _check(pairs: Sequence[TokenPair]) -> None:
    if not pairs:
        raise ConfigError(
            "DPO: the preference set is empty: label more comparisons or lower the margin"
        )
    for index, pair in enumerate(pairs):
        if pair.chosen == pair.rejected:
            raise ConfigError(f"DPO: pair {index} has the same tokens as chosen and as rejected")
        if not (pair.weight > 0 and pair.margin >= 0):
            raise ConfigError(
                f"DPO: pair {index} has weight {pair.weight} and margin {pair.margin}: weights are above 0, "
                "margins 0 or more"
            )


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

    full = settings.lora_rank == 0
    steps = settings.epochs * -(-len(pairs) // settings.batch_size)
    arguments = DPOConfig(
        **quiet_arguments(folder, seed),
        beta=settings.beta,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        warmup_steps=int(settings.warmup_share * steps),
        max_length=None,
        remove_unused_columns=False,
        save_strategy="steps",
        save_steps=settings.checkpoint_every,
        save_total_limit=KEPT_CHECKPOINTS,
        activation_checkpointing=settings.recompute,
        precompute_ref_log_probs=full,  # by us; it keeps trl from loading a model of its own as the reference
    )
    weighed = [pair if settings.confidence_weights else replace(pair, weight=1.0) for pair in pairs]
    whole = TOKEN_MODULES if settings.train_tokens else ()
    config = None
    if not full:
        config = lora_config(backbone.lm, settings.lora_rank, settings.lora_alpha, whole)
    model = unfrozen(backbone) if full else started(backbone.lm, start)
    if config is not None and settings.reference_every and start is None:
        model = get_peft_model(backbone.lm, config)  # then trl keeps a copy, which can move
    trainer = trainer_class()(
        model=model,
        args=arguments,
        data_collator=PairCollator(weighed, backbone.tokens.pad, tuple(carried_ids)),
        train_dataset=Dataset.from_dict({"pair": list(range(len(pairs)))}),
        processing_class=AutoTokenizer.from_pretrained(backbone.folder),
        peft_config=None if start or settings.reference_every else config,
        callbacks=[step_callback(on_step)],
    )
    if settings.reference_every:
        trainer.add_callback(moving_reference(trainer.model, settings.reference_every))
    widen(trainer.model)
    trainer.dpo = settings
    trainer.remove_callback(PrinterCallback)  # it prints every log entry on stdout
    return trainer
