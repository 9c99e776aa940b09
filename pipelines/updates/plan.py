"""Everything about an update that can be known, and refused, before a model is loaded."""

import math
from dataclasses import dataclass
from typing import Any

from trivox.pipelines.rounds.finding import find_prompt_set
from trivox.pipelines.updates.preferences import find_preferences
from trivox.pipelines.updates.recipe import UpdateRecipe
from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.hashing import derived_id, sha256_file
from trivox.platform.records import (
    Branch,
    PolicyVersion,
    PreferenceSet,
    Prompt,
    PromptSet,
    Split,
)
from trivox.platform.registry import resolve
from trivox.platform.scoring import check_families
from trivox.platform.store import Workspace
from trivox.policy.backbone import backbone_hash, locate
from trivox.policy.resident import ADAPTER_WEIGHTS, check_adapter
from trivox.reward_models.composition import CompositionConfig, load
from trivox.reward_models.registry import families


@dataclass(frozen=True)
class Plan:
    """A recipe with what it names looked up; the id of the version depends on nothing else.

    train, held_out: prompts to learn from and those that are only watched. composition: None where its weight is
    0, and for dpo.
    """

    recipe: UpdateRecipe
    name: str
    project: str
    parent: PolicyVersion
    backbone: PolicyVersion
    prompts: PromptSet | None
    preferences: tuple[PreferenceSet, ...]
    composition: CompositionConfig | None
    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        asked = self.recipe.model_dump(
            mode="json", exclude={"parent", "prompts", "preferences", "telemetry", "workers"}
        )
        asked |= {
            table: settings and settings.identity()
            for table, settings in (
                ("grpo", self.recipe.grpo), ("ppo", self.recipe.ppo), ("dpo", self.recipe.dpo),
            )
        }  # fmt: skip
        asked["reward"].pop("composition")  # what is in it counts, not where it lies
        composed = None if self.composition is None else self.composition.model_dump(mode="json")
        named = [self.prompts and self.prompts.id, [one.id for one in self.preferences]]
        return derived_id("po", self.project, "update", self.parent.id, named, composed, asked)

    @property
    def full(self) -> bool:
        """Whether all weights train: then a backbone is made, and no adapter."""
        recipe = self.recipe
        settings = recipe.preference_settings if recipe.algorithm == "dpo" else recipe.gradient
        return settings.lora_rank == 0

    @property
    def watchers(self) -> tuple[str, ...]:
        """Scorers of the held-out answers."""
        watch = self.recipe.watch
        if not watch.prompts:
            return ()
        if watch.scorers is not None:
            return watch.scorers
        if self.recipe.branch is Branch.ASR:
            return ("transcript-errors",)
        if self.recipe.algorithm == "dpo":
            return load(self.recipe.composition).evaluators if self.held_out else ()
        return () if self.composition is None else self.composition.evaluators

    def told(self) -> dict[str, Any]:
        """For people who asked what would be done."""
        recipe = self.recipe
        about: dict[str, Any] = {
            "id": self.id,
            "policy": self.name,
            "algorithm": recipe.algorithm,
            "branch": recipe.branch.value,
            "parent": self.parent.name,
            "backbone": self.backbone.name,
        }
        if recipe.algorithm == "dpo":
            settings, count = recipe.preference_settings, self.pairs
            steps = settings.epochs * math.ceil(count / settings.batch_size)
            about |= {"preferences": count, "steps": steps, "settings": settings.model_dump()}
            return about | {"held_out": len(self.held_out), "watchers": list(self.watchers)}
        gradient = recipe.gradient
        return about | {
            "prompts": len(self.train),
            "held_out": len(self.held_out),
            "steps": gradient.steps,
            "rollouts": gradient.steps * gradient.prompts * gradient.samples,
            "scorers": [] if self.composition is None else self.composition.scorers,
            "watchers": list(self.watchers),
            "bounds": [one.model_dump(exclude_none=True) for one in recipe.watch.bounds],
            "settings": gradient.model_dump(),
        }

    @property
    def pairs(self) -> int:
        return sum(len(one.preferences) for one in self.preferences)


