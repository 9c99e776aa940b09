"""Plots as coordinates: the template draws them as SVG, in colours and dashes that do without hue."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trivox.platform.statistics.intervals import Interval
from trivox.reward_models.report.best_of import BestOf
from trivox.reward_models.report.figures import Agreed, Figures

WIDTH, HEIGHT = 480, 260
STYLES = (
    ("var(--one)", "none"),
    ("var(--two)", "8 4"),
    ("var(--three)", "2 3"),
    ("var(--four)", "10 3 2 3"),
)
"""Colour (Okabe and Ito's) and dash of each line."""


@dataclass(frozen=True)
class Line:
    """points: "x,y x,y" in the plot's box; marks: (x, y, low y, high y) of each point."""

    name: str
    colour: str
    dash: str
    points: str
    marks: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Tick:
    place: float
    text: str


@dataclass(frozen=True)
class Plot:
    """width, height in px of the inside; diagonal: the line of perfect calibration."""

    title: str
    says: str
    across: str
    up: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    diagonal: bool = False
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class Bar:
    """A row of the plot of subsets: places in px of value, interval and ceiling, None where unknown."""

    name: str
    value: float | None
    low: float
    high: float
    ceiling: float | None
    text: str


HACKED = "A judge of another family: where it falls, the reward is hacked."
Point = tuple[float, float, Interval | None]


def plots(figures: Figures | None, searched: Sequence[BestOf]) -> dict[str, object]:
    """subsets: rows; lines: plots that have something to show."""
    lines: list[Plot] = []
    if figures is not None and figures.reliability:
        lines += [_reliability(figures), _abstention(figures)]
    if any(one.mean is not None for one in searched):
        lines += _searched(searched)
    rows = [] if figures is None else [_bar(one) for one in (figures.overall, *figures.subsets)]
    return {"subsets": rows, "lines": lines}


def _bar(one: Agreed) -> Bar:
    scale = 300.0
    if one.accuracy is None:
        return Bar(one.subset, None, 0.0, scale, None, f"no value ({one.failed} failed)")
    top = None if one.ceiling.accuracy is None else scale * one.ceiling.accuracy
    told = f"{one.accuracy:.1%} of {one.pairs}"
    if one.ceiling.accuracy is not None:
        told += f"; ceiling {one.ceiling.accuracy:.1%}"
    low, high = (_within(bound) for bound in (one.interval.low, one.interval.high))
    return Bar(one.subset, scale * one.accuracy, scale * low, scale * high, top, told)


def _within(bound: float) -> float:
    return min(1.0, max(0.0, bound))


def _reliability(figures: Figures) -> Plot:
    points: list[Point] = [(one.confidence, one.accuracy, None) for one in figures.reliability]
    ticks = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    return Plot(
        "Reliability",
        f"Expected calibration error {figures.calibration_error or 0:.3f}. On the thin line the reward is as "
        "often right as it is sure.",
        "how sure the reward is",
        "how often it is right",
        (_line("reward", points, (0.5, 1.0), (0.0, 1.0), 0),),
        _ticks(ticks, (0.5, 1.0), WIDTH, False),
        _ticks((0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 1.0), HEIGHT, True),
        diagonal=True,
    )


def _abstention(figures: Figures) -> Plot:
    points: list[Point] = sorted((one.coverage, one.accuracy, None) for one in figures.abstention)
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    return Plot(
        "Abstention",
        "How often it is right when it answers only what it is surest of.",
        "share of pairs answered",
        "how often it is right",
        (_line("reward", points, (0.0, 1.0), (0.0, 1.0), 0),),
        _ticks(ticks, (0.0, 1.0), WIDTH, False),
        _ticks(ticks, (0.0, 1.0), HEIGHT, True),
    )


def _searched(searched: Sequence[BestOf]) -> list[Plot]:
    """One plot for each judge: their units differ."""
    return [
        _one_search(
            [one for one in searched if one.judge == judge and one.mean is not None], number
        )
        for number, judge in enumerate(dict.fromkeys(one.judge for one in searched))
        if any(one.judge == judge and one.mean is not None for one in searched)
    ]


def _one_search(curve: Sequence[BestOf], number: int) -> Plot:
    judge = curve[0].judge
    points: list[Point] = [(math.log2(one.n), one.mean or 0.0, one.interval) for one in curve]
    finite = [v for _, y, i in points for v in (y, *_bounds(i)) if math.isfinite(v)]
    low, high = min(finite), max(finite)
    span = (low, high if high > low else low + 1.0)
    across = (0.0, max(1.0, points[-1][0]))
    return Plot(
        f"Best of n: {judge}",
        "What is searched by." if judge == "reward" else HACKED,
        "candidates searched by the reward",
        judge,
        (_line(judge, points, across, span, number),),
        tuple(Tick(_place(math.log2(one.n), across, WIDTH), str(one.n)) for one in curve),
        _ticks((span[0], sum(span) / 2, span[1]), span, HEIGHT, True),
    )


def _bounds(interval: Interval | None) -> tuple[float, ...]:
    return () if interval is None else (interval.low, interval.high)


def _line(
    name: str,
    points: Sequence[Point],
    across: tuple[float, float],
    up: tuple[float, float],
    number: int,
) -> Line:
    colour, dash = STYLES[number % len(STYLES)]
    marks = []
    for x, y, interval in points:
        bounds = [bound if math.isfinite(bound) else y for bound in _bounds(interval) or (y, y)]
        place = _place(x, across, WIDTH)
        marks.append((place, *(HEIGHT - _place(one, up, HEIGHT) for one in (y, *bounds))))
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in marks)
    return Line(name, colour, dash, joined, tuple((x, y, low, high) for x, y, low, high in marks))


def _ticks(
    values: Sequence[float], span: tuple[float, float], size: int, upward: bool
) -> tuple[Tick, ...]:
    places = [_place(value, span, size) for value in values]
    texts = [f"{value:.3g}" for value in values]
    return tuple(
        Tick(size - place if upward else place, text)
        for place, text in zip(places, texts, strict=True)
    )


def _place(value: float, span: tuple[float, float], size: int) -> float:
    return size * (value - span[0]) / (span[1] - span[0])
