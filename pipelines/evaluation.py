"""One policy against another on the same prompts, judged by scorers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trivox.platform.records import Rollout, Score
from trivox.platform.statistics.intervals import mean_interval, paired_bootstrap, win_rate

INTELLIGIBILITY = "intelligibility"
COLUMNS = ("wer", "quality", "monitor_wer")
WIN, LOSS, TIE, FAILED = "win", "loss", "tie", "failed"


@dataclass(frozen=True)
class Verdicts:
    """results: the figures; per_item: one row for each prompt, what the figures are made of."""

    results: dict[str, Any]
    per_item: tuple[dict[str, Any], ...]


def compare_policies(
    pairs: Sequence[tuple[Rollout, Rollout]],
    scores: Sequence[Score],
    *,
    evaluators: Sequence[str],
    monitor: str | None,
    quality_margin: float,
    seed: int,
) -> Verdicts:
    """pairs: (parent's, candidate's) rollout of the same prompt; scores: of these rollouts.

    The lower error rate wins; at equal error rates the higher quality, if it is higher by more than
    quality_margin; else it is a tie. A pair with a failed score is excluded and counted as failed.
    """
    table = _Table(scores, evaluators, monitor)
    rows = tuple(_row(parent, candidate, table, quality_margin) for parent, candidate in pairs)
    return Verdicts(summarise(rows, seed), rows)


def summarise(rows: Sequence[dict[str, Any]], seed: int) -> dict[str, Any]:
    """The figures of rows of one or several evaluations; intervals are 95% and clustered by prompt.

    Error rates are fractions; `before` is the parent, `after` the candidate. With several rows of one
    prompt the win rate's interval is a bootstrap over prompts, otherwise Wilson's.
    """
    verdicts = [row["verdict"] for row in rows]
    wins, losses, ties = (verdicts.count(kind) for kind in (WIN, LOSS, TIE))
    figures: dict[str, Any] = {
        "win_rate": _win_rate(rows, wins, losses, ties, seed),
        "failed": verdicts.count(FAILED),
        "prompts": len({row["prompt"] for row in rows}),
    }
    for column in COLUMNS:
        figures |= _before_after(rows, column, seed)
    return figures


class _Table:
    """Values by rollout: the evaluators' error rate and quality, and the monitor's error rate."""

    def __init__(
        self, scores: Sequence[Score], evaluators: Sequence[str], monitor: str | None
    ) -> None:
        self.wer: dict[str, float | None] = {}
        self.quality: dict[str, float | None] = {}
        self.monitor_wer: dict[str, float | None] = {}
        for one in scores:
            if one.scorer == monitor:
                self.monitor_wer[one.rollout] = one.value
            elif one.scorer in evaluators:
                column = self.wer if one.component == INTELLIGIBILITY else self.quality
                column[one.rollout] = one.value


def _row(parent: Rollout, candidate: Rollout, table: _Table, margin: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "prompt": parent.prompt,
        "parent_rollout": parent.id,
        "candidate_rollout": candidate.id,
    }
    for column in COLUMNS:
        values = getattr(table, column)
        row[f"{column}_before"] = values.get(parent.id)
        row[f"{column}_after"] = values.get(candidate.id)
    return row | {"verdict": _verdict(row, margin)}


def _verdict(row: dict[str, Any], margin: float) -> str:
    before, after = row["wer_before"], row["wer_after"]
    if before is None or after is None:
        return FAILED
    if after != before:
        return WIN if after < before else LOSS
    if row["quality_before"] is None or row["quality_after"] is None:
        return FAILED
    gain = row["quality_after"] - row["quality_before"]
    if abs(gain) <= margin:
        return TIE
    return WIN if gain > 0 else LOSS


def _win_rate(
    rows: Sequence[dict[str, Any]], wins: int, losses: int, ties: int, seed: int
) -> dict[str, Any]:
    rate = win_rate(wins, losses, ties)
    low, high = rate.interval.low, rate.interval.high
    decisive = [row for row in rows if row["verdict"] in (WIN, LOSS)]
    prompts = [row["prompt"] for row in decisive]
    if len(set(prompts)) not in (0, 1, len(prompts)):
        interval = mean_interval([float(r["verdict"] == WIN) for r in decisive], prompts, seed)
        low, high = interval.low, interval.high
    return {
        "rate": rate.rate,
        "low": low,
        "high": high,
        "wins": wins,
        "losses": losses,
        "ties": ties,
    }


def _before_after(rows: Sequence[dict[str, Any]], column: str, seed: int) -> dict[str, Any]:
    """Means before and after and the paired change, over rows that have both values."""
    both = [
        row
        for row in rows
        if row[f"{column}_before"] is not None and row[f"{column}_after"] is not None
    ]
    if not both:
        empty = {"mean": None, "low": None, "high": None}
        return {f"{column}_before": None, f"{column}_after": None, f"{column}_change": empty}
    before = [row[f"{column}_before"] for row in both]
    after = [row[f"{column}_after"] for row in both]
    change = [new - old for old, new in zip(before, after, strict=True)]
    interval = paired_bootstrap(change, [row["prompt"] for row in both], seed)
    mean = sum(change) / len(change)
    return {
        f"{column}_before": sum(before) / len(before),
        f"{column}_after": sum(after) / len(after),
        f"{column}_change": {"mean": mean} | interval.stored,
    }