def plan_of(ws: Workspace, recipe: UpdateRecipe, name: str) -> Plan:
    """Raises NotFound for a parent, set or composition that is not there; ConfigError for a parent of another
    branch, with a file missing, or that is an adapter where all weights are to be trained, an empty preference
    set, prompts of another branch, watchers of a family that rewards; UsageError for a name that is another's."""
    parent = resolve(ws, recipe.parent)
    backbone = parent if parent.backbone is None else ws.records.get(PolicyVersion, parent.backbone)
    _check_parent(ws, recipe, parent, backbone)
    prompts = None if recipe.prompts is None else find_prompt_set(ws, recipe.prompts)
    preferences = tuple(find_preferences(ws, recipe.preferences))
    train, held_out = _split(ws, recipe, prompts)
    composition = _composition(recipe)
    plan = Plan(
        recipe,
        name,
        ws.project,
        parent,
        backbone,
        prompts,
        preferences,
        composition,
        train,
        held_out,
    )
    _check_full(plan)
    _check_watchers(plan)
    for other in ws.records.find(PolicyVersion, project=ws.project, name=name):
        if other.id != plan.id:
            raise UsageError(f"policy {other.id} has the name {name!r}: choose another")
    return plan


def _check_parent(
    ws: Workspace, recipe: UpdateRecipe, parent: PolicyVersion, backbone: PolicyVersion
) -> None:
    if parent.backbone is None:
        return
    if parent.branch is not recipe.branch:
        of = parent.branch.value if parent.branch else "all branches"
        raise ConfigError(
            f"policy {parent.name} is an adapter of {of} and {recipe.branch.value} is to be updated: start "
            "from an "
            f"adapter of {recipe.branch.value}, or from its backbone {backbone.name}"
        )
    folder = locate(parent.artefact, ws.root)
    check_adapter(folder, backbone_hash(locate(backbone.artefact, ws.root)))
    found = sha256_file(folder / ADAPTER_WEIGHTS)
    if found != parent.artefact_hash:
        raise ConfigError(
            f"policy {parent.name}: {folder / ADAPTER_WEIGHTS} has hash {found[:12]}, registered is "
            f"{parent.artefact_hash[:12]}: the file was changed or cut short: bring it back, or train it again"
        )


def _check_full(plan: Plan) -> None:
    if plan.full and plan.parent.backbone is not None:
        raise ConfigError(
            f"policy {plan.parent.name} is an adapter and all weights are to be trained (lora_rank 0): start from "
            "a backbone, or train the adapter further"
        )


def _split(
    ws: Workspace, recipe: UpdateRecipe, prompts: PromptSet | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Prompts of the training split, and those that are held out of it where there is no validation split; dpo
    trains on none."""
    if prompts is None:
        return (), ()
    train, held = prompts.prompts(Split.TRAIN), prompts.prompts(Split.VALIDATION)
    wanted = recipe.watch.prompts
    if recipe.algorithm == "dpo":
        return (), _validation(ws, recipe, prompts)[:wanted]
    if not held and wanted:
        kept = min(wanted, len(train) // 2)
        train, held = train[: len(train) - kept], train[len(train) - kept :]
    if not train:
        raise ConfigError(
            f"prompt set {prompts.reference} has no prompt to learn from: its training split is empty"
        )
    _check_branch(ws, recipe, prompts, train[0])
    return tuple(train), tuple(held[:wanted])


def _validation(ws: Workspace, recipe: UpdateRecipe, prompts: PromptSet) -> tuple[str, ...]:
    held = prompts.prompts(Split.VALIDATION)
    if not held:
        raise ConfigError(
            f"prompt set {prompts.reference} has no validation split to answer while dpo learns: import it with "
            "one, or leave prompts out"
        )
    _check_branch(ws, recipe, prompts, held[0])
    return tuple(held)


def _check_branch(ws: Workspace, recipe: UpdateRecipe, prompts: PromptSet, one: str) -> None:
    found = ws.records.get(Prompt, one).branch
    if found is not recipe.branch:
        raise ConfigError(
            f"prompt set {prompts.reference} is of branch {found.value} and {recipe.branch.value} is to be "
            "updated: name another set"
        )


def _composition(recipe: UpdateRecipe) -> CompositionConfig | None:
    if recipe.algorithm == "dpo" or not recipe.reward.weight:
        return None
    found = load(recipe.composition)
    if found.branch is not recipe.branch:
        raise ConfigError(
            f"composition {found.name!r} is of branch {found.branch.value} and {recipe.branch.value} is to be "
            "updated: name another one in reward.composition"
        )
    return found


def _check_watchers(plan: Plan) -> None:
    watching = families(plan.watchers)
    # Of a transcript the truth is known: what is held out there are the prompts.
    if plan.composition is not None and plan.recipe.branch is not Branch.ASR:
        check_families(families(plan.composition.scorers), watching)
