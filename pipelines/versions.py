"""Where a policy version lies: found by name in a workspace, or packaged where there is none."""

from dataclasses import dataclass
from pathlib import Path

from trivox.pipelines.workspaces import packaged_nano
from trivox.platform.errors import NotFound
from trivox.platform.records import PolicyVersion
from trivox.platform.registry import resolve
from trivox.platform.store import Workspace
from trivox.policy.backbone import locate


@dataclass(frozen=True)
class FoundVersion:
    """backbone and adapter: their folders; no adapter for the backbone itself."""

    policy: PolicyVersion
    backbone: Path
    adapter: Path | None


def find_version(root: Path, name: str) -> FoundVersion:
    """Of the workspace at root; without a workspace only the packaged model can be named.

    Raises NotFound, and UsageError for the beginning of several ids.
    """
    try:
        ws = Workspace.open(root)
    except NotFound:
        policy = packaged_nano("default")
        if name not in ("nano", policy.name, policy.id):
            raise
        return FoundVersion(policy, locate(policy.artefact, root), None)
    with ws:
        policy = resolve(ws, name)
        if policy.backbone is None:
            return FoundVersion(policy, locate(policy.artefact, ws.root), None)
        backbone = ws.records.get(PolicyVersion, policy.backbone)
        below, adapter = locate(backbone.artefact, ws.root), locate(policy.artefact, ws.root)
        return FoundVersion(policy, below, adapter)


def version_names(root: Path) -> list[str]:
    """The names of all versions of the workspace at root, in the order of registration."""
    try:
        ws = Workspace.open(root)
    except NotFound:
        return [packaged_nano("default").name]
    with ws:
        return [policy.name for policy in ws.records.find(PolicyVersion, project=ws.project)]
