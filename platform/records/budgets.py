"""What a project may spend and keep, and where it keeps it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CostKind(StrEnum):
    """What costs. Quantities of one kind have one unit: see `UNITS`."""

    PEOPLE = "people"
    GPU = "gpu"
    CPU = "cpu"
    JUDGE = "judge"


UNITS = {CostKind.PEOPLE: "s", CostKind.GPU: "s", CostKind.CPU: "s", CostKind.JUDGE: "request"}
MONEY, STORAGE = "money", "storage"
"""Kinds of budgets that are no kinds of cost: quantity times price in one currency, and bytes kept."""


@dataclass(frozen=True)
class ProjectPlan:
    """Where a project's audio and artefacts lie below the workspace's own places: id is the project's."""

    id: str
    project: str
    prefix: str
    created_at: datetime


@dataclass(frozen=True)
class Budget:
    """At most `limit` units of a kind for a project, or for one of its rounds or campaigns.

    kind: a CostKind (unit as in UNITS), "money" (unit: a currency) or "storage" (unit: B, of the project alone).
    """

    id: str
    project: str
    round: str | None
    campaign: str | None
    kind: str
    limit: float
    unit: str
    created_at: datetime
    updated_at: datetime
