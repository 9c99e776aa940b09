"""Rewards that mean what they say: a temperature for their differences, and how wide each one is.

Temperature scaling (Guo et al. 2017) for the likelihood of `losses`: b = 1 / T and the log-propensity to tie t are
chosen anew on a calibration split, where the logits b d / 2, -b d / 2 and t are linear, so that there is one
optimum. The width is Laplace's approximation of the head alone (Daxberger et al. 2021, last layer).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivox.platform.errors import UsageError

Vector = NDArray[np.float64]
_LEAST, _MOST = 1e-3, 1e3
_STEPS = 200


@dataclass(frozen=True)
class Calibration:
    """temperature: rewards are divided by it. tie: log-propensity to tie, None where nobody tied. pairs: of how
    many judgements; nll: mean -log P per judgement before (T = 1, the trained tie) and after."""

    temperature: float
    tie: float | None
    pairs: int
    nll_before: float
    nll_after: float


def negative_log_likelihood(
    differences: Vector, ties: NDArray[np.bool_], inverse: float, tie: float | None
) -> float:
    """Mean -log P of judgements; differences [n]: reward of the chosen less that of the rejected."""
    logp = _log_probabilities(differences, inverse, tie)
    return float(-np.where(ties, logp[:, 2], logp[:, 0]).mean())


def fit_temperature(
    differences: Vector, ties: NDArray[np.bool_], tie: float | None = None
) -> Calibration:
    """Temperature and tie by Newton's method; tie: what the model learned, for the comparison alone.

    By hand: differences 1, 1, 1, -1 without ties: sigmoid(b) = 3/4, so b = ln 3 and T = 0.910239; the
    mean loss goes from 0.563262 to 0.562335. Rewards that are never wrong get a temperature
    that leaves no loss, those no better than chance 1000. Raises UsageError for no decided judgement and for
    differences that are not finite.
    """
    _check(differences, ties)
    tied = bool(ties.any())
    before = negative_log_likelihood(differences, ties, 1.0, (tie or 0.0) if tied else None)
    inverse, found = _newton(differences, ties, tied)
    after = negative_log_likelihood(differences, ties, inverse, found)
    return Calibration(1 / inverse, found, len(differences), before, after)


def _check(differences: Vector, ties: NDArray[np.bool_]) -> None:
    if len(differences) != len(ties):
        raise UsageError(f"{len(differences)} differences and {len(ties)} labels: give one each")
    if not len(differences) or bool(ties.all()):
        raise UsageError(
            f"{len(differences)} judgements, none with a preferred side: a temperature needs some"
        )
    if not bool(np.isfinite(differences).all()):
        raise UsageError("rewards that are not finite have no temperature: leave failures out")


def _log_probabilities(differences: Vector, inverse: float, tie: float | None) -> Vector:
    """[n, 3]: chosen, rejected, tie."""
    half = inverse * differences / 2
    third = np.full_like(half, -np.inf if tie is None else tie)
    logits = np.stack([half, -half, third], axis=1)
    top = logits.max(axis=1, keepdims=True)
    found: Vector = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return found


def _newton(differences: Vector, ties: NDArray[np.bool_], tied: bool) -> tuple[float, float | None]:
    """The most likely (1 / T, t), the first within its bounds; steps are halved until the loss falls."""
    x = np.array([1.0 / max(float(np.abs(differences).mean()), 1e-9), 0.0])
    loss = _loss(differences, ties, x, tied)
    for _ in range(_STEPS):
        step = _step(differences, ties, x, tied)
        for _ in range(40):
            trial = x + step
            trial[0] = np.clip(trial[0], _LEAST, _MOST)
            found = _loss(differences, ties, trial, tied)
            if found <= loss:
                break
            step = step / 2
        else:
            break
        done = loss - found < 1e-12
        x, loss = trial, found
        if done:
            break
    return float(x[0]), float(x[1]) if tied else None


def _loss(differences: Vector, ties: NDArray[np.bool_], x: Vector, tied: bool) -> float:
    return negative_log_likelihood(differences, ties, float(x[0]), float(x[1]) if tied else None)


def _step(differences: Vector, ties: NDArray[np.bool_], x: Vector, tied: bool) -> Vector:
    """Newton's, from gradient and curvature of the mean log-likelihood."""
    p = np.exp(_log_probabilities(differences, float(x[0]), float(x[1]) if tied else None))
    half, zero = differences / 2, np.zeros_like(differences)
    features = np.stack(
        [np.stack([half, -half, zero], 1), np.stack([zero, zero, zero + float(tied)], 1)], axis=2
    )  # [n, outcomes, parameters]
    reached = np.where(ties[:, None], features[:, 2], features[:, 0])
    mean = np.einsum("no,nop->np", p, features)
    gradient = (reached - mean).mean(axis=0)
    second = np.einsum("no,nop,noq->pq", p, features, features) / len(differences)
    curvature = second - np.einsum("np,nq->pq", mean, mean) / len(differences)
    step: Vector = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
    return step


def head_covariance(
    features: Vector, differences: Vector, weights: Vector, prior: float = 1.0
) -> NDArray[np.float32]:
    """[H, H]: what the data leave open of the head's weights.

    features [n, H]: pooled of the chosen less that of the rejected; differences [n]: their rewards; weights [n].
    The inverse of sum w p (1 - p) f f' + prior, p = sigmoid(difference). By hand, H = 1: two pairs with f = 2,
    d = 0 give 2 * 1/4 * 4 + 1 = 3, so 1/3.
    """
    p = 1 / (1 + np.exp(-np.clip(differences, -50, 50)))
    curvature = np.einsum("n,np,nq->pq", weights * p * (1 - p), features, features)
    covariance: NDArray[np.float32] = np.linalg.inv(
        curvature + prior * np.eye(features.shape[1])
    ).astype(np.float32)
    return covariance
