"""The scorer protocol: how the platform sees reward models, gates, watchers and evaluators."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_id
from trivox.platform.records import Direction, Failure, FinishReason, Score, ScorerRole

EPISODE = "episode"


class FailureKind(StrEnum):
    """Why a scorer has no value for an item."""

    NO_AUDIO = "no_audio"
    NO_TEXT = "no_text"
    NO_FINISH_REASON = "no_finish_reason"
    UNKNOWN_LANGUAGE = "unknown_language"
    EMPTY_AUDIO = "empty_audio"
    BROKEN_AUDIO = "broken_audio"
    SHORT_AUDIO = "short_audio"
    SILENT_AUDIO = "silent_audio"
    SCORER_ERROR = "scorer_error"


@dataclass(frozen=True)
class ScorerInfo:
    """Identity of a scorer, stored with each of its scores.

    weights_hash: sha256 of the weights, or of the parameters for scorers without any. family:
    scorers that share weights or method share a family. unit: of the value ("fraction", "MOS").
    """

    name: str
    version: str
    weights_hash: str
    family: str
    component: str
    unit: str
    direction: Direction


@dataclass(frozen=True, eq=False)
class Item:
    """One rollout as a scorer sees it.

    samples: float32 [n] or [n, channels], full scale 1.0, at rate Hz. text: what was to be said.
    hypothesis: the rollout's own text, where the rollout is a transcript.
    """

    rollout: str
    samples: NDArray[np.float32] | None
    rate: int | None
    text: str | None
    language: str
    finish_reason: FinishReason | None = None
    hypothesis: str | None = None


@dataclass(frozen=True)
class Value:
    """A scorer's answer for one item: a finite value or a failure, never both.

    uncertainty: one standard deviation, in the unit of the value.
    """

    value: float | None
    uncertainty: float | None = None
    failure: Failure | None = None
    evidence: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.failure is None):
            raise ValueError(f"exactly one of value {self.value} and failure {self.failure} is set")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"value {self.value} is not finite: return a failure instead")


class Scorer(Protocol):
    """Scores items in batches: in order, and the same item alike whatever its neighbours.

    One bad item gives one Value with a failure; `score` does not raise for it.
    """

    @property
    def info(self) -> ScorerInfo: ...

    def score(self, items: Sequence[Item]) -> list[Value]: ...


def failed(kind: FailureKind, message: str) -> Value:
    """The value of an item that could not be scored."""
    return Value(None, failure=Failure(kind.value, message))


def to_score(
    value: Value,
    info: ScorerInfo,
    item: Item,
    *,
    project: str,
    round: str | None,
    role: ScorerRole,
    scope: str = EPISODE,
) -> Score:
    """A value as the record that is stored; the id follows from what was scored by what."""
    identity: dict[str, Any] = {
        "project": project,
        "round": round,
        "rollout": item.rollout,
        "scope": scope,
        "component": info.component,
        "scorer": info.name,
        "scorer_version": info.version,
        "weights_hash": info.weights_hash,
        "role": role,
    }
    return Score(
        id=derived_id("score", identity),
        **identity,
        family=info.family,
        unit=info.unit,
        direction=info.direction,
        value=value.value,
        uncertainty=value.uncertainty,
        failure=value.failure,
        evidence=value.evidence,
    )


def check_families(labelling: Mapping[str, str], evaluating: Mapping[str, str]) -> None:
    """Refuse evaluation by a family that labels: it would confirm its own taste.

    Both map scorer name to family. Raises ConfigError that names both scorers and the family.
    """
    labels = {family: name for name, family in reversed(list(labelling.items()))}
    for name, family in evaluating.items():
        if family in labels:
            raise ConfigError(
                f"family {family!r} is on both sides: {labels[family]!r} labels or rewards and "
                f"{name!r} evaluates: choose an evaluator of another family"
            )
