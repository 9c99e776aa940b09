"""The figures of a report on a reward, from judged pairs."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trivox.platform.records import JudgeKind
from trivox.platform.statistics.intervals import Interval, mean_interval, paired_bootstrap
from trivox.platform.statistics.judging import (
    Bin,
    Coverage,
    FlipRate,
    abstention_curve,
    calibration_error,
    flip_rate,
    reliability,
)
from trivox.reward_models.report.ceiling import Ceiling, ceiling
from trivox.reward_models.report.judged import CLEAR, JudgedPair, check_judged

_POINTS = 50


@dataclass(frozen=True)
class Agreed:
    """accuracy: share of decided pairs on which reward and majority agree, indifference half; None without any.
    failed: decided pairs of which the reward has no value. ceiling: what raters reach among themselves."""

    subset: str
    accuracy: float | None
    interval: Interval
    pairs: int
    failed: int
    ceiling: Ceiling

    def to_json(self) -> dict[str, Any]:
        return {
            "subset": self.subset,
            "accuracy": self.accuracy,
            "interval": [self.interval.low, self.interval.high],
            "pairs": self.pairs,
            "failed": self.failed,
            "ceiling": self.ceiling.to_json(),
        }


@dataclass(frozen=True)
class Bias:
    """How often the larger of two replies is preferred: by the reward, by the raters, and the difference, with its
    interval by prompts. pairs: those that differ in size and have a value and a majority."""

    size: str
    by_reward: float
    by_raters: float
    difference: float
    interval: Interval
    pairs: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"interval": [self.interval.low, self.interval.high]}


@dataclass(frozen=True)
class Figures:
    """judges: who the raters were; where they are not human, no figure is one of people's. calibration_error,
    reliability and abstention are of pairs with a probability, empty and None without."""

    judges: JudgeKind
    overall: Agreed
    subsets: tuple[Agreed, ...]
    flips: FlipRate | None
    calibration_error: float | None
    reliability: tuple[Bin, ...]
    abstention: tuple[Coverage, ...]
    biases: tuple[Bias, ...]
    failures: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        flips = None if self.flips is None else asdict(self.flips)
        return {
            "judges": self.judges.value,
            "judged_by_people": self.judges is JudgeKind.HUMAN,
            "overall": self.overall.to_json(),
            "subsets": [one.to_json() for one in self.subsets],
            "order_flips": flips,
            "calibration_error": self.calibration_error,
            "reliability": [asdict(one) for one in self.reliability],
            "abstention": [asdict(one) for one in self.abstention],
            "biases": [one.to_json() for one in self.biases],
            "failures": self.failures,
        }


def figures(pairs: Sequence[JudgedPair], seed: int = 0) -> Figures:
    """Everything that follows from judged pairs. Raises UsageError as `check_judged`.

    flips is None for a reward that scores each reply alone: the order in which they are shown cannot matter to it.
    """
    check_judged(pairs)
    confidences, right = _confidences(pairs)
    pairwise = [pair for pair in pairs if pair.orders is not None]
    return Figures(
        judges=pairs[0].judges,
        overall=agreed("all", pairs, seed),
        subsets=tuple(
            agreed(name, inside, seed)
            for name, inside in subsets(pairs)
            if len(inside) < len(pairs)
        ),
        flips=flip_rate([pair.orders for pair in pairs]) if pairwise else None,
        calibration_error=calibration_error(confidences, right) if right else None,
        reliability=tuple(reliability(confidences, right)) if right else (),
        abstention=_thinned(abstention_curve(confidences, right)) if right else (),
        biases=tuple(biases(pairs, seed)),
        failures=_failures(pairs),
    )


def agreed(name: str, pairs: Sequence[JudgedPair], seed: int = 0) -> Agreed:
    """Interval by a bootstrap over prompts. By hand: credits 1, 1, 0.5 and a failed one: 5/6 of 3, 1 failed."""
    decided = [pair for pair in pairs if pair.side]
    scored = [(pair.credit, pair.prompt) for pair in decided if pair.credit is not None]
    values = [credit for credit, _ in scored if credit is not None]
    interval = Interval(0.0, 1.0)
    if values:
        found = mean_interval(values, [prompt for _, prompt in scored], seed)
        interval = Interval(max(0.0, found.low), min(1.0, found.high))
    accuracy = sum(values) / len(values) if values else None
    failed = len(decided) - len(values)
    return Agreed(name, accuracy, interval, len(values), failed, ceiling(pairs, seed))


def subsets(pairs: Sequence[JudgedPair]) -> list[tuple[str, list[JudgedPair]]]:
    """By branch, same or different text, expressive or plain, margin of the raters, and source."""
    keys: list[Callable[[JudgedPair], Hashable]] = [
        lambda pair: f"branch: {pair.branch.value}",
        _text_kind,
        lambda pair: None if pair.expressive is None else _style(pair.expressive),
        lambda pair: (
            f"margin: {'clear' if pair.strength >= CLEAR else 'slight'}" if pair.side else None
        ),
        lambda pair: f"source: {pair.source}",
    ]
    found: list[tuple[str, list[JudgedPair]]] = []
    for key in keys:
        groups: dict[Hashable, list[JudgedPair]] = {}
        for pair in pairs:
            if (value := key(pair)) is not None:
                groups.setdefault(value, []).append(pair)
        found += sorted(
            ((str(name), inside) for name, inside in groups.items()), key=lambda one: one[0]
        )
    return found


def biases(pairs: Sequence[JudgedPair], seed: int = 0) -> list[Bias]:
    """For each size, over pairs whose replies differ in it.

    By hand: three pairs whose first is longer; the reward prefers it in all, the raters in one: 1 - 1/3 = 2/3.
    """
    names = dict.fromkeys(name for pair in pairs for name in (pair.sizes or {}))
    return [bias for name in names if (bias := _bias(name, pairs, seed)) is not None]


def _bias(name: str, pairs: Sequence[JudgedPair], seed: int) -> Bias | None:
    usable = [
        (pair, sizes)
        for pair in pairs
        if pair.side and pair.difference is not None and (sizes := (pair.sizes or {}).get(name))
        and sizes[0] != sizes[1]
    ]  # fmt: skip
    if not usable:
        return None
    larger = [1 if sizes[0] > sizes[1] else -1 for _, sizes in usable]
    by_reward = [
        _share(pair.difference or 0.0, way) for (pair, _), way in zip(usable, larger, strict=True)
    ]
    by_raters = [_share(pair.side, way) for (pair, _), way in zip(usable, larger, strict=True)]
    apart = [one - other for one, other in zip(by_reward, by_raters, strict=True)]
    interval = paired_bootstrap(apart, [pair.prompt for pair, _ in usable], seed)
    count = len(usable)
    own, theirs = sum(by_reward) / count, sum(by_raters) / count
    return Bias(name, own, theirs, own - theirs, interval, count)


def _share(preferred: float, way: int) -> float:
    """1 where the larger is preferred, 0.5 where neither is."""
    return (1 + (preferred * way > 0) - (preferred * way < 0)) / 2


def _text_kind(pair: JudgedPair) -> str | None:
    one, other = pair.texts
    if one is None or other is None:
        return None
    return "text: same" if one == other else "text: different"


def _style(expressive: bool) -> str:
    return "style: expressive" if expressive else "style: plain"


def _confidences(pairs: Sequence[JudgedPair]) -> tuple[list[float], list[bool]]:
    """Of decided pairs: how sure the reward is of its side, and whether that is the majority's. What it is quite
    indifferent to is no answer."""
    told = [
        (max(pair.probability, 1 - pair.probability), (pair.probability > 0.5) == (pair.side > 0))
        for pair in pairs
        if pair.side and pair.probability is not None and pair.probability != 0.5
    ]
    return [confidence for confidence, _ in told], [right for _, right in told]


def _thinned(curve: Sequence[Coverage]) -> tuple[Coverage, ...]:
    """At most so many points as a plot can show, ends included."""
    if len(curve) <= _POINTS:
        return tuple(curve)
    return tuple(curve[round(i * (len(curve) - 1) / (_POINTS - 1))] for i in range(_POINTS))


def _failures(pairs: Sequence[JudgedPair]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for pair in pairs:
        if pair.difference is None:
            kind = pair.failure or "unknown"
            counts[kind] = counts.get(kind, 0) + 1
    return counts
