"""Backbones that users bring, as versions of a workspace."""

from datetime import UTC, datetime
from pathlib import Path

from trivox.platform.hashing import derived_id
from trivox.platform.records import PolicyStatus, PolicyVersion
from trivox.platform.registry import register
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone, backbone_hash


def add_backbone(ws: Workspace, folder: Path, name: str) -> PolicyVersion:
    """Register a backbone folder, which stays where it is, as a candidate: chosen by its name, never by default.

    It is loaded once, so that a folder that cannot be used is refused here: raises as `Backbone.load` does, and
    UsageError for a name that is taken.
    """
    Backbone.load(folder)
    hash_ = backbone_hash(folder)
    return register(
        ws,
        PolicyVersion(
            id=derived_id("po", hash_),
            project=ws.project,
            name=name,
            branch=None,
            parents={},
            backbone=None,
            artefact=str(folder.resolve()),
            artefact_hash=hash_,
            round=None,
            status=PolicyStatus.CANDIDATE,
            created_at=datetime.now(UTC),
        ),
    )
