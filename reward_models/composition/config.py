"""A composition as people write it, and everything that can be wrong with one before a model is loaded."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trivox.platform.config import load_toml
from trivox.platform.errors import NotFound
from trivox.platform.records import Branch, Direction
from trivox.platform.scoring import FailureKind, check_families
from trivox.reward_models import registry

_DEFAULTS = Path(__file__).resolve().parents[1] / "defaults"
_HAS = {
    Branch.TTS: {registry.AUDIO, registry.TEXT, registry.VOICE, registry.STYLE, registry.ENDING,
                 registry.REFERENCE, registry.HISTORY},
    Branch.ASR: {registry.AUDIO, registry.TEXT, registry.TRANSCRIPT, registry.ENDING},
    Branch.REALTIME: {registry.AUDIO, registry.TEXT, registry.VOICE, registry.STYLE,
                      registry.ENDING, registry.REFERENCE, registry.HISTORY, registry.PERSONA},
}  # fmt: skip
"""What items of a branch may have."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Normalise(_Table):
    """How a value comes to the common scale, on which more is better.

    none: as it is, with its sign turned where lower is better. range: worst to 0 and best to 1. target: 1 at the
    target, 0 where it is missed by tolerance. running: standard deviations from the mean of all values before this
    batch. group: from the mean of the rollouts of the same prompt in this batch.
    """

    by: Literal["none", "range", "target", "running", "group"] = "none"
    worst: float | None = None
    best: float | None = None
    target: float | None = None
    tolerance: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = {
            name
            for name in ("worst", "best", "target", "tolerance")
            if getattr(self, name) is not None
        }
        wanted = {"range": {"worst", "best"}, "target": {"target", "tolerance"}}.get(self.by, set())
        if given != wanted:
            raise ValueError(
                f"normalise by {self.by!r} takes {' and '.join(sorted(wanted)) or 'nothing'}, "
                f"given is {' and '.join(sorted(given)) or 'nothing'}"
            )
        if self.by == "range" and self.worst == self.best:
            raise ValueError(f"worst and best are both {self.worst}: nothing lies between them")
        return self


class Shape(_Table):
    """What is made of a normalised value x.

    power: x ** rate, for x from 0 on. exponential: exp(rate * (x - 1)): with x = 1 - WER and rate 2.5 the reward
    of GLM-TTS. tanh: 1 - tanh(rate * (1 - x)): with rate 3 CosyVoice's. logistic: 1 / (1 + exp(-rate * x)), for
    standard deviations.
    """

    by: Literal["none", "power", "exponential", "tanh", "logistic"] = "none"
    rate: float = Field(1.0, gt=0)


Bounds = Annotated[tuple[float, float] | None, Field(description="Lowest and highest value")]


class Gate(_Table):
    """A scorer that stops rollouts: one of the registry's gates, or any scorer with a bound.

    missing: kinds of failure for which the gate is passed over; every other failure fails the total.
    """

    scorer: str
    at_least: float | None = None
    at_most: float | None = None
    missing: tuple[FailureKind, ...] = ()


class Component(_Table):
    """A scorer that is weighed. missing: kinds of failure for which it is left out of the mean; every other
    failure fails the total."""

    scorer: str
    weight: float = Field(1.0, gt=0)
    normalise: Normalise = Normalise()
    shape: Shape = Shape()
    clip: Bounds = None
    missing: tuple[FailureKind, ...] = ()

    @property
    def lowest(self) -> float | None:
        """The lowest value that can come of it; None where there is no such bound."""
        if self.clip is not None:
            return self.clip[0]
        return 0.0 if self.shape.by in ("exponential", "logistic") else None


