"""Values on a common scale, and means over them. Every sum is exactly rounded: no order of items changes a bit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trivox.reward_models.composition.config import Normalise, Shape


@dataclass(frozen=True)
class Statistics:
    """Count, sum and sum of squares of values."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def with_values(self, values: Sequence[float]) -> "Statistics":
        return Statistics(
            self.count + len(values),
            math.fsum([self.total, *values]),
            math.fsum([self.squares, *(value * value for value in values)]),
        )

    def deviations(self, value: float) -> float:
        """How many standard deviations (population) value lies above the mean; 0 where all values are one."""
        mean = self.total / self.count
        spread = math.sqrt(max(0.0, self.squares / self.count - mean * mean))
        # Below this a spread is rounding: 0.1 three times has one of 1e-9.
        return (value - mean) / spread if spread > 1e-7 * max(1.0, abs(mean)) else 0.0


def normalised(value: float, rule: Normalise, higher: bool) -> float:
    """none, range and target; higher: whether more is better."""
    if rule.by == "range" and rule.worst is not None and rule.best is not None:
        return (value - rule.worst) / (rule.best - rule.worst)
    if rule.by == "target" and rule.target is not None and rule.tolerance is not None:
        return 1 - abs(value - rule.target) / rule.tolerance
    return value if higher else -value


def shaped(value: float, shape: Shape, clip: tuple[float, float] | None) -> float:
    """The shape, then the clip. A power is of the value clipped at 0."""
    value = _shape(value, shape)
    return min(max(value, clip[0]), clip[1]) if clip else value


def _shape(value: float, shape: Shape) -> float:
    match shape.by:
        case "power":
            return float(max(value, 0.0) ** shape.rate)
        case "exponential":
            return math.exp(min(shape.rate * (value - 1), 700))
        case "tanh":
            return 1 - math.tanh(shape.rate * (1 - value))
        case "logistic":
            return 0.5 * (1 + math.tanh(shape.rate * value / 2))
    return value


def combined(values: Sequence[float], weights: Sequence[float], how: str) -> float:
    """geometric exp(sum w log x / sum w), harmonic sum w / sum (w / x), both 0 where any x is; mean; sum.

    values: not below 0 for the first two; not empty.
    """
    whole = math.fsum(weights)
    if how in ("geometric", "harmonic") and min(values) <= 0:
        return 0.0
    pairs = list(zip(values, weights, strict=True))
    if how == "geometric":
        return math.exp(math.fsum(weight * math.log(value) for value, weight in pairs) / whole)
    if how == "harmonic":
        return whole / math.fsum(weight / value for value, weight in pairs)
    total = math.fsum(weight * value for value, weight in pairs)
    return total if how == "sum" else total / whole


def disagreement(values: Sequence[float], weights: Sequence[float]) -> float:
    """Weighted standard deviation of the components' values: 0 where all say the same."""
    whole = math.fsum(weights)
    mean = math.fsum(w * value for value, w in zip(values, weights, strict=True)) / whole
    return math.sqrt(
        math.fsum(w * (value - mean) ** 2 for value, w in zip(values, weights, strict=True)) / whole
    )
