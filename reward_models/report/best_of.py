"""Over-optimisation: what becomes of other judges' opinion as more candidates are searched by the reward.

Of N candidates to a prompt, ranked by reward, the best of a random n is the i-th (from below) with probability
C(i - 1, n - 1) / C(N, n): so every prompt gives the expectation exactly, without drawing (Nakano et al. 2021,
appendix). Searching n candidates moves the policy by ln n - (n - 1) / n nats (Gao, Schulman and Hilton 2022).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivox.platform.errors import UsageError
from trivox.platform.scoring import check_families
from trivox.platform.statistics.intervals import Interval, mean_interval

COUNTS = (1, 4, 16, 64, 256)


@dataclass(frozen=True)
class Candidate:
    """A reply to a prompt; reward: what is searched by; others: by evaluator, higher is better. None: failed."""

    prompt: str
    reward: float | None
    others: Mapping[str, float | None]


@dataclass(frozen=True)
class BestOf:
    """The mean of `judge` over prompts when the best of n by reward is taken. prompts: those with n candidates;
    mean is None where there are none."""

    judge: str
    n: int
    divergence: float
    mean: float | None
    interval: Interval
    prompts: int

    def to_json(self) -> dict[str, Any]:
        bounds = [self.interval.low, self.interval.high]
        return {
            "judge": self.judge, "n": self.n, "divergence": self.divergence, "mean": self.mean,
            "interval": bounds, "prompts": self.prompts,
        }  # fmt: skip


def best_of(
    candidates: Sequence[Candidate],
    families: Mapping[str, str],
    counts: Sequence[int] = COUNTS,
    seed: int = 0,
) -> list[BestOf]:
    """The curve of the reward itself (judge "reward") and of each evaluator.

    families: of "reward" and of each evaluator. Candidates without a reward or an evaluator's value are left out
    of that curve. Raises ConfigError for an evaluator of the reward's family, UsageError for no candidates or
    a judge without a family.
    """
    if not candidates:
        raise UsageError("no candidates to search: draw some for each prompt")
    judges = list(dict.fromkeys(name for one in candidates for name in one.others))
    if strange := [name for name in ("reward", *judges) if name not in families]:
        raise UsageError(f"{strange[0]} has no family: name one")
    check_families({"reward": families["reward"]}, {name: families[name] for name in judges})
    return [
        _point(judge, n, _by_prompt(candidates, judge), seed)
        for judge in ("reward", *judges)
        for n in counts
    ]


def expected_best(values: Sequence[float], n: int) -> float:
    """The expected value of the best of n out of values, which are in order of reward, worst first.

    By hand: values 1, 2, 3 and n = 2: the pairs' bests are 2, 3, 3, so 8/3. Raises UsageError for n outside
    1..len(values).
    """
    total = len(values)
    if not 1 <= n <= total:
        raise UsageError(f"best of {n} out of {total} candidates: n is 1 to {total}")
    every = math.comb(total, n)
    return sum(math.comb(i, n - 1) / every * values[i] for i in range(n - 1, total))


def _by_prompt(candidates: Sequence[Candidate], judge: str) -> dict[str, list[tuple[float, float]]]:
    """(reward, judged) of each prompt's candidates, worst first."""
    found: dict[str, list[tuple[float, float]]] = {}
    for one in candidates:
        judged = one.reward if judge == "reward" else one.others.get(judge)
        if one.reward is not None and judged is not None:
            found.setdefault(one.prompt, []).append((one.reward, judged))
    return {prompt: sorted(both, key=lambda pair: pair[0]) for prompt, both in found.items()}


def _point(
    judge: str, n: int, ranked: Mapping[str, Sequence[tuple[float, float]]], seed: int
) -> BestOf:
    divergence = math.log(n) - (n - 1) / n
    enough = {prompt: both for prompt, both in ranked.items() if len(both) >= n}
    if not enough:
        return BestOf(judge, n, divergence, None, Interval(-math.inf, math.inf), 0)
    means = [expected_best([judged for _, judged in both], n) for both in enough.values()]
    interval = mean_interval(means, list(enough), seed)
    return BestOf(judge, n, divergence, sum(means) / len(means), interval, len(means))
