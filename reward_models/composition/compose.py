"""The reward that a composition declares: each component logged beside the total, no failure ever a number."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from trivox.platform.errors import UsageError
from trivox.platform.hashing import content_hash
from trivox.platform.records import Direction, Failure, Score, ScorerRole
from trivox.platform.scoring import FailureKind, Item, Scorer, ScorerInfo, Value, join, to_score
from trivox.reward_models import registry
from trivox.reward_models.cache import CachedScorer, ScoreCache
from trivox.reward_models.composition.config import Component, CompositionConfig, Gate, load
from trivox.reward_models.composition.scale import (
    Statistics,
    combined,
    disagreement,
    normalised,
    shaped,
)


class PartState(StrEnum):
    """What became of a part: it counted, it stopped the rollout, it was left out as `missing` says, it failed and
    the total with it, or nobody asked because a gate had stopped the rollout."""

    COUNTED = "counted"
    STOPPED = "stopped"
    LEFT_OUT = "left_out"
    FAILED = "failed"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True)
class Part:
    """One gate or component. value: as the scorer gave it, None where it was not asked; share: on the common
    scale, of a component that counted."""

    scorer: str
    role: ScorerRole
    state: PartState
    weight: float
    value: Value | None = None
    share: float | None = None


@dataclass(frozen=True)
class ComposedValue:
    """A total with its parts, gates first. disagreement: weighted standard deviation of the components' shares."""

    total: Value
    parts: tuple[Part, ...]
    stopped_by: str | None = None
    disagreement: float | None = None


