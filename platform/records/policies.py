"""Versions of models, what was measured of them, and what was decided."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from trivox.platform.records.prompts import Branch


class PolicyStatus(StrEnum):
    """PROXY: promoted on a win that only proxies of people's judgement measured."""

    CANDIDATE = "candidate"
    PROMOTED = "promoted"
    PROXY = "promoted (proxy)"
    REJECTED = "rejected"
    RETIRED = "retired"


@dataclass(frozen=True)
class PolicyVersion:
    """A backbone (branch None) or a branch adapter on one.

    parents: policy id -> weight. artefact: folder, relative to the workspace, or `package:trivox-nano-v2`;
    artefact_hash: sha256 over its weights. backbone: policy id of the backbone below an adapter.
    """

    id: str
    project: str
    name: str
    branch: Branch | None
    parents: dict[str, float]
    backbone: str | None
    artefact: str
    artefact_hash: str
    round: str | None
    status: PolicyStatus
    created_at: datetime


@dataclass(frozen=True)
class RewardModelVersion:
    """A trained judge with what it was trained on and the report on it."""

    id: str
    project: str
    name: str
    artefact: str
    artefact_hash: str
    preference_sets: tuple[str, ...]
    report: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True)
class Evaluation:
    """One suite on one policy. results: figure -> value with interval; per_item: what the figures are made of.

    evaluators: scorer -> family. proxy: no family is independent of those that rewarded or labelled.
    """

    id: str
    project: str
    policy: str
    parent: str | None
    suite: str
    evaluators: dict[str, str]
    proxy: bool
    results: dict[str, Any]
    per_item: tuple[dict[str, Any], ...]
    round: str | None
    created_at: datetime


@dataclass(frozen=True)
class Decision:
    """A promotion, rejection, merge, rollback or waiver; append-only."""

    id: str
    project: str
    kind: str
    subject: str
    actor: str
    reason: str
    created_at: datetime
    evidence: dict[str, Any] = field(default_factory=dict)
