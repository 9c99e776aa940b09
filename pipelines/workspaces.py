"""A workspace ready to work in: with the packaged backbone registered and the built-in prompts imported."""

from datetime import UTC, datetime
from pathlib import Path

from trivox.pipelines.imports import builtin_prompts
from trivox.platform.hashing import derived_id
from trivox.platform.records import PolicyStatus, PolicyVersion
from trivox.platform.registry import register
from trivox.platform.store import Workspace
from trivox.platform.store.config import WorkspaceConfig
from trivox.policy.backbone import PACKAGED, backbone_hash, locate

NANO = "trivox-nano-v2"
BUILTIN_TRAIN, BUILTIN_TEST, BUILTIN_SEED = 400, 200, 0


def init_workspace(root: Path, config: WorkspaceConfig | None = None) -> Workspace:
    """`trivox init`: raises UsageError where a workspace is already."""
    policy = packaged_nano(config.project if config else "default")
    ws = Workspace.create(root, config)
    register(ws, policy)
    builtin_prompts(ws, train=BUILTIN_TRAIN, test=BUILTIN_TEST, seed=BUILTIN_SEED)
    return ws


def packaged_checkpoint() -> Path:
    """The folder of the model that ships with Trivox."""
    return locate(f"{PACKAGED}{NANO}", Path())


def packaged_nano(project: str) -> PolicyVersion:
    """That model as a policy version; its id follows from its weights."""
    hash_ = backbone_hash(packaged_checkpoint())
    return PolicyVersion(
        id=derived_id("po", hash_),
        project=project,
        name=NANO,
        branch=None,
        parents={},
        backbone=None,
        artefact=f"{PACKAGED}{NANO}",
        artefact_hash=hash_,
        round=None,
        status=PolicyStatus.PROMOTED,
        created_at=datetime.now(UTC),
    )