class CompositionConfig(_Table):
    """A reward. It is validated as a whole: names, directions, bounds, families, and what the branch has."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[int, Field(ge=1)] = 1
    branch: Branch
    combine: Literal["geometric", "harmonic", "mean", "sum"] = "geometric"
    """The weighted mean of the components, or their weighted sum."""
    stopped: float = 0.0
    """The total of a rollout that a gate stops: no more than any that passes can have."""
    scale: float = Field(1.0, gt=0)
    """What the total is multiplied by, that of stopped rollouts too."""
    gate: tuple[Gate, ...] = ()
    component: tuple[Component, ...] = Field(min_length=1)
    evaluators: tuple[str, ...] = ()
    """Scorers that will evaluate what this reward trains: none may share a family with it."""

    @property
    def total(self) -> str:
        """The scorer that its totals are stored under."""
        return f"composition:{self.name}"

    @property
    def scorers(self) -> list[str]:
        """Every scorer once, gates first."""
        gates = [one.scorer for one in self.gate]
        return list(dict.fromkeys([*gates, *(one.scorer for one in self.component)]))

    @property
    def steady(self) -> bool:
        """Whether a total depends on its own item alone: no running statistics, no groups."""
        return all(one.normalise.by not in ("running", "group") for one in self.component)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for index, gate in enumerate(self.gate):
            _check_gate(gate, f"gate {index + 1}")
        for index, component in enumerate(self.component):
            _check_component(component, f"component {index + 1}")
            self._check_bound(component)
        names = [one.scorer for one in self.component]
        if double := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"component {double[0]!r} is weighed twice: give it one weight")
        self._check_branch()
        rewarding = registry.families(self.scorers)
        check_families(rewarding, registry.families(self.evaluators))
        return self

    def _check_bound(self, one: Component) -> None:
        """A mean of ratios needs values from 0 on, and nothing that passes may fall below what is stopped."""
        lowest = one.lowest
        if self.combine in ("geometric", "harmonic") and (lowest is None or lowest < 0):
            raise ValueError(
                f"component {one.scorer!r}: the {self.combine} mean takes values from 0 on: give clip = [0, 1]"
            )
        if self.combine == "sum" and one.missing:
            raise ValueError(
                f"component {one.scorer!r} may be missing, and a sum without it is another reward: use mean"
            )
        bound = lowest if self.combine != "sum" or lowest is None else self._lowest_sum()
        if bound is None or bound < self.stopped:
            raise ValueError(
                f"component {one.scorer!r} may come below {self.stopped}, the total of stopped rollouts: "
                "clip it, or lower `stopped`"
            )

    def _lowest_sum(self) -> float | None:
        lowest = [one.lowest for one in self.component]
        weights = [one.weight for one in self.component]
        if any(one is None for one in lowest):
            return None
        return sum(w * (one or 0.0) for w, one in zip(weights, lowest, strict=True))

    def _check_branch(self) -> None:
        for name in self.scorers:
            if lacking := set(registry.entry(name).needs) - _HAS[self.branch]:
                raise ValueError(
                    f"scorer {name!r} needs {', '.join(sorted(lacking))}, which rollouts of branch "
                    f"{self.branch.value!r} do not have: leave it out"
                )


def load(source: Path | str) -> CompositionConfig:
    """A composition from a TOML file, or one of the packaged by its name.

    Raises NotFound for a name that is neither, ConfigError for what is wrong in it.
    """
    path = Path(source)
    if not path.suffix and not path.exists():
        if str(source) not in default_names():
            known = ", ".join(default_names())
            raise NotFound(f"no composition {str(source)!r}: name a TOML file, or one of {known}")
        path = _DEFAULTS / f"{source}.toml"
    return load_toml(path, CompositionConfig)


def default_names() -> list[str]:
    """The packaged compositions, one for each branch."""
    return sorted(path.stem for path in _DEFAULTS.glob("*.toml"))


def _check_gate(gate: Gate, where: str) -> None:
    known = registry.entry(gate.scorer)
    bounds = [one for one in (gate.at_least, gate.at_most) if one is not None]
    if known.gate and bounds:
        raise ValueError(
            f"{where}: {gate.scorer!r} passes or stops by itself: leave the bounds out"
        )
    if not known.gate and not bounds:
        raise ValueError(f"{where}: {gate.scorer!r} measures {known.unit}: say at_least or at_most")


def _check_component(one: Component, where: str) -> None:
    known, rule = registry.entry(one.scorer), one.normalise
    if known.gate:
        raise ValueError(f"{where}: {one.scorer!r} is a gate: write it under [[gate]]")
    if known.direction is Direction.NEITHER and rule.by not in ("target",):
        raise ValueError(
            f"{where}: no value of {one.scorer!r} is better for being higher: normalise by target"
        )
    if rule.by == "range" and rule.worst is not None and rule.best is not None:
        rises = rule.best > rule.worst
        if known.direction is not Direction.NEITHER and rises != (
            known.direction is Direction.HIGHER
        ):
            raise ValueError(
                f"{where}: {one.scorer!r} is better {known.direction.value}, but worst is {rule.worst} and "
                f"best {rule.best}: swap them"
            )
    if one.shape.by == "power" and not (one.clip and rule.by in ("range", "target")):
        raise ValueError(f"{where}: a power is of values from 0 on: normalise by range, give clip")
    if one.clip is not None and one.clip[0] >= one.clip[1]:
        raise ValueError(f"{where}: clip {list(one.clip)} goes from the lowest to the highest")
