"""Judged items, scored: what a report is made from, for any scorer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivox.platform.audio.io import to_mono
from trivox.platform.audio.loudness import loudness_lufs
from trivox.platform.errors import UsageError
from trivox.platform.records import Branch, Direction, JudgeKind
from trivox.platform.scoring import Item, Scorer, ScorerInfo, Value
from trivox.reward_models.report.judged import JudgedPair

LOGITS = "logits"
"""The unit whose differences are log-odds of being preferred."""


@dataclass(frozen=True, eq=False)
class JudgedItems:
    """Two rollouts that were compared. votes as in `JudgedPair`."""

    id: str
    prompt: str
    branch: Branch
    source: str
    judges: JudgeKind
    votes: Mapping[str, int]
    items: tuple[Item, Item]


def score_pairs(scorer: Scorer, judged: Sequence[JudgedItems]) -> list[JudgedPair]:
    """Each rollout is scored once, by its scorer alone. Raises UsageError for a measure without a better side."""
    way = direction_of(scorer.info)
    values = scorer.score([item for one in judged for item in one.items])
    return [
        _pair(one, (values[2 * at], values[2 * at + 1]), way, scorer.info.unit)
        for at, one in enumerate(judged)
    ]


def direction_of(info: ScorerInfo) -> int:
    """1 where more is better, -1 where less is."""
    if info.direction is Direction.NEITHER:
        raise UsageError(
            f"{info.name} measures and does not prefer: report on a reward, or give it a target in a composition"
        )
    return -1 if info.direction is Direction.LOWER else 1


def preference(difference: float) -> float:
    """Probability that the first is better, of a difference in logits."""
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, difference))))


def _pair(one: JudgedItems, values: tuple[Value, Value], way: int, unit: str) -> JudgedPair:
    failures = [value.failure.kind for value in values if value.failure is not None]
    first, second = (value.value for value in values)
    apart = None if first is None or second is None else way * (first - second)
    likely = preference(apart) if apart is not None and unit == LOGITS else None
    return judged_pair(one, apart, likely, failures[0] if failures else None)


def judged_pair(
    one: JudgedItems,
    difference: float | None,
    probability: float | None = None,
    failure: str | None = None,
    orders: tuple[int, int] | None = None,
) -> JudgedPair:
    """What a reward said of two rollouts, with what is known of them."""
    return JudgedPair(
        id=one.id,
        prompt=one.prompt,
        branch=one.branch,
        source=one.source,
        judges=one.judges,
        votes=one.votes,
        difference=difference,
        probability=probability,
        failure=failure,
        texts=(_said(one.items[0]), _said(one.items[1])),
        expressive=any(bool(item.instruction or item.directives) for item in one.items),
        orders=orders,
        sizes=sizes_of(one.items),
    )


def sizes_of(items: tuple[Item, Item]) -> dict[str, tuple[float, float]]:
    """Seconds, loudness in LUFS and letters, each where both items have it."""
    measured = [_measured(item) for item in items]
    return {
        name: (measured[0][name], measured[1][name]) for name in measured[0] if name in measured[1]
    }


def _measured(item: Item) -> dict[str, float]:
    found: dict[str, float] = {}
    if item.samples is not None and item.rate:
        found["duration (s)"] = len(item.samples) / item.rate
        loud = loudness_lufs(to_mono(item.samples), item.rate) if len(item.samples) else None
        if loud is not None:
            found["loudness (LUFS)"] = loud
    if (said := _said(item)) is not None:
        found["length (letters)"] = float(len(said))
    return found


def _said(item: Item) -> str | None:
    return item.text if item.hypothesis is None else item.hypothesis
