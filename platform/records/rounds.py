"""A round of RL: its stages, its state and what it cost."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from trivox.platform.records.prompts import Branch


class Stage(StrEnum):
    """In the order in which they run; train-reward is optional."""

    ROLLOUT = "rollout"
    SCORE = "score"
    COMPARE = "compare"
    LABEL = "label"
    AGGREGATE = "aggregate"
    TRAIN_REWARD = "train-reward"
    TRAIN = "train"
    EVALUATE = "evaluate"
    PUBLISH = "publish"


class RoundStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Round:
    """config is fully resolved: it alone repeats the round. worker and lease_until: who works on it now; on a
    paused or cancelled round, who has still to stop. code_version: of the Trivox that made it, None where that is
    not known. loop: the schedule that it is a round of."""

    id: str
    project: str
    branch: Branch
    algorithm: str
    policy: str
    prompt_set: str
    config: dict[str, Any]
    seed: int
    stage: Stage
    status: RoundStatus
    created_at: datetime
    updated_at: datetime
    worker: str | None = None
    lease_until: datetime | None = None
    error: str | None = None
    code_version: str | None = None
    loop: str | None = None


@dataclass(frozen=True)
class Loop:
    """A schedule of rounds, each from what the one before published. rounds: their ids, in order; reason: why it
    has ended, or what it waits for."""

    id: str
    project: str
    config: dict[str, Any]
    status: RoundStatus
    rounds: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    reason: str | None = None


@dataclass(frozen=True)
class StageRun:
    """The manifest of one finished stage: what went in, what came out, with which code and how long it took."""

    id: str
    project: str
    round: str
    stage: Stage
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    code_version: str
    seed: int
    started_at: datetime
    finished_at: datetime
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class CostEntry:
    """kind: "people", "gpu", "cpu" or "judge"; quantity in unit; price per unit in currency, None when unknown."""

    id: str
    project: str
    round: str | None
    campaign: str | None
    kind: str
    quantity: float
    unit: str
    price: float | None
    currency: str | None
    created_at: datetime
    note: dict[str, Any] = field(default_factory=dict)
