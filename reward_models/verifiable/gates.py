"""Gates that need no model: length for the text, silence, and whether generation came to its end.

A gate's value is 1.0 for pass and 0.0 for fail, with the measurement as evidence.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trivox.platform.hashing import content_hash
from trivox.platform.records import Direction, FinishReason
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.platform.text.normalise import by_character, normaliser_for
from trivox.reward_models.audio_checks import Samples, checked, guarded

FAMILY = "signal"
_FRAME_S = 0.02


@dataclass(frozen=True)
class DurationBounds:
    """Seconds of speech per character of normalised text, spaces included.

    alphabetic: hibari at its own pace speaks 150 home-assistant sentences at 0.06 to 0.10; slow speech
    is about twice that. ideographic: a syllable each. slack_s is added to the upper bound: pauses at
    both ends.
    """

    alphabetic_low: float = 0.03
    alphabetic_high: float = 0.2
    ideographic_low: float = 0.08
    ideographic_high: float = 0.6
    slack_s: float = 1.0

    def seconds(self, text: str, language: str) -> tuple[float, float]:
        """Shortest and longest plausible duration of a text."""
        length = len(normaliser_for(language)(text))
        low, high = self.alphabetic_low, self.alphabetic_high
        if by_character(language):
            low, high = self.ideographic_low, self.ideographic_high
        return low * length, high * length + self.slack_s


@dataclass(frozen=True)
class SilenceBounds:
    """A frame of 20 ms is active when its level is above floor_db full scale and within range_db of the loudest.

    At least least_active_s seconds must be active, and no pause between active frames longer than pause_s.
    """

    floor_db: float = -50.0
    range_db: float = 35.0
    least_active_s: float = 0.2
    pause_s: float = 1.0


class DurationGate:
    """Passes speech whose length is plausible for its text."""

    def __init__(self, bounds: DurationBounds | None = None) -> None:
        self._bounds = bounds or DurationBounds()
        self.info = gate_info("duration", asdict(self._bounds))

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        samples = checked(item)
        if isinstance(samples, Value):
            return samples
        if item.text is None:
            return failed(FailureKind.NO_TEXT, f"rollout {item.rollout} has no text to be long for")
        assert item.rate is not None
        seconds = len(samples) / item.rate
        low, high = self._bounds.seconds(item.text, item.language)
        return verdict(
            low <= seconds <= high, f"{seconds:.2f} s, expected {low:.2f} to {high:.2f} s"
        )


class SilenceGate:
    """Passes audio that holds something, without a long hole."""

    def __init__(self, bounds: SilenceBounds | None = None) -> None:
        self._bounds = bounds or SilenceBounds()
        self.info = gate_info("silence", asdict(self._bounds))

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        samples = checked(item)
        if isinstance(samples, Value):
            return samples
        assert item.rate is not None
        active, pause = activity(samples, item.rate, self._bounds)
        passed = active >= self._bounds.least_active_s and pause <= self._bounds.pause_s
        return verdict(passed, f"{active:.2f} s active, longest pause {pause:.2f} s")


class EndGate:
    """Passes rollouts that ended by their end token."""

    def __init__(self) -> None:
        self.info = gate_info("end", {})

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        reason = item.finish_reason
        if reason is None:
            message = f"rollout {item.rollout} does not say why it ended"
            return failed(FailureKind.NO_FINISH_REASON, message)
        return verdict(reason is FinishReason.END, f"ended by {reason.value}")


def activity(samples: Samples, rate: int, bounds: SilenceBounds) -> tuple[float, float]:
    """Seconds of active frames, and the longest pause between two of them, of mono samples [n]."""
    size = max(1, round(rate * _FRAME_S))
    frames = np.pad(samples, (0, -len(samples) % size)).reshape(-1, size).astype(np.float64)
    level = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    heard = np.flatnonzero((level > bounds.floor_db) & (level > level.max() - bounds.range_db))
    longest = int(np.diff(heard).max()) - 1 if len(heard) > 1 else 0
    return len(heard) * _FRAME_S, longest * _FRAME_S


def gate_info(name: str, parameters: dict[str, Any]) -> ScorerInfo:
    """Identity of a gate: its parameters are its weights."""
    return ScorerInfo(
        name=name,
        version="1",
        weights_hash=content_hash({"gate": name, **parameters}),
        family=FAMILY,
        component=name,
        unit="pass",
        direction=Direction.HIGHER,
    )


def verdict(passed: bool, evidence: str) -> Value:
    """1.0 or 0.0."""
    return Value(float(passed), evidence=evidence)
