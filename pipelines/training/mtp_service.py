"""`trivox policy train-mtp` as a function: blocks of multi-token prediction for any backbone that hears."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from trivox.pipelines.training.align import aligner_for
from trivox.pipelines.training.data import TrainingData, gather
from trivox.pipelines.training.mtp import MTPBatch, MTPSettings, train_mtp
from trivox.pipelines.training.recipe import TrainingRecipe, Weight
from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.hashing import content_hash, derived_id
from trivox.platform.progress import bar
from trivox.platform.records import Branch, Decision, PolicyStatus, PolicyVersion
from trivox.platform.registry import register, resolve
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone, backbone_hash, locate
from trivox.policy.mtp.blocks import embedded, mtp_hash
from trivox.policy.mtp.decode import note_rounding
from trivox.policy.mtp.loss import HorizonLoss
from trivox.policy.rows import collate
from trivox.policy.trainers.batches import BatchPlan, plan_batches
from trivox.policy.trainers.sft import SFTSettings

ACTOR = "trainer:mtp@1"
ASR_ALONE = SFTSettings(branch_weights={Branch.ASR: 1, Branch.TTS: 0, Branch.REALTIME: 0})


class MTPRecipe(BaseModel):
    """What the blocks are trained on, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: dict[str, Weight] = Field(min_length=1)
    """Prompt sets, `name` or `name@version`; their asr rows are read."""
    parent: str = "nano"
    """The backbone that the blocks are for."""
    seed: int = Field(0, ge=0)
    batch_tokens: int = Field(2400, ge=1)
    train: MTPSettings = MTPSettings()


def train_blocks(ws: Workspace, recipe: MTPRecipe, name: str) -> dict[str, Any]:
    """Train blocks and register the backbone with them as a candidate. The same recipe again is the same version;
    a run that was stopped goes on.

    Raises NotFound for a parent or a set, ConfigError for an adapter as parent and for data without asr rows,
    UsageError for a name that is another's.
    """
    parent = resolve(ws, recipe.parent)
    if parent.backbone is not None:
        raise ConfigError(f"policy {parent.name} is an adapter: train blocks for its backbone")
    asked = recipe.model_dump(mode="json", exclude={"parent"})
    made_id = derived_id("po", ws.project, "mtp", parent.id, asked)
    _check_name(ws, name, made_id)
    folder = ws.root / "artefacts" / made_id
    if not ws.records.find(PolicyVersion, id=made_id):
        losses = _train(ws, recipe, locate(parent.artefact, ws.root), folder)
        _register(ws, recipe, parent, name, made_id, folder, losses)
    policy = ws.records.get(PolicyVersion, made_id)
    return {
        "policy": policy.name,
        "id": policy.id,
        "artefact": policy.artefact,
        "parent": parent.name,
    }


def _check_name(ws: Workspace, name: str, made_id: str) -> None:
    for other in ws.records.find(PolicyVersion, project=ws.project, name=name):
        if other.id != made_id:
            raise UsageError(f"policy {other.id} has the name {name!r}: choose another")


def _train(
    ws: Workspace, recipe: MTPRecipe, place: Path, folder: Path
) -> dict[str, tuple[float, ...]]:
    """The backbone's files with the blocks beside them; the last losses by horizon."""
    backbone = Backbone.load(place)
    asked = TrainingRecipe(data=recipe.data, seed=recipe.seed, train=ASR_ALONE)
    data = gather(ws, backbone, asked, aligner_for(backbone))
    plan = _plan(data, recipe)
    partial = folder.with_suffix(".partial")
    checkpoint = folder.with_name(f"{folder.name}-mtp.pt")
    shutil.copytree(place, partial, dirs_exist_ok=True)
    torch.manual_seed(recipe.seed)
    last: list[HorizonLoss] = []
    with bar() as shown:
        task = shown.add_task("train mtp", total=None)

        def on_step(done: int, total: int, loss: HorizonLoss) -> None:
            last[:] = [loss]
            shown.update(task, completed=done, total=total)

        blocks = train_mtp(
            backbone.lm,
            lambda step: _batch(backbone, data, plan, step),
            recipe.train,
            checkpoint,
            on_step,
        )
    if recipe.train.joint_steps:
        backbone.lm.save_pretrained(partial)
    note_rounding(backbone.lm, blocks, backbone.tokens)
    blocks.save(partial)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    for left in (checkpoint, checkpoint.with_name(f"joint-{checkpoint.name}")):
        left.unlink(missing_ok=True)
    return {"loss": last[0].by_horizon, "hits": last[0].hits} if last else {}


def _plan(data: TrainingData, recipe: MTPRecipe) -> BatchPlan:
    lengths = [len(row) for row in data.rows]
    steps = recipe.train.steps + recipe.train.joint_steps
    epochs = 1 + steps * recipe.batch_tokens // max(1, sum(lengths))
    return plan_batches(
        lengths, data.branches, data.weights, epochs, recipe.batch_tokens, recipe.seed
    )


def _batch(backbone: Backbone, data: TrainingData, plan: BatchPlan, step: int) -> MTPBatch:
    rows = [data.rows[index] for index in plan.batches[step % len(plan)]]
    device = backbone.lm.device
    batch = {name: value.to(device) for name, value in collate(rows, backbone.tokens.pad).items()}
    return MTPBatch(embedded(backbone.lm, batch), batch["attention_mask"], batch["labels"])


def _register(
    ws: Workspace,
    recipe: MTPRecipe,
    parent: PolicyVersion,
    name: str,
    made_id: str,
    folder: Path,
    losses: dict[str, tuple[float, ...]],
) -> None:
    now = datetime.now(UTC)
    policy = PolicyVersion(
        id=made_id,
        project=ws.project,
        name=name,
        branch=None,
        parents={parent.id: 1.0},
        backbone=None,
        artefact=str(folder.relative_to(ws.root)),
        artefact_hash=content_hash([backbone_hash(folder), mtp_hash(folder)]),
        round=None,
        status=PolicyStatus.CANDIDATE,
        created_at=now,
    )
    evidence = {"recipe": recipe.model_dump(mode="json"), "last": losses}
    text = f"{recipe.train.depth} blocks, {recipe.train.steps} steps"
    decision = Decision(
        derived_id("de", "training", made_id),
        ws.project,
        "training",
        made_id,
        ACTOR,
        text,
        now,
        evidence,
    )
    with ws.records.transaction():
        register(ws, policy)
        ws.records.add(decision)
