"""Who judges how well, and what is probably true: Dawid and Skene (1979) with a Dirichlet prior."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivox.platform.errors import UsageError
from trivox.platform.statistics.intervals import Interval

Vote = tuple[Hashable, Hashable, int]
"""(item, judge, class 0..classes-1)"""
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """share of a judge's votes that are probably right, with Jeffreys' interval over that many votes."""

    share: float
    interval: Interval
    votes: int


@dataclass(frozen=True)
class DawidSkene:
    """posterior: item -> probability by class. confusion: judge -> [true, voted]. prevalence: of each class."""

    posterior: dict[Hashable, Matrix]
    confusion: dict[Hashable, Matrix]
    prevalence: Matrix
    reliability: dict[Hashable, Reliability]
    steps: int


def dawid_skene(
    votes: Sequence[Vote],
    classes: int,
    *,
    ordered: bool = False,
    strength: float = 1.0,
    steps: int = 200,
    tolerance: float = 1e-7,
) -> DawidSkene:
    """Expectation and maximisation in turn, from the shares of votes, until no posterior moves by tolerance.

    The prior gives every judge `strength` votes per true class, two thirds of them right; the rest is spread
    evenly, or, for ordered classes, halves with each step away: a judge who errs, errs near. Raises UsageError for
    no votes and for a class outside.
    """
    if not votes or classes < 2:
        raise UsageError(f"{len(votes)} votes in {classes} classes: give at least one vote and two")
    outside = [vote for vote in votes if not 0 <= vote[2] < classes]
    if outside:
        raise UsageError(f"class {outside[0][2]} of {outside[0][0]} is outside 0..{classes - 1}")
    items = list(dict.fromkeys(vote[0] for vote in votes))
    judges = list(dict.fromkeys(vote[1] for vote in votes))
    where = {item: place for place, item in enumerate(items)}, {j: n for n, j in enumerate(judges)}
    coded = np.array([(where[0][item], where[1][judge], kind) for item, judge, kind in votes])
    prior = strength * _prior(classes, ordered)
    posterior, confusion, prevalence, done = _fit(
        coded, (len(items), len(judges), classes), prior, steps, tolerance
    )
    return DawidSkene(
        dict(zip(items, posterior, strict=True)),
        dict(zip(judges, confusion, strict=True)),
        prevalence,
        _reliability(coded, posterior, judges),
        done,
    )


def _prior(classes: int, ordered: bool) -> Matrix:
    """Pseudo-votes [true, voted]; rows sum to 1, with 2/3 on the diagonal."""
    steps = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))).astype(float)
    away = np.where(steps > 0, 0.5**steps if ordered else 1.0, 0.0)
    return np.asarray(np.eye(classes) * 2 / 3 + away / away.sum(axis=1, keepdims=True) / 3)


def _fit(
    coded: NDArray[np.int64],
    shape: tuple[int, int, int],
    prior: Matrix,
    steps: int,
    tolerance: float,
) -> tuple[Matrix, Matrix, Matrix, int]:
    n, m, classes = shape
    item, judge, kind = coded.T
    posterior = np.full((n, classes), 1e-9)
    np.add.at(posterior, (item, kind), 1.0)
    posterior /= posterior.sum(axis=1, keepdims=True)
    step = 0
    while step < steps:
        step += 1
        prevalence = (posterior.sum(axis=0) + 1) / (n + classes)
        confusion = np.repeat(prior[None], m, axis=0)
        for true in range(classes):
            np.add.at(confusion[:, true], (judge, kind), posterior[item, true])
        confusion /= confusion.sum(axis=2, keepdims=True)
        new = _expected(coded, n, np.log(prevalence), np.log(confusion))
        moved = float(np.abs(new - posterior).max())
        posterior = new
        if moved < tolerance:
            break
    return posterior, confusion, prevalence, step


def _expected(coded: NDArray[np.int64], n: int, prevalence: Matrix, confusion: Matrix) -> Matrix:
    """Posterior [n, classes] from logarithms."""
    item, judge, kind = coded.T
    logs = np.repeat(prevalence[None], n, axis=0)
    np.add.at(logs, item, confusion[judge, :, kind])
    shifted = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def _reliability(
    coded: NDArray[np.int64], posterior: Matrix, judges: Sequence[Hashable]
) -> dict[Hashable, Reliability]:
    from scipy.stats import beta

    item, judge, kind = coded.T
    right = np.bincount(judge, weights=posterior[item, kind], minlength=len(judges))
    count = np.bincount(judge, minlength=len(judges))
    low = beta.ppf(0.025, right + 0.5, count - right + 0.5)
    high = beta.ppf(0.975, right + 0.5, count - right + 0.5)
    return {
        name: Reliability(
            float(right[place] / count[place]),
            Interval(float(low[place]), float(high[place])),
            int(count[place]),
        )
        for place, name in enumerate(judges)
    }
