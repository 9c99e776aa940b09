"""`trivox policy train --algorithm grpo|ppo|dpo` as a function: from a recipe to a registered candidate.

A round's train stage calls `update` too: the same recipe is the same version, whoever asks.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trivox.pipelines.updates.building import preference_job, rewarded_job
from trivox.pipelines.updates.plan import Plan, plan_of
from trivox.pipelines.updates.pooling import Book, Workers, unbooked
from trivox.pipelines.updates.recipe import UpdateRecipe
from trivox.pipelines.updates.stops import note_stop, stop_of
from trivox.pipelines.updates.telemetry import Telemetry
from trivox.platform.hashing import derived_id
from trivox.platform.progress import bar
from trivox.platform.records import Decision, PolicyStatus, PolicyVersion
from trivox.platform.registry import register
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically
from trivox.policy.trainers.common import TrainedAdapter
from trivox.policy.trainers.dpo import train_dpo
from trivox.policy.trainers.rl.run import train_grpo, train_ppo
from trivox.policy.trainers.rl.settings import GRPOSettings, PPOSettings
from trivox.policy.trainers.rl.watchers import WatcherStop

ARTEFACTS = "artefacts"
TRAINING_FILE = "training.json"


def update(
    ws: Workspace,
    recipe: UpdateRecipe,
    name: str,
    *,
    round: str | None = None,
    check: Callable[[], None] = lambda: None,
    book: Book = unbooked,
) -> dict[str, Any]:
    """Update a branch and register the candidate; returns its account, as in training.json. The same recipe again
    is the same version: a finished one is returned, one that was broken off is gone on with.

    round: the id of the round that asks. check: called after each step, when its figures are stored; what it
    raises ends the run, which goes on from its last checkpoint. book: takes what the units of `[workers]` cost,
    before check is called. The figures of each step are in the workspace's metrics under the id of the version
    (`trivox.platform.store.metrics`).

    Raises as `plan_of`, before a model is loaded, and as the trainers do. WatcherStop, also for a recipe that a
    watcher stopped before: the reason is kept as a Decision of kind "stopped" on the id, and nothing is
    registered.
    """
    plan = plan_of(ws, recipe, name)
    folder = ws.root / ARTEFACTS / plan.id
    if known := ws.records.find(PolicyVersion, id=plan.id):
        return _account(known[0], folder)
    if stopped := stop_of(ws, plan.id):
        raise WatcherStop(stopped)
    partial = folder.with_suffix(".partial")
    try:
        trained = _train(ws, plan, partial, check, book)
    except WatcherStop as stop:
        note_stop(ws, plan.id, stop.stop, str(stop), {"policy": plan.name} | _made_of(plan))
        shutil.rmtree(partial, ignore_errors=True)
        raise
    about = _about(plan, trained)
    write_atomically(partial / TRAINING_FILE, json.dumps(about, indent=1).encode())
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return _account(_register(ws, plan, trained, folder, about, round), folder)


def dry_run(ws: Workspace, recipe: UpdateRecipe, name: str) -> dict[str, Any]:
    """What `update` would do; raises what it would raise before a model is loaded."""
    plan = plan_of(ws, recipe, name)
    known = ws.records.find(PolicyVersion, id=plan.id)
    stopped = stop_of(ws, plan.id)
    return plan.told() | {
        "status": known[0].status.value if known else "stopped" if stopped else "new"
    }


def _train(
    ws: Workspace, plan: Plan, folder: Path, check: Callable[[], None], book: Book
) -> TrainedAdapter:
    recipe = plan.recipe
    with Telemetry(ws, plan.id, plan.name, recipe.telemetry) as telemetry, bar() as shown:
        task = shown.add_task(f"{recipe.algorithm} {recipe.branch.value}", total=None)

        def on_step(done: int, total: int, figures: Mapping[str, float]) -> None:
            if figures:
                telemetry.write(done - 1, figures)
            label = f"{recipe.algorithm} {_headline(figures)}"
            shown.update(task, completed=done, total=total, description=label)
            check()

        if recipe.algorithm == "dpo":
            asked = preference_job(ws, plan)
            return train_dpo(**asked, folder=folder, on_figures=on_step)
        with Workers(recipe.workers, book) as workers:
            job = rewarded_job(ws, plan, folder, on_step, workers)
            settings = recipe.gradient
            if isinstance(settings, PPOSettings):
                return train_ppo(job, settings)
            assert isinstance(settings, GRPOSettings)
            return train_grpo(job, settings)


def _headline(figures: Mapping[str, float]) -> str:
    name = next((one for one in ("reward", "rewards/margins", "loss") if one in figures), None)
    return f"{name} {figures[name]:.3f}" if name else ""


def _made_of(plan: Plan) -> dict[str, Any]:
    composition = None if plan.composition is None else plan.composition.model_dump(mode="json")
    return {
        "algorithm": plan.recipe.algorithm,
        "parent": plan.parent.id,
        "backbone": plan.backbone.id,
        "prompt_set": plan.prompts.id if plan.prompts else None,
        "preference_sets": [one.id for one in plan.preferences],
        "composition": composition,
        "watchers": list(plan.watchers),
        "recipe": plan.recipe.model_dump(mode="json"),
    }


def _about(plan: Plan, trained: TrainedAdapter) -> dict[str, Any]:
    return _made_of(plan) | {"steps": trained.steps, "metrics": trained.metrics}


def _register(
    ws: Workspace,
    plan: Plan,
    trained: TrainedAdapter,
    folder: Path,
    about: dict[str, Any],
    round: str | None,
) -> PolicyVersion:
    """The candidate and, as a decision, what it was made of: in one transaction."""
    now = datetime.now(UTC)
    policy = PolicyVersion(
        id=plan.id,
        project=ws.project,
        name=plan.name,
        branch=None if plan.full else plan.recipe.branch,
        parents={plan.parent.id: 1.0},
        backbone=None if plan.full else plan.backbone.id,
        artefact=str(folder.relative_to(ws.root)),
        artefact_hash=trained.weights_hash,
        round=round,
        status=PolicyStatus.CANDIDATE,
        created_at=now,
    )
    evidence = {name: value for name, value in about.items() if name != "metrics"}
    decision = Decision(
        derived_id("de", "training", policy.id),
        ws.project,
        "training",
        policy.id,
        f"trainer:{plan.recipe.algorithm}@1",
        f"{plan.recipe.algorithm} on {plan.recipe.branch.value}, {trained.steps} steps",
        now,
        evidence,
    )
    with ws.records.transaction():
        registered = register(ws, policy)
        ws.records.add(decision)
    return registered


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
