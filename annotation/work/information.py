"""What an answer is expected to tell: the mutual information of the answer and what is not known yet.

Of every prompt's rollouts the qualities q are fitted together (Bradley-Terry with a Gaussian prior, Laplace's
approximation): q_i ~ N(m_i, s_i^2), where the stored reward of a rollout gives m_i and its uncertainty widens s_i;
answers of judges that disagree leave q_i - q_j near 0 and narrow. For a pair with d = q_i - q_j ~ N(mu, v) the
information of one more answer is H(E[p]) - E[H(p)], p = 1 / (1 + exp(-d)) (Houlsby et al. 2011, BALD), in bits.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import sqlalchemy as sa
from numpy.typing import NDArray
from scipy.special import expit

from trivox.annotation.work.answers import side_of
from trivox.platform.records import (
    Campaign,
    Direction,
    Judgement,
    Purpose,
    Score,
    ScorerRole,
    Task,
    TaskKind,
    TaskState,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

REFRESH_S = 60.0
_SPREAD = 1.0
"""Standard deviation of quality among the rollouts of a prompt, in logits, before anything is known."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(32)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_STEPS = 25

Vector = NDArray[np.float64]
Vote = tuple[int, int, int]
"""(item, other item, side): 1 the first is better, -1 the second, 0 a tie."""


@dataclass(frozen=True)
class Prior:
    """What is believed of one rollout before judges spoke, in logits."""

    mean: float = 0.0
    variance: float = _SPREAD**2


def expected_information(mean: Vector, variance: Vector) -> Vector:
    """Bits that one answer tells of pairs whose difference in quality is N(mean, variance), elementwise."""
    spread = np.sqrt(np.maximum(variance, 0.0))
    p = expit(mean[:, None] + spread[:, None] * _NODES)
    told = _entropy(p @ _WEIGHTS) - _entropy(p) @ _WEIGHTS
    return np.asarray(np.maximum(told, 0.0))


def _entropy(p: Vector) -> Vector:
    safe = np.clip(p, 1e-12, 1 - 1e-12)
    return np.asarray(-(safe * np.log2(safe) + (1 - safe) * np.log2(1 - safe)))


def posterior(priors: Sequence[Prior], votes: Sequence[Vote]) -> tuple[Vector, Vector]:
    """Mean [n] and covariance [n, n] of the qualities of n rollouts, by Newton's method."""
    mean = np.array([one.mean for one in priors])
    precision = np.diag([1 / one.variance for one in priors])
    quality = mean.copy()
    for _ in range(_STEPS):
        gradient, hessian = precision @ (quality - mean), precision.copy()
        for one, other, side in votes:
            p = expit(quality[one] - quality[other])
            slope, bend = p - (side + 1) / 2, p * (1 - p)
            gradient[one] += slope
            gradient[other] -= slope
            hessian[[one, other], [one, other]] += bend
            hessian[[one, other], [other, one]] -= bend
        step = np.linalg.solve(hessian, gradient)
        quality = quality - step
        if np.abs(step).max() < 1e-8:
            break
    return quality, np.linalg.inv(hessian)


def priors_of(workspace: Workspace, rollouts: Sequence[str]) -> dict[str, Prior]:
    """From the stored scores of role reward: standardised by component, averaged, higher is better."""
    scores = workspace.tables.scan(Score).filter(
        pl.col("rollout").is_in(sorted(rollouts)),
        pl.col("role") == ScorerRole.REWARD.value,
        pl.col("value").is_not_null(),
    )
    columns = ("rollout", "component", "value", "uncertainty", "direction")
    found: dict[str, list[Prior]] = defaultdict(list)
    for _, rows in scores.select(columns).collect().group_by("component"):
        values = rows["value"].to_numpy().astype(float)
        spread = float(values.std()) or 1.0
        middle = float(values.mean())
        for rollout, _, value, uncertainty, direction in rows.iter_rows():
            sign = 1.0 if direction == Direction.HIGHER.value else -1.0
            wide = _SPREAD**2 / 2 + ((uncertainty or 0.0) / spread) ** 2
            found[rollout].append(Prior(sign * (value - middle) / spread, wide))
    return {rollout: _joint(parts) for rollout, parts in found.items()}


def _joint(parts: Sequence[Prior]) -> Prior:
    count = len(parts)
    return Prior(sum(p.mean for p in parts) / count, sum(p.variance for p in parts) / count)


def information_of(
    tasks: Sequence[Task], judgements: Sequence[Judgement], priors: Mapping[str, Prior]
) -> dict[str, float]:
    """Task -> bits that one more answer is expected to tell; comparisons of two only."""
    votes: dict[str, list[int]] = defaultdict(list)
    for one in judgements:
        side = side_of(one.answer)
        if one.purpose is Purpose.JUDGE and side is not None:
            votes[one.task].append(side)
    groups: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        if task.kind is TaskKind.COMPARE and len(task.items) == 2:
            groups[task.prompt].append(task)
    told: dict[str, float] = {}
    for group in groups.values():
        told |= _of_prompt(group, votes, priors)
    return told


def _of_prompt(
    tasks: Sequence[Task], votes: Mapping[str, list[int]], priors: Mapping[str, Prior]
) -> dict[str, float]:
    items = sorted({item for task in tasks for item in task.items})
    index = {item: place for place, item in enumerate(items)}
    given = [
        (index[task.items[0]], index[task.items[1]], side)
        for task in tasks
        for side in votes.get(task.id, ())
    ]
    quality, covariance = posterior([priors.get(item, Prior()) for item in items], given)
    pairs = np.array([[index[item] for item in task.items] for task in tasks])
    a, b = pairs[:, 0], pairs[:, 1]
    spread = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
    bits = expected_information(quality[a] - quality[b], spread)
    return {task.id: float(value) for task, value in zip(tasks, bits, strict=True)}


def refresh(workspace: Workspace, campaign: str) -> int:
    """Work out anew what is informative in a campaign; returns how many tasks. Predictions are stored nowhere else
    and shown to nobody."""
    tasks = workspace.records.find(Task, campaign=campaign)
    wanted = {task.id for task in tasks}
    every = workspace.records.find(Judgement, project=workspace.project)
    judgements = [one for one in every if one.task in wanted]
    items = sorted({item for task in tasks for item in task.items})
    told = information_of(tasks, judgements, priors_of(workspace, items))
    states = table_of(TaskState)
    change = sa.update(states).where(states.c.id == sa.bindparam("task"))
    rows = [{"task": task, "bits": bits} for task, bits in told.items()]
    if rows:
        with workspace.records.statements(write=True) as connection:
            connection.execute(change.values(information=sa.bindparam("bits")), rows)
    return len(rows)


class Refresher:
    """Refreshes a campaign in the background, at most once in REFRESH_S while answers come in."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._last: dict[str, float] = {}
        self._busy = threading.Lock()

    def answered(self, campaign: Campaign) -> None:
        """Note an answer; starts a thread when it is time."""
        now = time.monotonic()
        due = now - self._last.setdefault(campaign.id, now) >= REFRESH_S
        if campaign.plan.active and due and self._busy.acquire(blocking=False):
            self._last[campaign.id] = now
            threading.Thread(target=self._run, args=[campaign.id], daemon=True).start()

    def _run(self, campaign: str) -> None:
        try:
            refresh(self._workspace, campaign)
        finally:
            self._busy.release()
