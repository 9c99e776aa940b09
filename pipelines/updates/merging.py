"""`trivox policy merge` as a function: adapters into a new backbone, measured on all branches before anyone uses
it.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from trivox.pipelines.training.mtp import MTPSettings
from trivox.pipelines.training.mtp_service import MTPRecipe, train_blocks
from trivox.pipelines.updates.evaluating import compare
from trivox.pipelines.updates.promotion import MERGE
from trivox.pipelines.updates.recipe import Section, Weight
from trivox.pipelines.updates.suites import ACCEPTED, Suites
from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.hashing import derived_id, sha256_file
from trivox.platform.records import (
    Branch,
    Decision,
    Evaluation,
    PolicyStatus,
    PolicyVersion,
)
from trivox.platform.registry import promoted, register, reject, resolve
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically
from trivox.policy.backbone import locate
from trivox.policy.resident import ADAPTER_WEIGHTS, BACKBONE_HASH_FILE
from trivox.policy.trainers.merging import Folded, MergeSettings, merge_adapters

ACTOR = "merge@1"


class MergeRecipe(Section):
    """Which adapters, how, and by what the result is measured."""

    adapters: dict[str, float] = Field(min_length=1)
    """Versions and their weights; all of one backbone."""
    merge: MergeSettings = MergeSettings()
    suites: Suites = Suites()
    mtp_data: dict[str, Weight] = Field(default_factory=dict)
    """Prompt sets on which blocks of multi-token prediction are trained anew where they draft worse than their
    margin allows; none: then the merge does not pass."""
    mtp: MTPSettings = MTPSettings()


@dataclass(frozen=True)
class Lookup:
    """A merge with what it names looked up. in_use: what each branch runs on now."""

    recipe: MergeRecipe
    name: str
    adapters: tuple[tuple[PolicyVersion, float], ...]
    backbone: PolicyVersion
    in_use: dict[Branch, PolicyVersion]

    @property
    def id(self) -> str:
        weights = {one.id: weight for one, weight in self.adapters}
        asked = self.recipe.merge.model_dump(mode="json")
        return derived_id("po", self.backbone.project, MERGE, self.backbone.id, weights, asked)


def merge(ws: Workspace, recipe: MergeRecipe, name: str) -> dict[str, Any]:
    """Fold adapters into their backbone, measure the new one on all three branches against what is in use, and
    register it with the verdict: a candidate where nothing got worse than its margin, else rejected. Promoted
    adapters of other branches are carried over to the new backbone as versions of their own, and measured there.

    Nothing is promoted: that is `promote`. Raises NotFound, ConfigError for versions that are no adapters or of
    different backbones and as `merge_adapters` does, UsageError for a name that is another's.
    """
    asked = _look_up(ws, recipe, name)
    merged = _made(ws, asked)
    carried = _carried(ws, asked, merged)
    found = _measured(ws, asked, merged, carried)
    if _drafts_worse(found) and recipe.mtp_data:
        settings = MTPRecipe(data=recipe.mtp_data, parent=merged.id, train=recipe.mtp)
        train_blocks(ws, settings, f"{name}-drafts")
        merged = resolve(ws, f"{name}-drafts")
        carried = _carried(ws, asked, merged)
        found = _measured(ws, asked, merged, carried)
    return _decided(ws, asked, merged, carried, found)


def _look_up(ws: Workspace, recipe: MergeRecipe, name: str) -> Lookup:
    adapters = tuple((resolve(ws, one), weight) for one, weight in recipe.adapters.items())
    for one, _ in adapters:
        if one.backbone is None:
            raise ConfigError(f"policy {one.name} is a backbone: name adapters to fold into theirs")
    backbones = {one.backbone: one.name for one, _ in adapters if one.backbone}
    if len(backbones) > 1:
        shown = ", ".join(f"{which} on {backbone}" for backbone, which in backbones.items())
        raise ConfigError(f"adapters of one merge have one backbone, given are {shown}")
    backbone = ws.records.get(PolicyVersion, next(iter(backbones)))
    in_use = {branch: promoted(ws, branch) or backbone for branch in Branch}
    asked = Lookup(recipe, name, adapters, backbone, in_use)
    for other in ws.records.find(PolicyVersion, project=ws.project, name=name):
        if other.id != asked.id:
            raise UsageError(f"policy {other.id} has the name {name!r}: choose another")
    _check_files(ws, adapters)
    return asked


def _check_files(ws: Workspace, adapters: Sequence[tuple[PolicyVersion, float]]) -> None:
    for one, _ in adapters:
        file = locate(one.artefact, ws.root) / ADAPTER_WEIGHTS
        if file.exists() and sha256_file(file) != one.artefact_hash:
            raise ConfigError(
                f"policy {one.name}: {file} does not have the hash that is registered: it was changed or cut "
                "short: "
                "bring it back, or train it again"
            )


def _made(ws: Workspace, asked: Lookup) -> PolicyVersion:
    """The new backbone, registered; the same merge again is the same version."""
    if known := ws.records.find(PolicyVersion, id=asked.id):
        return known[0]
    folder = ws.root / "artefacts" / asked.id
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    folded = [Folded(locate(one.artefact, ws.root), weight) for one, weight in asked.adapters]
    place = locate(asked.backbone.artefact, ws.root)
    hash_ = merge_adapters(place, folded, asked.recipe.merge, partial)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    parents = {one.id: weight for one, weight in asked.adapters} | {asked.backbone.id: 1.0}
    return _register(ws, asked.id, asked.name, None, parents, None, folder, hash_)


def _carried(
    ws: Workspace, asked: Lookup, merged: PolicyVersion
) -> dict[Branch, tuple[PolicyVersion, PolicyVersion]]:
    """Adapters in use that were not folded in, each with its copy on the new backbone."""
    folded = {one.id for one, _ in asked.adapters}
    found = {}
    for branch, one in asked.in_use.items():
        if one.backbone is not None and one.id not in folded:
            found[branch] = one, _rebased(ws, one, merged)
    return found


def _rebased(ws: Workspace, one: PolicyVersion, merged: PolicyVersion) -> PolicyVersion:
    """The same changes on another backbone: a version of its own, measured before it is used."""
    id_ = derived_id("po", ws.project, "rebased", one.id, merged.id)
    if known := ws.records.find(PolicyVersion, id=id_):
        return known[0]
    folder = ws.root / "artefacts" / id_
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(locate(one.artefact, ws.root), partial)
    from trivox.policy.backbone import backbone_hash

    below = backbone_hash(locate(merged.artefact, ws.root))
    write_atomically(partial / BACKBONE_HASH_FILE, f"{below}\n".encode())
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    parents = {one.id: 1.0, merged.id: 1.0}
    name = f"{one.name}-on-{merged.name}"
    return _register(ws, id_, name, one.branch, parents, merged.id, folder, one.artefact_hash)


def _measured(
    ws: Workspace,
    asked: Lookup,
    merged: PolicyVersion,
    carried: Mapping[Branch, tuple[PolicyVersion, PolicyVersion]],
) -> dict[Branch, Evaluation]:
    """Each branch as it would run on the new backbone, against how it runs now."""
    return {
        branch: compare(
            ws,
            carried[branch][1] if branch in carried else merged,
            asked.in_use[branch],
            branch,
            asked.recipe.suites,
        )
        for branch in Branch
    }


def _drafts_worse(found: Mapping[Branch, Evaluation]) -> bool:
    change = found[Branch.ASR].results["changes"].get(ACCEPTED)
    return change is not None and not change["non_inferior"]


def _decided(
    ws: Workspace,
    asked: Lookup,
    merged: PolicyVersion,
    carried: Mapping[Branch, tuple[PolicyVersion, PolicyVersion]],
    found: Mapping[Branch, Evaluation],
) -> dict[str, Any]:
    faults = [
        f"{branch.value}: {fault}"
        for branch, one in found.items()
        for fault in one.results["inferior"]
    ]
    evidence = {
        "passed": not faults,
        "faults": faults,
        "folded": {one.id: weight for one, weight in asked.adapters},
        "carried": {old.id: new.id for old, new in carried.values()},
        "against": {branch.value: one.id for branch, one in asked.in_use.items()},
        "evaluations": {branch.value: one.id for branch, one in found.items()},
        "changes": {branch.value: one.results["changes"] for branch, one in found.items()},
        "recipe": asked.recipe.model_dump(mode="json"),
    }
    names = ", ".join(one.name for one, _ in asked.adapters)
    told = "; ".join(faults) or f"{names} folded in; non-inferior on all branches"
    number = len(ws.records.find(Decision, subject=merged.id))
    with ws.records.transaction():
        ws.records.add(
            Decision(
                derived_id("de", MERGE, merged.id, number),
                ws.project,
                MERGE,
                merged.id,
                ACTOR,
                told,
                datetime.now(UTC),
                evidence,
            )
        )
        current = ws.records.get(PolicyVersion, merged.id)
        if faults and current.status is PolicyStatus.CANDIDATE:
            reject(ws, current, actor=ACTOR, reason=told, evidence={"faults": faults})
    policy = ws.records.get(PolicyVersion, merged.id)
    about = {"policy": policy.name, "id": policy.id, "status": policy.status.value}
    return about | {"artefact": policy.artefact} | evidence


def _register(
    ws: Workspace,
    id_: str,
    name: str,
    branch: Branch | None,
    parents: dict[str, float],
    backbone: str | None,
    folder: Path,
    hash_: str,
) -> PolicyVersion:
    return register(
        ws,
        PolicyVersion(
            id=id_,
            project=ws.project,
            name=name,
            branch=branch,
            parents=parents,
            backbone=backbone,
            artefact=str(folder.relative_to(ws.root)),
            artefact_hash=hash_,
            round=None,
            status=PolicyStatus.CANDIDATE,
            created_at=datetime.now(UTC),
        ),
    )
