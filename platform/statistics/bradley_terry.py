"""Strengths from comparisons: Bradley-Terry with ties (Davidson 1970) and the pull of the side shown first.

For items i (shown first) and j with strengths a and b in logits, side term g and tie term t the outcomes are as
    first : second : tie  =  exp(a + g) : exp(b) : exp(t + (a + g + b) / 2).
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivox.platform.errors import UsageError, WorkError
from trivox.platform.statistics.intervals import Interval

Matrix = NDArray[np.float64]
_Z = 1.959963984540054


@dataclass(frozen=True)
class Bout:
    """side: 1 the first shown won, -1 the second, 0 a tie. cluster: what hangs together (a judge, a prompt)."""

    first: Hashable
    second: Hashable
    side: int
    weight: float = 1.0
    cluster: Hashable = None


@dataclass(frozen=True)
class Standing:
    """strength in logits around the mean of all bouts, with a 95 % interval; bouts it was in."""

    item: Hashable
    strength: float
    interval: Interval
    bouts: int


@dataclass(frozen=True)
class BradleyTerry:
    """standings by lower bound, best first. side: pull of the first place in logits; tie: log-propensity to tie,
    None where nobody tied."""

    standings: tuple[Standing, ...]
    side: float
    side_interval: Interval
    tie: float | None

    def probability(self, one: Hashable, other: Hashable) -> float:
        """That one beats other, sides balanced and ties left out."""
        strengths = {standing.item: standing.strength for standing in self.standings}
        return 1 / (1 + math.exp(strengths[other] - strengths[one]))


def bradley_terry(bouts: Sequence[Bout], prior: float = 0.01) -> BradleyTerry:
    """Fit by penalised likelihood; prior is the precision of a Gaussian on strengths (and on side and tie) that
    keeps the unbeaten finite.

    Two items, 8 wins, 2 losses, 4 ties, no side: the strengths are apart by ln(8/2) and the tie term is
    ln(4 / sqrt(8 * 2)) = 0. Intervals are Wald's; by the cluster-robust sandwich where bouts have clusters. Raises
    UsageError for no bouts or an item against itself, WorkError where the fit does not converge.
    """
    _check(bouts)
    items = list(dict.fromkeys(name for bout in bouts for name in (bout.first, bout.second)))
    place = {item: number for number, item in enumerate(items)}
    data = _Data(
        np.array([place[bout.first] for bout in bouts]),
        np.array([place[bout.second] for bout in bouts]),
        np.array([bout.side for bout in bouts]),
        np.array([bout.weight for bout in bouts], dtype=float),
        len(items),
        any(bout.side == 0 for bout in bouts),
    )
    found, hessian = _newton(data, prior)
    covariance = _covariance(data, found, hessian, [bout.cluster for bout in bouts])
    return _standings(items, data, found, covariance)


def _check(bouts: Sequence[Bout]) -> None:
    if not bouts:
        raise UsageError("no comparison to rank by: at least one is needed")
    for bout in bouts:
        if bout.first == bout.second or bout.side not in (-1, 0, 1):
            raise UsageError(f"{bout}: two different items and a side of -1, 0 or 1 are wanted")
        if not (math.isfinite(bout.weight) and bout.weight >= 0):
            raise UsageError(
                f"weight {bout.weight} of {bout.first} against {bout.second} is below 0"
            )


@dataclass(frozen=True)
class _Data:
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    side: NDArray[np.int64]
    weight: Matrix
    items: int
    ties: bool

    @property
    def size(self) -> int:
        """Strengths, side, tie."""
        return self.items + 2

    def features(self) -> Matrix:
        """[bouts, outcomes (first, second, tie), parameters]: logits are linear in the parameters."""
        rows = np.arange(len(self.first))
        made = np.zeros((len(rows), 3, self.size))
        made[rows, 0, self.first] = made[rows, 1, self.second] = 1.0
        made[rows, 2, self.first] = made[rows, 2, self.second] = 0.5
        made[:, 0, -2], made[:, 2, -2], made[:, 2, -1] = 1.0, 0.5, 1.0
        return made

    def outcome(self) -> NDArray[np.int64]:
        return np.where(self.side == 1, 0, np.where(self.side == -1, 1, 2))


def _probabilities(data: _Data, features: Matrix, x: Matrix) -> Matrix:
    logits = features @ x
    if not data.ties:
        logits[:, 2] = -np.inf
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _scores(data: _Data, features: Matrix, p: Matrix) -> Matrix:
    """Gradient of each bout's log-likelihood, weighted, [bouts, parameters]."""
    reached = features[np.arange(len(p)), data.outcome()]
    return np.asarray((reached - np.einsum("bo,bop->bp", p, features)) * data.weight[:, None])


def _newton(data: _Data, prior: float, steps: int = 100) -> tuple[Matrix, Matrix]:
    features, x = data.features(), np.zeros(data.size)
    penalty = np.diag(np.full(data.size, prior))
    # What the bouts cannot tell: where the strengths lie together, and the ties of bouts without any.
    penalty[: data.items, : data.items] += 1 / data.items**2
    penalty[-1, -1] += 0.0 if data.ties else 1.0
    for _ in range(steps):
        p = _probabilities(data, features, x)
        gradient = _scores(data, features, p).sum(axis=0) - penalty @ x
        mean = np.einsum("bo,bop->bp", p, features)
        second = np.einsum("b,bo,bop,boq->pq", data.weight, p, features, features, optimize=True)
        hessian = second - np.einsum("b,bp,bq->pq", data.weight, mean, mean, optimize=True)
        hessian += penalty
        step = np.linalg.solve(hessian, gradient)
        x = x + step * min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-9:
            return x, hessian
    raise WorkError(
        f"the ranking of {data.items} items did not settle in {steps} steps: raise prior"
    )


def _covariance(data: _Data, x: Matrix, hessian: Matrix, clusters: Sequence[Hashable]) -> Matrix:
    inverse = np.linalg.inv(hessian)
    if any(cluster is None for cluster in clusters):
        return np.asarray(inverse)
    groups = {cluster: number for number, cluster in enumerate(dict.fromkeys(clusters))}
    if len(groups) < 2:
        return np.asarray(inverse)
    features = data.features()
    scores = _scores(data, features, _probabilities(data, features, x))
    sums = np.zeros((len(groups), data.size))
    np.add.at(sums, [groups[cluster] for cluster in clusters], scores)
    middle = sums.T @ sums * len(groups) / (len(groups) - 1)
    return np.asarray(inverse @ middle @ inverse)


def _standings(items: list[Hashable], data: _Data, x: Matrix, covariance: Matrix) -> BradleyTerry:
    bouts = np.bincount(np.concatenate([data.first, data.second]), minlength=data.items)
    # Weighed by bouts, so that one hardly seen does not blur what is known of the others.
    centre = np.eye(data.items) - bouts / bouts.sum()
    strengths = centre @ x[: data.items]
    spread = np.sqrt(np.diag(centre @ covariance[: data.items, : data.items] @ centre.T).clip(0))
    found = [
        Standing(item, float(value), _around(float(value), float(width)), int(count))
        for item, value, width, count in zip(items, strengths, spread, bouts, strict=True)
    ]
    found.sort(key=lambda one: -one.interval.low)
    side, width = float(x[-2]), math.sqrt(max(0.0, float(covariance[-2, -2])))
    return BradleyTerry(
        tuple(found), side, _around(side, width), float(x[-1]) if data.ties else None
    )


def _around(value: float, width: float) -> Interval:
    return Interval(value - _Z * width, value + _Z * width)
