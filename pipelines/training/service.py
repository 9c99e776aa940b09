"""`trivox policy train` as a function: from a recipe to a registered candidate."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trivox.pipelines.training.align import aligner_for
from trivox.pipelines.training.data import TrainingData, find_sets, gather
from trivox.pipelines.training.recipe import TrainingRecipe
from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.progress import bar
from trivox.platform.records import Branch, Decision, PolicyStatus, PolicyVersion, Split
from trivox.platform.registry import register, resolve
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically
from trivox.platform.store.metrics import Metrics
from trivox.policy.backbone import Backbone, locate
from trivox.policy.trainers.common import TrainedAdapter
from trivox.policy.trainers.sft import train_sft

ARTEFACTS = "artefacts"
TRAINING_FILE = "training.json"
"""Beside the weights: what they were made from, and the figures of each step."""
ACTOR = "trainer:sft@1"


@dataclass(frozen=True)
class Run:
    """A recipe with what it names looked up; its id depends on nothing else."""

    recipe: TrainingRecipe
    name: str
    parent: PolicyVersion
    backbone: PolicyVersion
    sets: dict[str, float]
    project: str

    @property
    def id(self) -> str:
        asked = self.recipe.model_dump(mode="json", exclude={"data", "parent"})
        asked["train"].pop("checkpoint_every")
        return derived_id("po", self.project, "sft", self.parent.id, self.sets, asked)

    @property
    def full(self) -> bool:
        return self.recipe.train.lora_rank == 0


def train_policy(ws: Workspace, recipe: TrainingRecipe, name: str) -> dict[str, Any]:
    """Train and register a candidate; returns its account, as in training.json. The same recipe again is the same
    version: a finished one is returned, one that was stopped is gone on with. The figures of each step are in the
    workspace's metrics under the id of the version.

    Raises NotFound for a parent or a set, UsageError for a name that is another's, ConfigError and WorkError as
    `gather` and `train_sft` do.
    """
    run = _look_up(ws, recipe, name)
    folder = ws.root / ARTEFACTS / run.id
    if known := ws.records.find(PolicyVersion, id=run.id):
        return _account(known[0], folder)
    partial = folder.with_suffix(".partial")
    data, trained = _train(ws, run, partial)
    about = _about(run, data, trained)
    write_atomically(partial / TRAINING_FILE, json.dumps(about, indent=1).encode())
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return _account(_register(ws, run, data, trained, folder, about), folder)


def planned(ws: Workspace, recipe: TrainingRecipe, name: str) -> dict[str, Any]:
    """What `train_policy` would do, without loading a model; raises what it would raise before that."""
    run = _look_up(ws, recipe, name)
    known = ws.records.find(PolicyVersion, id=run.id)
    prompts = {one.reference: len(one.prompts(Split.TRAIN)) for one, _ in find_sets(ws, recipe)}
    return {
        "id": run.id,
        "policy": name,
        "algorithm": "sft",
        "parent": run.parent.name,
        "prompts": prompts,
        "status": known[0].status.value if known else "new",
        "settings": recipe.train.model_dump(mode="json"),
    }


def _train(ws: Workspace, run: Run, folder: Path) -> tuple[TrainingData, TrainedAdapter]:
    place = locate(run.backbone.artefact, ws.root)
    backbone = Backbone.load(place)
    data = gather(ws, backbone, run.recipe, aligner_for(backbone))
    del backbone  # the trainer loads its own
    settings, seed = run.recipe.train, run.recipe.seed
    start = None if run.parent.backbone is None else locate(run.parent.artefact, ws.root)
    with bar() as shown:
        task = shown.add_task("train", total=None)

        def on_step(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total)

        def on_figures(done: int, total: int, figures: Mapping[str, float]) -> None:
            Metrics.of(ws).write(run.id, {done - 1: dict(figures)})

        return data, train_sft(
            place, data.rows, settings, folder, seed, start, on_step, data.weights, on_figures
        )


def _look_up(ws: Workspace, recipe: TrainingRecipe, name: str) -> Run:
    """Everything that can be refused before a model is loaded."""
    parent = resolve(ws, recipe.parent)
    backbone = parent if parent.backbone is None else ws.records.get(PolicyVersion, parent.backbone)
    sets = {one.id: weight for one, weight in find_sets(ws, recipe)}
    run = Run(recipe, name, parent, backbone, sets, ws.project)
    if run.full and parent.backbone is not None:
        raise ConfigError(
            f"policy {parent.name} is an adapter and all weights are to be trained: "
            "start from a backbone, or train the adapter further"
        )
    for other in ws.records.find(PolicyVersion, project=ws.project, name=name):
        if other.id != run.id:
            raise UsageError(f"policy {other.id} has the name {name!r}: choose another")
    return run


def _about(run: Run, data: TrainingData, trained: TrainedAdapter) -> dict[str, Any]:
    return {
        "algorithm": "sft",
        "parent": run.parent.id,
        "backbone": run.backbone.id,
        "prompt_sets": run.sets,
        "recipe": run.recipe.model_dump(mode="json"),
        "rows": data.counts,
        "left_out": [asdict(one) for one in data.left_out],
        "aligner": data.aligner,
        "approximate_alignments": data.approximate,
        "steps": trained.steps,
        "metrics": trained.metrics,
    }


def _register(
    ws: Workspace,
    run: Run,
    data: TrainingData,
    trained: TrainedAdapter,
    folder: Path,
    about: dict[str, Any],
) -> PolicyVersion:
    """The candidate and, as a decision, what it was trained on: in one transaction."""
    now = datetime.now(UTC)
    policy = PolicyVersion(
        id=run.id,
        project=ws.project,
        name=run.name,
        branch=_branch(run, data),
        parents={run.parent.id: 1.0},
        backbone=None if run.full else run.backbone.id,
        artefact=str(folder.relative_to(ws.root)),
        artefact_hash=trained.weights_hash,
        round=None,
        status=PolicyStatus.CANDIDATE,
        created_at=now,
    )
    evidence = {name: value for name, value in about.items() if name != "metrics"}
    decision = Decision(
        derived_id("de", "training", policy.id),
        ws.project,
        "training",
        policy.id,
        ACTOR,
        f"{len(data.rows)} rows of {', '.join(run.recipe.data)}, {trained.steps} steps",
        now,
        evidence,
    )
    with ws.records.transaction():
        registered = register(ws, policy)
        ws.records.add(decision)
    return registered


def _branch(run: Run, data: TrainingData) -> Branch | None:
    """None where all branches change: a backbone, or an adapter of several branches."""
    branches = set(data.branches)
    if run.parent.backbone is not None:
        branches.add(run.parent.branch) if run.parent.branch else branches.update(Branch)
    return next(iter(branches)) if len(branches) == 1 and not run.full else None


def _account(policy: PolicyVersion, folder: Path) -> dict[str, Any]:
    about = json.loads((folder / TRAINING_FILE).read_text())
    return {
        "policy": policy.name,
        "id": policy.id,
        "branch": policy.branch.value if policy.branch else None,
        "status": policy.status.value,
        "artefact": policy.artefact,
        "artefact_hash": policy.artefact_hash,
        **about,
    }
