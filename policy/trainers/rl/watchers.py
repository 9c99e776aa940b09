"""Watchers: figures outside the reward, seen at every step, that may stop a run before it goes astray."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trivox.platform.errors import ConfigError, WorkError
from trivox.platform.records import FinishReason
from trivox.policy.engine import RolloutEngine
from trivox.policy.trainers.rl.episodes import Episode

SOMETIMES = frozenset(
    "kl length end_rate repetition silence_ratio pitch_spread speaker_similarity gap".split()
)
"""Figures that a run need not have: some branches say nothing that sounds, dpo has no answers of the policy."""


@dataclass(frozen=True)
class Stop:
    """Why a run was stopped: the figure, its value at the step (from 0) and where it should have stayed; None:
    open on that side."""

    figure: str
    step: int
    value: float
    low: float | None
    high: float | None
    patience: int


class WatcherStop(WorkError):
    """A watcher stopped the run; `stop` is the reason in parts, for the record."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        self.stop = stop

    def __str__(self) -> str:
        stop = self.stop
        limits = (("at least", stop.low), ("at most", stop.high))
        shown = " and ".join(f"{word} {limit:.4g}" for word, limit in limits if limit is not None)
        return (
            f"watcher {stop.figure}: {stop.value:.4g} at step {stop.step}, {stop.patience} steps outside {shown}: "
            "the policy exploits the reward or falls apart: look at its samples, then lower the learning rate or "
            "raise the KL coefficient"
        )


class Watcher(Protocol):
    """Looks at the episodes of a step; what needs audio or a scorer is made by a higher floor and handed in."""

    def watch(self, step: int, episodes: Sequence[Episode]) -> Mapping[str, float]:
        """Figures by name; a figure that cannot be had is left out."""
        ...


class Stateful(Protocol):
    """Something whose state a checkpoint keeps, as JSON has it."""

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class Probe(Stateful, Protocol):
    """Asks the policy something of its own, held-out prompts say; figures: those of the step so far."""

    def probe(
        self, step: int, engine: RolloutEngine, figures: Mapping[str, float]
    ) -> Mapping[str, float]:
        """Figures by name, {} in a step in which it does not ask."""
        ...


@dataclass(frozen=True)
class Bound:
    """A figure stops the run when it leaves low..high in `patience` steps one after the other.

    relative: the bounds are factors of the mean over the first `patience` steps, by which "longer and longer" is
    caught whatever the length at the start.
    """

    figure: str
    low: float | None = None
    high: float | None = None
    patience: int = 3
    relative: bool = False


class Guard:
    """Holds figures to their bounds."""

    def __init__(self, bounds: Sequence[Bound]) -> None:
        self.bounds = tuple(bounds)
        self.first: dict[str, list[float]] = {}
        self.outside: dict[str, int] = {}

    def check(self, step: int, figures: Mapping[str, float]) -> None:
        """Raises WatcherStop; ConfigError in the first step for a bound on a figure that it has not. What is no
        number lies outside."""
        if step == 0:
            self._check_names(figures)
        for number, bound in enumerate(self.bounds):
            if (value := figures.get(bound.figure)) is None:
                continue
            low, high = self._limits(bound, value)
            wrong = (low is not None and value < low) or (high is not None and value > high)
            wrong |= math.isnan(value)
            key = f"{number} {bound.figure}"
            self.outside[key] = self.outside.get(key, 0) + 1 if wrong else 0
            if self.outside[key] >= bound.patience:
                raise WatcherStop(Stop(bound.figure, step, value, low, high, bound.patience))

    def _check_names(self, figures: Mapping[str, float]) -> None:
        for bound in self.bounds:
            if bound.figure not in figures and bound.figure not in SOMETIMES:
                raise ConfigError(
                    f"a bound is on figure {bound.figure!r} and the first step has none of that name: it has "
                    f"{', '.join(sorted(figures))}"
                )

    def _limits(self, bound: Bound, value: float) -> tuple[float | None, float | None]:
        if not bound.relative:
            return bound.low, bound.high
        first = self.first.setdefault(bound.figure, [])
        if len(first) < bound.patience:
            first.append(value)
            return None, None
        mean = sum(first) / len(first)
        scale = [None if factor is None else factor * mean for factor in (bound.low, bound.high)]
        return scale[0], scale[1]

    def state(self) -> dict[str, dict[str, list[float]] | dict[str, int]]:
        """What a checkpoint keeps."""
        return {"first": self.first, "outside": self.outside}

    def restore(self, state: Mapping[str, dict[str, list[float]] | dict[str, int]]) -> None:
        self.first = {k: list(v) for k, v in state["first"].items() if isinstance(v, list)}
        self.outside = {k: v for k, v in state["outside"].items() if isinstance(v, int)}


class TextWatcher:
    """What can be seen of the tokens alone.

    length: mean completion tokens of a turn; end_rate: share of turns that ended by themselves; repetition: mean
    share of 4-grams in a turn that stood in it before.
    """

    def watch(self, step: int, episodes: Sequence[Episode]) -> Mapping[str, float]:
        turns = [turn for episode in episodes for turn in episode.turns]
        ended = sum(turn.finish_reason is FinishReason.END for turn in turns)
        return {
            "length": sum(len(turn.completion) for turn in turns) / len(turns),
            "end_rate": ended / len(turns),
            "repetition": sum(repetition(turn.completion) for turn in turns) / len(turns),
        }


def repetition(tokens: Sequence[int], n: int = 4) -> float:
    """Share of the n-grams of a sequence that stood in it before, 0 to 1; 0 for fewer than n tokens."""
    grams = [tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
