"""What a scorer says of a rollout."""

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Which way is better. NEITHER: a measure to watch, such as the level of the pitch; it rewards only beside a
    target."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = "neither"


class ScorerRole(StrEnum):
    """What a score is used for. A family that rewards or labels may not evaluate."""

    REWARD = "reward"
    GATE = "gate"
    WATCHER = "watcher"
    EVALUATOR = "evaluator"


@dataclass(frozen=True)
class Failure:
    """Why there is no value: a kind from a short list, and the cause in words."""

    kind: str
    message: str


@dataclass(frozen=True)
class Score:
    """One component of one rollout (scope "episode"), turn ("turn:2") or span ("span:1200-1900", ms).

    Either value or failure is set, never both and never neither. family groups scorers that share weights
    or method, several joined by "+". evidence: what the value was read from (a transcript, say).
    """

    id: str
    project: str
    round: str | None
    rollout: str
    scope: str
    component: str
    scorer: str
    scorer_version: str
    weights_hash: str
    family: str
    role: ScorerRole
    unit: str
    direction: Direction
    value: float | None
    uncertainty: float | None = None
    failure: Failure | None = None
    evidence: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.failure is None):
            raise ValueError(
                f"score {self.id}: exactly one of value ({self.value}) and failure ({self.failure}) is set"
            )
