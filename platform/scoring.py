"""The scorer protocol: how the platform sees reward models, gates, watchers and evaluators."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Direction,
    Failure,
    FinishReason,
    Persona,
    Rubric,
    Score,
    ScorerRole,
    Turn,
)

if TYPE_CHECKING:
    from trivox.platform.audio.style_words import VoiceStatistics

EPISODE = "episode"
_TURN = re.compile(r"turn:(\d+)")
_SPAN = re.compile(r"span:(\d+)-(\d+)")


class FailureKind(StrEnum):
    """Why a scorer has no value for an item."""

    NO_AUDIO = "no_audio"
    NO_TEXT = "no_text"
    NO_TRANSCRIPT = "no_transcript"
    NO_REFERENCE = "no_reference"
    NO_VOICE = "no_voice"
    NO_STYLE = "no_style"
    NO_HISTORY = "no_history"
    NO_PERSONA = "no_persona"
    NO_CONSENSUS = "no_consensus"
    NO_FINISH_REASON = "no_finish_reason"
    UNKNOWN_LANGUAGE = "unknown_language"
    EMPTY_AUDIO = "empty_audio"
    BROKEN_AUDIO = "broken_audio"
    SHORT_AUDIO = "short_audio"
    SILENT_AUDIO = "silent_audio"
    UNMEASURED = "unmeasured"
    COMPONENT_FAILED = "component_failed"
    LONELY = "lonely"
    SCORER_ERROR = "scorer_error"


@dataclass(frozen=True)
class ScorerInfo:
    """Identity of a scorer, stored with each of its scores.

    weights_hash: sha256 of the weights, or of the parameters for scorers without any. family: scorers that share
    weights or method share a family; one made of several names all, joined by "+". unit: of the value
    ("fraction", "MOS").
    """

    name: str
    version: str
    weights_hash: str
    family: str
    component: str
    unit: str
    direction: Direction


@dataclass(frozen=True, eq=False)
class Clip:
    """Sound: float32 [n] or [n, channels], full scale 1.0, at rate Hz."""

    samples: NDArray[np.float32]
    rate: int


@dataclass(frozen=True, eq=False)
class Item:
    """One rollout as a scorer sees it, with what it was asked and, where there is one, the reference y*.

    samples: float32 [n] or [n, channels], full scale 1.0, at rate Hz. text: what was to be said (asr: the true
    transcript; realtime: the reply's own words). hypothesis: the rollout's own text, where the rollout is a
    transcript. prompt: the id of the prompt, by which rollouts are grouped. language: BCP-47, "mul" for several.
    scope: "episode", "turn:2", "span:1200-1900" (ms). reference, reference_text: y*. voice: a recording of whoever
    is to speak; baseline: how fast, high and loud it is by itself. instruction and directives: the style asked
    for, of the whole and of (start, end, word) in characters of text. history: the turns before the reply. turns:
    those of the rollout, an episode. persona: the character that was to be kept.
    """

    rollout: str
    samples: NDArray[np.float32] | None
    rate: int | None
    text: str | None
    language: str
    finish_reason: FinishReason | None = None
    hypothesis: str | None = None
    prompt: str | None = None
    scope: str = EPISODE
    reference: Clip | None = None
    reference_text: str | None = None
    voice: Clip | None = None
    baseline: "VoiceStatistics | None" = None
    instruction: str | None = None
    directives: tuple[tuple[int, int, str], ...] = ()
    history: tuple[Turn, ...] = ()
    turns: tuple[Turn, ...] = ()
    persona: Persona | None = None
    rubric: Rubric | None = None

    def part(self, scope: str) -> "Item":
        """The item cut down to one of its turns, or to a span of its sound.

        A span has no text: nobody knows what was to be said in it. Raises UsageError for a scope that is no
        "turn:N" or "span:BEGIN-END" (ms), or that the item does not have.
        """
        if scope == self.scope:
            return self
        if found := _TURN.fullmatch(scope):
            return self._turn(int(found[1]), scope)
        if found := _SPAN.fullmatch(scope):
            samples = self._cut(int(found[1]), int(found[2]), scope)
            return replace(
                self, samples=samples, scope=scope, text=None, hypothesis=None, directives=()
            )
        raise UsageError(
            f"scope {scope!r}: write {EPISODE}, turn:N or span:BEGIN-END in milliseconds"
        )

    def _turn(self, index: int, scope: str) -> "Item":
        if index >= len(self.turns):
            raise UsageError(
                f"{scope} of rollout {self.rollout}: it has {len(self.turns)} turns, from 0 on"
            )
        turn, samples = self.turns[index], None
        if turn.start_ms is not None and turn.end_ms is not None and self.samples is not None:
            samples = self._cut(turn.start_ms, turn.end_ms, scope)
            samples = samples if samples.ndim == 1 else samples[:, turn.channel]
        history = (*self.history, *self.turns[:index])
        return replace(
            self, samples=samples, text=turn.text, scope=scope, history=history, turns=()
        )

    def _cut(self, begin_ms: int, end_ms: int, scope: str) -> NDArray[np.float32]:
        if self.samples is None or not self.rate:
            raise UsageError(f"{scope} of rollout {self.rollout}: it has no audio to cut")
        long_ms = len(self.samples) * 1000 / self.rate
        if not 0 <= begin_ms < end_ms <= long_ms + 1:
            raise UsageError(
                f"{scope} of rollout {self.rollout}: it lasts {long_ms:.0f} ms; name a span within"
            )
        return self.samples[begin_ms * self.rate // 1000 : end_ms * self.rate // 1000]


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
) -> Score:
    """A value as the record that is stored; the id follows from what was scored by what."""
    identity: dict[str, Any] = {
        "project": project,
        "round": round,
        "rollout": item.rollout,
        "scope": item.scope,
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
    """Refuse evaluation by a family that labels or rewards: it would confirm its own taste.

    Both map scorer name to family, or families joined by "+". Raises ConfigError that names both scorers and the
    family.
    """
    labels = {
        family: name
        for name, joined in reversed(list(labelling.items()))
        for family in split(joined)
    }
    for name, joined in evaluating.items():
        for family in split(joined):
            if family in labels:
                raise ConfigError(
                    f"family {family!r} is on both sides: {labels[family]!r} labels or rewards and "
                    f"{name!r} evaluates: choose an evaluator of another family"
                )


def split(family: str) -> Iterator[str]:
    """The families of a scorer that is made of several."""
    yield from family.split("+")


def join(families: Sequence[str]) -> str:
    """One name for several families: each once, in alphabetical order, joined by "+"."""
    return "+".join(sorted({one for family in families for one in split(family)}))
