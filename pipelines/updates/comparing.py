"""Two versions on the same held-out prompts: figures before and after, wins, and whether anything got worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivox.pipelines.updates.suites import Suites, names_of
from trivox.platform.errors import ConfigError
from trivox.platform.records import Branch
from trivox.platform.statistics.intervals import mean_interval, paired_bootstrap, told, win_rate

Rows = Sequence[Mapping[str, Any]]
WIN, LOSS, TIE, FAILED = "win", "loss", "tie", "failed"
MORE_FAILURES = 0.02
"""Share of the prompts by which a version may fail oftener than the baseline: a failure is in no mean and no win
rate, and a version that says nothing where it is bad would pass by it."""


@dataclass(frozen=True)
class Compared:
    """results: figures with intervals of 95%, clustered by prompt; rows: what they are made of."""

    results: dict[str, Any]
    rows: tuple[dict[str, Any], ...]


def summarised(rows: Rows, seed: int) -> dict[str, Any]:
    """Mean and interval of each figure of one version, with how many answers had none."""
    return {name: _summary(rows, name, seed) for name in names_of(rows)}


def compared(before: Rows, after: Rows, branch: Branch, suites: Suites) -> Compared:
    """Rows of two versions, in the same order of prompts: the change of every figure and its interval, whether it
    is non-inferior within its margin, and the win rate by the suite's main figure; ties by that are broken by the
    other figures of which more or less is better, in their order.

    Realtime dialogues differ in length, so their rows are means over a dialogue. Raises ConfigError for versions
    that were measured on other prompts, and for a main figure that is none.
    """
    pairs = _paired(before, after)
    figures = _judged(before, branch, suites)
    rows = tuple(_row(prompt, one, other, figures, suites) for prompt, one, other in pairs)
    changes = {name: _change(rows, name, suites) for name in figures}
    return Compared({"win_rate": _wins(rows, suites.seed), "changes": changes}, rows)


def _judged(before: Rows, branch: Branch, suites: Suites) -> list[str]:
    """Figures of which more or less is better, the main one first."""
    # What the baseline never had cannot have got worse: blocks that draft, say, where there were none.
    figures = [name for name in names_of(before) if suites.better(name)]
    main = suites.main(branch)
    if suites.of(branch).main is not None and main not in figures:
        raise ConfigError(
            f"suites.{branch.value}.main is {main!r}, which is not measured or is better neither higher nor "
            f"lower: name one of {', '.join(figures)}, or add it to the scorers"
        )
    return sorted(figures, key=lambda name: name != main)


def inferior(results: Mapping[str, Any]) -> list[str]:
    """One sentence for each figure that may have got worse than its margin allows, or has got fewer values."""
    faults = [_worse(name, one) for name, one in results["changes"].items()]
    return [fault for fault in faults if fault]


def _worse(name: str, one: Mapping[str, Any]) -> str:
    if one["mean"] is None:
        return f"{name} could not be compared: {one['failed']} answers failed"
    silent, every = one["failed_after"] - one["failed_before"], one["n"] + one["failed"]
    if silent > MORE_FAILURES * every:
        return (
            f"{name} has no value for {one['failed_after']} of {every} prompts, {silent} more than before, at "
            f"most {MORE_FAILURES:.0%} is allowed"
        )
    if one["non_inferior"]:
        return ""
    shown = told(one["low"], one["high"], "+.3f")
    return f"{name} changes by {one['mean']:+.3f} ({shown}), at most {one['margin']:g} worse is allowed"


def won(results: Mapping[str, Any], above: float = 0.5) -> list[str]:
    """Why a candidate did not win: empty when the interval of its win rate lies above."""
    win = results["win_rate"]
    if win["rate"] is None:
        return ["no prompt was decisive"]
    if win["low"] <= above:
        return [f"the win rate's 95% interval begins at {win['low']:.1%}, not above {above:.0%}"]
    return []


def _paired(before: Rows, after: Rows) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    first, second = _by_prompt(before), _by_prompt(after)
    if first.keys() != second.keys():
        raise ConfigError(
            f"{len(first)} and {len(second)} prompts were measured, {len(first.keys() & second.keys())} of "
            "them the "
            "same: measure both versions on one suite"
        )
    return [(prompt, first[prompt], second[prompt]) for prompt in first]


def _by_prompt(rows: Rows) -> dict[str, dict[str, Any]]:
    """Means over the rows of a prompt; None where any of them failed."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["prompt"], []).append(row)
    return {
        prompt: {name: _mean([row.get(name) for row in mine]) for name in names_of(mine)}
        for prompt, mine in groups.items()
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def _row(
    prompt: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    figures: Sequence[str],
    suites: Suites,
) -> dict[str, Any]:
    row: dict[str, Any] = {"prompt": prompt}
    for name in figures:
        row[f"{name}_before"], row[f"{name}_after"] = before.get(name), after.get(name)
    return row | {"verdict": _verdict(row, figures, suites)}


def _verdict(row: Mapping[str, Any], figures: Sequence[str], suites: Suites) -> str:
    for name in figures:
        one, other = row[f"{name}_before"], row[f"{name}_after"]
        if one is None or other is None:
            return FAILED
        gain = suites.better(name) * (other - one)
        if abs(gain) > suites.tie.get(name, 0.0):
            return WIN if gain > 0 else LOSS
    return TIE


def _change(rows: Rows, name: str, suites: Suites) -> dict[str, Any]:
    both = [
        row
        for row in rows
        if row[f"{name}_before"] is not None and row[f"{name}_after"] is not None
    ]
    margin = suites.margins.get(name, 0.0)
    known: dict[str, Any] = {
        "margin": margin,
        "n": len(both),
        "failed": len(rows) - len(both),
        "failed_before": sum(row[f"{name}_before"] is None for row in rows),
        "failed_after": sum(row[f"{name}_after"] is None for row in rows),
    }
    if not both:
        nothing = dict.fromkeys(("before", "after", "mean", "low", "high"))
        return known | nothing | {"non_inferior": False}
    before = [row[f"{name}_before"] for row in both]
    after = [row[f"{name}_after"] for row in both]
    change = [new - old for old, new in zip(before, after, strict=True)]
    interval = paired_bootstrap(change, [row["prompt"] for row in both], suites.seed)
    worst = interval.low if suites.better(name) > 0 else -interval.high
    return (
        known
        | {
            "before": sum(before) / len(before),
            "after": sum(after) / len(after),
            "mean": sum(change) / len(change),
            "non_inferior": worst >= -margin,
        }
        | interval.stored
    )


def _wins(rows: Rows, seed: int) -> dict[str, Any]:
    verdicts = [row["verdict"] for row in rows]
    wins, losses, ties = (verdicts.count(kind) for kind in (WIN, LOSS, TIE))
    rate = win_rate(wins, losses, ties)
    return {
        "rate": rate.rate,
        "low": rate.interval.low,
        "high": rate.interval.high,
        "wins": wins,
        "losses": losses,
        "ties": ties,
        "failed": verdicts.count(FAILED),
    }


def _summary(rows: Rows, name: str, seed: int) -> dict[str, Any]:
    known = [(row[name], row["prompt"]) for row in rows if row.get(name) is not None]
    if not known:
        return {"mean": None, "low": None, "high": None, "n": 0, "failed": len(rows)}
    values, prompts = zip(*known, strict=True)
    interval = mean_interval(values, prompts, seed)
    return {
        "mean": sum(values) / len(values),
        "n": len(values),
        "failed": len(rows) - len(values),
    } | interval.stored
