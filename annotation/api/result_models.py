"""What the API gives of a campaign's figures, preferences and faults."""

import math
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from trivox.annotation.aggregation import MIN_CONFIDENCE, MIN_MARGIN, Method, Yield
from trivox.annotation.api.models import Given, Taken
from trivox.annotation.leads.results import Wanted
from trivox.annotation.work.report import QuestionFigures, SideBias, Trust
from trivox.platform.records import FaultKind, Preference, PreferenceSet, TaskFault
from trivox.platform.statistics.agreement import Agreement
from trivox.platform.statistics.bradley_terry import BradleyTerry
from trivox.platform.statistics.intervals import Interval
from trivox.platform.statistics.winning import WinRates


class Range(Given):
    """A 95 % interval; None where the data set no bound."""

    low: float | None
    high: float | None

    @classmethod
    def of(cls, one: Interval) -> Self:
        bounds = (one.low, one.high)
        low, high = (bound if math.isfinite(bound) else None for bound in bounds)
        return cls(low=low, high=high)


class Agreed(Given):
    """value: None where the data cannot tell. units: things that two or more judged."""

    value: float | None
    interval: Range
    units: int

    @classmethod
    def of(cls, one: Agreement | None) -> Self | None:
        if one is None:
            return None
        return cls(value=one.value, interval=Range.of(one.interval), units=one.units)


class QuestionRow(Given):
    """alpha: Krippendorff. kappa: Fleiss. icc: ICC(2,k). ceiling: what a perfect predictor of judges reaches."""

    question: str
    scale: str
    alpha: Agreed | None
    kappa: Agreed | None
    icc: Agreed | None
    ceiling: Agreed | None

    @classmethod
    def of(cls, one: QuestionFigures) -> Self:
        names = ("alpha", "kappa", "icc", "ceiling")
        values = {name: Agreed.of(getattr(one, name)) for name in names}
        return cls(question=one.question, scale=one.scale, **values)


class SideRow(Given):
    """How often what was shown first won; p: exact binomial, two-sided."""

    first: int
    decided: int
    interval: Range
    p: float

    @classmethod
    def of(cls, one: SideBias) -> Self:
        return cls(first=one.first, decided=one.decided, interval=Range.of(one.interval), p=one.p)


class Statistics(Given):
    """Of people's judgements that stand. classes: how judges agree -> tasks."""

    agreement: list[QuestionRow]
    classes: dict[str, int]
    side: SideRow


class JudgeTrust(Given):
    """share: of the answers that are probably right, by Dawid and Skene; flags: checks that fail."""

    judge: str
    share: float | None
    interval: Range | None
    votes: int
    flags: list[dict[str, Any]]

    @classmethod
    def of(cls, one: Trust) -> Self:
        found = one.reliability
        return cls(
            judge=one.judge,
            share=found.share if found else None,
            interval=Range.of(found.interval) if found else None,
            votes=found.votes if found else 0,
            flags=[{"kind": flag.kind, "figures": flag.figures} for flag in one.flags],
        )


class Trusts(Given):
    judges: list[JudgeTrust]


class WinRow(Given):
    """ties: the policy for equal answers. micro: over answers; macro: mean over opponents."""

    ties: str
    micro: float | None
    micro_interval: Range
    macro: float | None
    macro_interval: Range
    answers: int

    @classmethod
    def of(cls, one: WinRates) -> Self:
        return cls(
            ties=one.ties.value,
            micro=one.micro,
            micro_interval=Range.of(one.micro_interval),
            macro=one.macro,
            macro_interval=Range.of(one.macro_interval),
            answers=one.answers,
        )


class Place(Given):
    """strength: Bradley-Terry with ties, in logits around the mean."""

    rank: int
    policy: str
    strength: float
    interval: Range
    bouts: int
    win_rates: list[WinRow]


class Leaderboard(Given):
    """Policies by the lower bound of their strength, best first. side: pull of the first place, in logits."""

    places: list[Place]
    side: float | None
    side_interval: Range | None

    @classmethod
    def of(cls, one: BradleyTerry | None, rates: dict[str, dict[str, WinRates]]) -> Self:
        if one is None:
            return cls(places=[], side=None, side_interval=None)
        places = [
            Place(
                rank=rank,
                policy=str(held.item),
                strength=held.strength,
                interval=Range.of(held.interval),
                bouts=held.bouts,
                win_rates=[WinRow.of(rate) for rate in rates.get(str(held.item), {}).values()],
            )
            for rank, held in enumerate(one.standings, 1)
        ]
        return cls(places=places, side=one.side, side_interval=Range.of(one.side_interval))


class Yields(Given):
    """What each method keeps at each pair of thresholds; nothing is stored."""

    yields: list[Yield]


class CommitBody(Taken):
    """margin: 0..3, mean strength for the winner. confidence: 0..1. heard_only: without judgements that have
    no proof of listening, from Label Studio or an import."""

    method: Method = Method.MAJORITY
    min_margin: Annotated[float, Field(ge=0, le=3, allow_inf_nan=False)] = MIN_MARGIN
    min_confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = MIN_CONFIDENCE
    heard_only: bool = False

    def wanted(self) -> Wanted:
        return Wanted(self.method, self.min_margin, self.min_confidence, self.heard_only)


class SetRow(Given):
    """dropped: why tasks gave no preference -> how many."""

    id: str
    round: str | None
    method: str
    preferences: int
    dropped: dict[str, int]

    @classmethod
    def of(cls, one: PreferenceSet) -> Self:
        return cls(
            id=one.id,
            round=one.round,
            method=one.method,
            preferences=len(one.preferences),
            dropped=one.dropped,
        )


class Sets(Given):
    sets: list[SetRow]


class WholeSet(Given):
    id: str
    round: str | None
    method: str
    dropped: dict[str, int]
    preferences: list[Preference]

    @classmethod
    def of(cls, one: PreferenceSet) -> Self:
        return cls.model_validate(one)


class FaultRow(Given):
    """A task that is asked of nobody; item: the prompt, rollout or audio at fault."""

    id: str
    task: str
    kind: FaultKind
    item: str
    message: str
    created_at: datetime
    cleared_at: datetime | None

    @classmethod
    def of(cls, one: TaskFault) -> Self:
        return cls.model_validate(one)


class Faults(Given):
    faults: list[FaultRow]
