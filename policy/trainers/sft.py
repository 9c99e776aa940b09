"""Supervised fine-tuning of the shared model on rows of any branch, on `trl.SFTTrainer`.

TRL carries audio: its fused head calls the base model with every key of the batch, and there the audio is merged;
its data set is of row numbers and the collator gives the rows themselves, whose features Arrow would only copy.
What is ours: batches by tokens instead of by rows, each of one branch, and figures of the loss for each branch.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from transformers import set_seed

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import content_hash, sha256_file
from trivox.platform.records import Branch
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.resident import ADAPTER_WEIGHTS
from trivox.policy.rows import Row
from trivox.policy.trainers.batches import BatchPlan, branch_of, plan_batches
from trivox.policy.trainers.checkpoints import claim, latest, sweep
from trivox.policy.trainers.common import (
    OnFigures,
    TrainedAdapter,
    check_finite,
    check_start,
    figures_callback,
    numbers,
    save_trained,
)
from trivox.policy.trainers.sft_trainer import Job, make_trainer


class SFTSettings(BaseModel):
    """How a policy is trained on what it should have said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = Field(3e-4, gt=0)
    """Of AdamW at its highest; it rises over the warm-up and falls as a cosine. All weights want about a tenth."""
    epochs: int = Field(3, ge=1)
    """How often every row is seen, times its weight."""
    batch_tokens: int = Field(4096, ge=1)
    """Tokens of a batch, padding included; a row that is longer is a batch of its own."""
    accumulation: int = Field(1, ge=1)
    """Batches in one step: their tokens count as if they were one batch, whatever their branches."""
    branch_weights: dict[Branch, float] = Field(default_factory=dict)
    """How often rows of a branch are seen in an epoch: 1 for a branch that is not named, 0 leaves it out."""
    lora_rank: int = Field(16, ge=0)
    """Rank of the update of each linear layer of the language model (Hu et al. 2021); 0: all weights train."""
    lora_alpha: int = Field(32, ge=1)
    """The update is scaled by alpha / rank."""
    train_adapter: bool = True
    """Whether the audio adapter is trained too, where the backbone has one; the encoder never is."""
    train_tokens: bool = False
    """With LoRA: whether the rows of the tokens are trained too, as a model with new audio tokens needs it."""
    warmup_share: float = Field(0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(0.0, ge=0)
    """Of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """The gradient is scaled down to this norm."""
    checkpoint_every: int = Field(200, ge=1)
    """Steps between checkpoints, from which a run that was stopped goes on."""
    recompute: bool = False
    """Whether activations are computed again in the backward pass: less memory, a third more time."""


def train_sft(
    backbone_folder: Path,
    rows: Sequence[Row],
    settings: SFTSettings,
    folder: Path,
    seed: int,
    start: Path | None = None,
    on_step: Callable[[int, int], None] = lambda done, total: None,
    weights: Sequence[float] | None = None,
    on_figures: OnFigures | None = None,
) -> TrainedAdapter:
    """Train on the rows; folder gets a LoRA adapter (with the audio adapter in it), or with lora_rank 0 a whole
    backbone. weights: how often each row is seen in an epoch, 1 if not given.

    start: an adapter that is trained further, at its own rank and with the modules that it holds. A folder with
    checkpoints of the same rows, settings and seed is gone on with, to the same weights as without the stop.
    Repeatable: the same rows, settings and seed give the same weights, bit for bit, on one machine.

    metrics: for each step loss (mean over its tokens), learning_rate, grad_norm, and for each branch in it
    `asr/loss`, `asr/accuracy` (of the likeliest token), `asr/entropy` (of the model, in nats), `asr/tokens`.

    Raises ConfigError for no rows, for rows that the backbone cannot take, each counted and the first named
    (longer than its context, nothing that a loss covers, audio that does not fit its placeholders), for
    checkpoints of another run, a start of another backbone or one with lora_rank 0; NotFound for a start that is
    not there; WorkError for a loss or a weight that is not finite.
    """
    check_start("SFT", start, backbone_folder, settings.lora_rank)
    backbone = Backbone.load(backbone_folder)
    check_rows(backbone, rows)
    plan = plan_rows(backbone, rows, settings, seed, weights)
    claim(folder, _fingerprint(backbone_folder, rows, plan, settings, seed, start))
    set_seed(seed)
    with without_renaming_notices():
        job = Job(backbone, rows, plan, settings, folder, seed, start, on_step)
        trainer = make_trainer(job)
        if on_figures is not None:
            trainer.add_callback(figures_callback(on_figures))
        result = trainer.train(resume_from_checkpoint=latest(folder))
    check_finite("SFT", result.training_loss, trainer.model)
    weights_hash = save_trained(trainer.model, backbone, settings.lora_rank == 0, folder)
    sweep(folder)
    metrics = [_kept(entry) for entry in trainer.state.log_history if "loss" in entry]
    return TrainedAdapter(folder, weights_hash, trainer.state.global_step, metrics)


def check_rows(backbone: Backbone, rows: Sequence[Row], names: Sequence[str] = ()) -> None:
    """Raises ConfigError as `train_sft` says; names: what people know the rows by."""
    if not rows:
        raise ConfigError("SFT: there are no rows: give at least 1")
    faults = [
        (index, fault) for index, row in enumerate(rows) if (fault := fault_of(backbone, row))
    ]
    if faults:
        index, fault = faults[0]
        name = names[index] if names else f"row {index}"
        raise ConfigError(
            f"SFT: {len(faults)} of {len(rows)} rows cannot be trained on; the first, {name}: {fault}"
        )


def fault_of(backbone: Backbone, row: Row) -> str | None:
    """Why the backbone cannot be trained on a row, and what to do; None if it can."""
    limit = backbone.position_limit
    if len(row) > limit:
        return (
            f"has {len(row)} tokens and the model's context is {limit}: shorten it or leave it out"
        )
    if not any(row.loss):
        return "has no token that the loss covers: give it a completion"
    branch_of(backbone.tokens, row)
    if row.audio and not backbone.hears:
        return f"has {len(row.audio)} clips and the backbone does not hear: use one with an encoder"
    placeholders = row.prompt.count(backbone.tokens.audio)
    embeddings = sum(backbone.embeddings(clip) for clip in row.audio)
    if placeholders != embeddings:
        return (
            f"has {placeholders} audio placeholders and its clips make {embeddings} embeddings: "
            "write one placeholder for each"
        )
    return None


def plan_rows(
    backbone: Backbone,
    rows: Sequence[Row],
    settings: SFTSettings,
    seed: int,
    weights: Sequence[float] | None = None,
) -> BatchPlan:
    """The batches of a run; raises as `plan_batches` does, and ConfigError for not one weight for each row."""
    given = [1.0] * len(rows) if weights is None else list(weights)
    if len(given) != len(rows):
        raise ConfigError(f"SFT: {len(rows)} rows and {len(given)} weights: give one for each row")
    branches = [branch_of(backbone.tokens, row) for row in rows]
    shares = [
        weight * settings.branch_weights.get(branch, 1.0)
        for weight, branch in zip(given, branches, strict=True)
    ]
    lengths = [len(row) for row in rows]
    return plan_batches(lengths, branches, shares, settings.epochs, settings.batch_tokens, seed)


def _fingerprint(
    backbone_folder: Path,
    rows: Sequence[Row],
    plan: BatchPlan,
    settings: SFTSettings,
    seed: int,
    start: Path | None,
) -> str:
    """What a run's result depends on, as a hash."""
    content = [
        [
            row.prompt,
            row.completion,
            row.loss,
            [sha256(clip.tobytes()).hexdigest() for clip in row.audio],
        ]
        for row in rows
    ]
    return content_hash(
        [
            backbone_hash(backbone_folder),
            [content_hash(row) for row in content],
            [list(batch) for batch in plan],
            settings.model_dump(mode="json", exclude={"checkpoint_every"}),
            seed,
            None if start is None else sha256_file(start / ADAPTER_WEIGHTS),
        ]
    )


def _kept(entry: dict[str, Any]) -> dict[str, float]:
    """Ours, for TRL's counts begin again after a stop and its means weigh each batch the same."""
    named = ("step", "loss", "learning_rate", "grad_norm")
    return {key: value for key, value in numbers(entry).items() if key in named or "/" in key}