class Composition:
    """A reward made of scorers. Statistics for `running` are those of the batches before, so that no order within
    a batch matters; `state` and `restore` carry them over a restart."""

    def __init__(self, config: CompositionConfig, scorers: Mapping[str, Scorer]) -> None:
        self.config = config
        self._scorers = scorers
        self._running = {
            one.scorer: Statistics() for one in config.component if one.normalise.by == "running"
        }
        infos = [scorers[name].info for name in config.scorers]
        self.info = ScorerInfo(
            name=config.total,
            version=str(config.version),
            weights_hash=content_hash(
                [config.model_dump(mode="json"), [asdict(info) for info in infos]]
            ),
            family=join([info.family for info in infos]),
            component="total",
            unit="reward",
            direction=Direction.HIGHER,
        )

    @classmethod
    def of(
        cls,
        source: Path | str | CompositionConfig,
        cache: ScoreCache | None = None,
        build: Callable[[str], Scorer] = registry.build,
    ) -> "Composition":
        """From a TOML file, the name of a packaged one, or a configuration; with its scorers built.

        Raises NotFound, ConfigError before anything is loaded, MissingModel.
        """
        config = source if isinstance(source, CompositionConfig) else load(source)
        made = {name: build(name) for name in config.scorers}
        if cache is None:
            return cls(config, made)
        return cls(config, {name: CachedScorer(one, cache) for name, one in made.items()})

    def score(self, items: Sequence[Item]) -> list[ComposedValue]:
        """One for each item, in their order."""
        asked = _Asked(items, self._scorers)
        gates, stops = self._through_gates(len(items), asked)
        passed = [index for index in range(len(items)) if index not in stops]
        parts = self._components(items, passed, asked)
        return [
            self._stopped(gates[index], stops[index])
            if index in stops
            else self._weighed(gates[index], parts[index])
            for index in range(len(items))
        ]

    def scorer(self) -> "ComposedScorer":
        """The totals alone, as a scorer. Raises UsageError where they depend on other items."""
        if not self.config.steady:
            raise UsageError(
                f"composition {self.config.name!r} normalises over a batch, so it is no scorer of single "
                "items: call it with whole batches, or normalise by range"
            )
        return ComposedScorer(self)

    def state(self) -> dict[str, dict[str, float]]:
        """The running statistics, for JSON."""
        return {name: asdict(one) for name, one in self._running.items()}

    def restore(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Raises UsageError for the state of another composition."""
        if state.keys() != self._running.keys():
            raise UsageError(
                f"composition {self.config.name!r} has running statistics of {sorted(self._running)}, the "
                f"state is of {sorted(state)}: it belongs to another one"
            )
        for name, one in state.items():
            self._running[name] = Statistics(int(one["count"]), one["total"], one["squares"])

    def _through_gates(
        self, count: int, asked: "_Asked"
    ) -> tuple[list[tuple[Part, ...]], dict[int, Value]]:
        """The gates of each item, and the totals of those that did not come through. A gate is asked of whoever
        passed those before."""
        parts: list[tuple[Part, ...]] = [()] * count
        stops: dict[int, Value] = {}
        for gate in self.config.gate:
            values = asked.of(gate.scorer, [index for index in range(count) if index not in stops])
            for index in range(count):
                value = values.get(index)
                state = PartState.NOT_ASKED if value is None else _gate_state(gate, value)
                parts[index] += (Part(gate.scorer, ScorerRole.GATE, state, 0.0, value),)
                if value is not None and state in (PartState.STOPPED, PartState.FAILED):
                    stops[index] = self._gated(gate, state, value)
        return parts, stops

    def _components(
        self, items: Sequence[Item], passed: Sequence[int], asked: "_Asked"
    ) -> dict[int, list[Part]]:
        """The components of each item that passed, in the order of the configuration."""
        found: dict[int, list[Part]] = {index: [] for index in passed}
        for one in self.config.component:
            values = asked.of(one.scorer, passed)
            shares = self._shares(one, values, items)
            for index in passed:
                found[index].append(_part(one, values[index], shares.get(index)))
            if one.scorer in self._running:
                known = [value.value for value in values.values() if value.value is not None]
                self._running[one.scorer] = self._running[one.scorer].with_values(known)
        return found

    def _gated(self, gate: Gate, state: PartState, value: Value) -> Value:
        if state is PartState.STOPPED:
            why = value.evidence or f"{value.value}"
            return Value(self.config.stopped * self.config.scale, evidence=f"{gate.scorer}: {why}")
        return _failed_with(gate.scorer, value)

    def _shares(
        self, one: Component, values: Mapping[int, Value], items: Sequence[Item]
    ) -> dict[int, float | Failure]:
        """The values of a component on the common scale, by item; a failure where a group is too small."""
        known = {at: value.value for at, value in values.items() if value.value is not None}
        info = self._scorers[one.scorer].info
        higher = info.direction is not Direction.LOWER
        if one.normalise.by not in ("running", "group"):
            found = {at: normalised(raw, one.normalise, higher) for at, raw in known.items()}
            return {at: shaped(raw, one.shape, one.clip) for at, raw in found.items()}
        sign = 1.0 if higher else -1.0
        shares: dict[int, float | Failure] = {}
        for at, raw in known.items():
            statistics = self._statistics(one, at, known, items)
            if one.normalise.by == "group" and statistics.count < 2:
                shares[at] = Failure(
                    FailureKind.LONELY.value,
                    f"{one.scorer}: one scored rollout of prompt {items[at].prompt}: nothing to compare with",
                )
                continue
            shares[at] = shaped(sign * statistics.deviations(raw), one.shape, one.clip)
        return shares

    def _statistics(
        self, one: Component, at: int, known: Mapping[int, float], items: Sequence[Item]
    ) -> Statistics:
        if one.normalise.by == "group":
            group = items[at].prompt
            mine = [raw for other, raw in known.items() if items[other].prompt == group]
            return Statistics().with_values(mine)
        before = self._running[one.scorer]
        return before if before.count else before.with_values([*known.values()])

    def _weighed(self, gates: tuple[Part, ...], components: Sequence[Part]) -> ComposedValue:
        parts = (*gates, *components)
        broken = [one for one in components if one.state is PartState.FAILED]
        if broken and broken[0].value is not None:
            return ComposedValue(_failed_with(broken[0].scorer, broken[0].value), parts)
        counted = [one for one in components if one.share is not None]
        shares = [one.share for one in counted if one.share is not None]
        weights = [one.weight for one in counted]
        if not shares:
            nothing = Failure(FailureKind.COMPONENT_FAILED.value, "every component was left out")
            return ComposedValue(Value(None, failure=nothing), parts)
        total = self.config.scale * combined(shares, weights, self.config.combine)
        told = ", ".join(f"{one.scorer} {one.share:.3f}" for one in counted)
        return ComposedValue(
            Value(total, evidence=told), parts, disagreement=disagreement(shares, weights)
        )

    def _stopped(self, gates: tuple[Part, ...], total: Value) -> ComposedValue:
        rest = tuple(
            Part(one.scorer, ScorerRole.REWARD, PartState.NOT_ASKED, one.weight)
            for one in self.config.component
        )
        by = next((one.scorer for one in gates if one.state is PartState.STOPPED), None)
        return ComposedValue(total, (*gates, *rest), by)

    def to_scores(
        self, item: Item, composed: ComposedValue, *, project: str, round: str | None
    ) -> list[Score]:
        """The total and each part that was asked, as records."""
        where = {"project": project, "round": round}
        scores = [to_score(composed.total, self.info, item, role=ScorerRole.REWARD, **where)]  # type: ignore[arg-type]
        for part in composed.parts:
            if part.value is not None:
                info = self._scorers[part.scorer].info
                scores.append(to_score(part.value, info, item, role=part.role, **where))  # type: ignore[arg-type]
        return scores


class ComposedScorer:
    """A composition's totals, for whatever takes scorers."""

    def __init__(self, composition: Composition) -> None:
        self._composition, self.info = composition, composition.info

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [one.total for one in self._composition.score(items)]


class _Asked:
    """Each scorer is asked once for an item, however many parts it has."""

    def __init__(self, items: Sequence[Item], scorers: Mapping[str, Scorer]) -> None:
        self._items, self._scorers = items, scorers
        self._known: dict[tuple[str, int], Value] = {}

    def of(self, name: str, indices: Sequence[int]) -> dict[int, Value]:
        missing = [index for index in indices if (name, index) not in self._known]
        found = (
            self._scorers[name].score([self._items[index] for index in missing]) if missing else []
        )
        for index, value in zip(missing, found, strict=True):
            self._known[name, index] = value
        return {index: self._known[name, index] for index in indices}


def _part(one: Component, value: Value, share: float | Failure | None) -> Part:
    if isinstance(share, Failure):
        value, share = Value(None, failure=share), None
    state = PartState.COUNTED
    if value.failure is not None:
        state = PartState.LEFT_OUT if value.failure.kind in one.missing else PartState.FAILED
    return Part(one.scorer, ScorerRole.REWARD, state, one.weight, value, share)


def _gate_state(gate: Gate, value: Value) -> PartState:
    if value.value is None:
        assert value.failure is not None
        missing = value.failure.kind in gate.missing
        return PartState.LEFT_OUT if missing else PartState.FAILED
    least = gate.at_least if gate.at_least is not None or gate.at_most is not None else 1.0
    if least is not None and value.value < least:
        return PartState.STOPPED
    if gate.at_most is not None and value.value > gate.at_most:
        return PartState.STOPPED
    return PartState.COUNTED


def _failed_with(scorer: str, value: Value) -> Value:
    assert value.failure is not None
    message = f"{scorer}: {value.failure.kind}: {value.failure.message}"
    return Value(None, failure=Failure(FailureKind.COMPONENT_FAILED.value, message))
