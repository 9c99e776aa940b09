"""Training of the blocks of multi-token prediction, in the two stages of StepAudio 2.5 (arXiv 2605.23463, 4).

Stage A trains the blocks alone on a language model that stays as it is. Stage B, off unless asked for, calibrates
blocks, language model and adapter together at a low learning rate; the encoder never trains.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from transformers import PreTrainedModel

from trivox.pipelines.nano.checkpoint import resume, save_checkpoint
from trivox.pipelines.nano.optimisers import MuonWithAdamW
from trivox.platform.errors import WorkError
from trivox.policy.mtp.blocks import DEPTH, MTPBlocks
from trivox.policy.mtp.loss import DECAY, HorizonLoss, main_loss, mtp_loss


class MTPSettings(BaseModel):
    """How the blocks are trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(DEPTH, ge=1, le=16)
    """Blocks: tokens drafted beyond the main branch's own."""
    steps: int = Field(500, ge=0)
    """Of stage A: the blocks alone."""
    learning_rate: float = Field(2e-3, gt=0)
    """Of stage A at its highest, for Muon and AdamW alike."""
    joint_steps: int = Field(0, ge=0)
    """Of stage B: blocks, language model and adapter together; 0 leaves the language model as it is."""
    joint_learning_rate: float = Field(2e-5, gt=0)
    decay: float = Field(DECAY, gt=0, le=1)
    """Weight of a horizon beside the one before it."""
    warm_up: int = Field(20, ge=0)
    """Steps in which the learning rate of a stage rises."""
    bf16: bool = True
    """bfloat16 matrix products in training; the blocks are kept in the dtype of the language model."""
    checkpoint_every: int = Field(100, ge=1)


@dataclass(frozen=True)
class MTPBatch:
    """embeds: what the language model reads, float [B, L, H], padded right; mask [B, L] with 1 for real positions;
    labels int64 [B, L] aligned with the tokens, -100 where no loss is."""

    embeds: Tensor
    mask: Tensor
    labels: Tensor


Batches = Callable[[int], MTPBatch]
"""The batch of a step; it is called with gradients on in stage B only."""
Watcher = Callable[[int, int, HorizonLoss], None]
"""Told the steps done, their total and the last loss."""


def train_mtp(
    lm: PreTrainedModel,
    batches: Batches,
    settings: MTPSettings,
    checkpoint: Path,
    on_step: Watcher,
) -> MTPBlocks:
    """The trained blocks, in eval mode; stage B changes the language model in place. Resumes from its checkpoint.

    Raises WorkError for a loss that is not finite, ConfigError for a checkpoint of another shape and as
    `decoder_of` does.
    """
    lm.eval().requires_grad_(False)
    blocks = MTPBlocks(lm, settings.depth).train()
    total = settings.steps + settings.joint_steps
    alone = nn.ModuleDict({"mtp": blocks})
    if settings.steps:
        _stage(
            _Stage(lm, blocks, alone, 0, settings.steps, settings.learning_rate),
            batches,
            settings,
            checkpoint,
            total,
            on_step,
        )
    if settings.joint_steps:
        _stage(_joint(lm, blocks, settings), batches, settings, _beside(checkpoint), total, on_step)
        lm.requires_grad_(False)
    return blocks.requires_grad_(False).eval()


@dataclass(frozen=True)
class _Stage:
    """trained: what learns; the steps of the stage begin at `first`."""

    lm: PreTrainedModel
    blocks: MTPBlocks
    trained: nn.Module
    first: int
    steps: int
    learning_rate: float

    @property
    def joint(self) -> bool:
        return "lm" in dict(self.trained.named_children())


def _joint(lm: PreTrainedModel, blocks: MTPBlocks, settings: MTPSettings) -> _Stage:
    lm.requires_grad_(True)  # TrivoxModel keeps its encoder frozen
    both = nn.ModuleDict({"mtp": blocks, "lm": lm})
    return _Stage(
        lm, blocks, both, settings.steps, settings.joint_steps, settings.joint_learning_rate
    )


def _beside(checkpoint: Path) -> Path:
    return checkpoint.with_name(f"joint-{checkpoint.name}")


def _stage(
    stage: _Stage,
    batches: Batches,
    settings: MTPSettings,
    checkpoint: Path,
    total: int,
    on_step: Watcher,
) -> None:
    optimiser = MuonWithAdamW(stage.trained, stage.learning_rate)
    done = resume(checkpoint, stage.trained, optimiser)
    for step in range(done, stage.steps):
        optimiser.scale(_share(step, stage.steps, settings.warm_up))
        found, loss = _losses(stage, batches, settings, stage.first + step)
        if not math.isfinite(float(loss.detach())):
            raise WorkError(f"mtp: the loss became {float(loss.detach())}: lower the learning rate")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(stage.trained.parameters(), 1.0)
        optimiser.step()
        on_step(stage.first + step + 1, total, found)
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == stage.steps:
            save_checkpoint(checkpoint, stage.trained, optimiser, step + 1, float(loss.detach()))


def _losses(
    stage: _Stage, batches: Batches, settings: MTPSettings, step: int
) -> tuple[HorizonLoss, Tensor]:
    """The loss by horizon, and what is minimised: in stage B with that of the main branch."""
    device = stage.lm.device.type
    with torch.autocast(device, torch.bfloat16, enabled=settings.bf16):
        with torch.set_grad_enabled(stage.joint):
            batch = batches(step)
            hidden = stage.lm.base_model(
                inputs_embeds=batch.embeds, attention_mask=batch.mask, use_cache=False
            ).last_hidden_state
        head = stage.lm.get_output_embeddings()
        found = mtp_loss(stage.blocks(hidden, batch.embeds), head, batch.labels, settings.decay)
        if not stage.joint:
            return found, found.total
        return found, found.total + main_loss(hidden, head, batch.labels)


def _share(step: int, steps: int, warm_up: int) -> float:
    """Of the highest learning rate: a rise, then a cosine down to a fiftieth."""
    warm = min(1.0, (step + 1) / max(1, warm_up))
    return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
