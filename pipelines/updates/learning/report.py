"""The runs of all seeds in one table: changes pooled, intervals clustered by prompt, targets said to be met or
not.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trivox.pipelines.updates.suites import HEARD, RUBRIC
from trivox.platform.records import Branch
from trivox.platform.statistics.intervals import mean_interval

KL_BOUND = 0.1
"""Nats per action, the most that realtime may move from its reference on average of a step."""
LIMIT_S = 900.0
"""Of training alone, scoring that is cached apart."""

Runs = Sequence[Mapping[str, Any]]


def summary(runs: Runs) -> dict[str, Any]:
    """By branch: figures pooled over the seeds, and the targets with whether they are met."""
    told = {}
    for branch in Branch:
        mine = [one for one in runs if one["branch"] == branch.value]
        if mine:
            told[branch.value] = _TARGETS[branch](mine) | {
                "seeds": [one["seed"] for one in mine],
                "training_s": [one["training_s"] for one in mine],
                "within_15_minutes": all(one["training_s"] <= LIMIT_S for one in mine),
            }
    return told


def pooled(runs: Runs, suite: str, figure: str) -> dict[str, Any]:
    """Before, after and their change over all seeds, the interval by whole prompts: each seed answers the same."""
    rows = [
        row
        for run in runs
        for row in run["rows"][suite]
        if row.get(f"{figure}_before") is not None and row.get(f"{figure}_after") is not None
    ]
    if not rows:
        return dict.fromkeys(("before", "after", "change", "low", "high")) | {"n": 0}
    before = [row[f"{figure}_before"] for row in rows]
    after = [row[f"{figure}_after"] for row in rows]
    change = [new - old for old, new in zip(before, after, strict=True)]
    interval = mean_interval(change, [row["prompt"] for row in rows], 0)
    mean = sum(change) / len(change)
    return {
        "before": sum(before) / len(before),
        "after": sum(after) / len(after),
        "change": mean,
        "low": interval.low,
        "high": interval.high,
        "n": len(rows),
    }


def wins(runs: Runs, suite: str) -> dict[str, Any]:
    """The win rate over all seeds among decisive prompts, its interval by whole prompts."""
    decisive = [
        (float(row["verdict"] == "win"), row["prompt"])
        for run in runs
        for row in run["rows"][suite]
        if row["verdict"] in ("win", "loss")
    ]
    if not decisive:
        return {"rate": None, "low": None, "high": None, "decisive": 0}
    values, prompts = zip(*decisive, strict=True)
    interval = mean_interval(values, prompts, 0)
    rate = sum(values) / len(values)
    return {"rate": rate, "low": interval.low, "high": interval.high, "decisive": len(values)}


def _asr(runs: Runs) -> dict[str, Any]:
    """Mean WER of a recording of hard speech down by a tenth at least, its interval below zero; of a clean one not
    worse than a point."""
    hard = pooled(runs, "hard", "transcript-errors")
    clean = pooled(runs, "clean", "transcript-errors")
    relative = None if not hard["before"] else hard["change"] / hard["before"]
    met = {
        "started_between_10_and_40_percent": _within(hard["before"], 0.10, 0.40),
        "hard_wer_down_by_10_percent": relative is not None and relative <= -0.10,
        "interval_below_zero": hard["high"] is not None and hard["high"] < 0,
        "clean_wer_not_worse": clean["high"] is not None and clean["high"] <= 0.01,
    }
    figures = {"hard": hard, "relative": relative, "clean": clean}
    return figures | {"met": met}


def _tts(runs: Runs) -> dict[str, Any]:
    """At least 60% of at least 200 decisive comparisons won by the manner that was asked for, the interval above
    half; intelligibility not worse."""
    win, wer = wins(runs, "held-out"), pooled(runs, "held-out", "pocketsphinx-wer")
    met = {
        "win_rate_at_least_60_percent": win["rate"] is not None and win["rate"] >= 0.6,
        "interval_above_half": win["low"] is not None and win["low"] > 0.5,
        "at_least_200_decisive": win["decisive"] >= 200,
        "intelligibility_not_worse": wer["high"] is not None and wer["high"] <= 0.02,
    }
    pace, quality = (pooled(runs, "held-out", name) for name in ("librosa-rate", "dnsmos"))
    about = {"pace": pace, "pocketsphinx_wer": wer, "dnsmos": quality}
    return {"win_rate": win} | about | {"met": met}


def _realtime(runs: Runs) -> dict[str, Any]:
    """The reward of other users up with its interval above zero, KL below its bound; what is heard beside it."""
    heard = pooled(runs, "by-ear", HEARD)
    kl = max(one["kl"] for one in runs)
    written = pooled(runs, "held-out", RUBRIC)
    met = {
        "reward_interval_above_zero": written["low"] is not None and written["low"] > 0,
        "kl_below_bound": kl < KL_BOUND,
    }
    wer = pooled(runs, "by-ear", "pocketsphinx-wer")
    about = {"heard": heard, "written": written, "pocketsphinx_wer": wer}
    return about | {"kl": kl, "kl_bound": KL_BOUND, "met": met}


_TARGETS = {Branch.ASR: _asr, Branch.TTS: _tts, Branch.REALTIME: _realtime}


def _within(value: float | None, low: float, high: float) -> bool:
    return value is not None and low <= value <= high
