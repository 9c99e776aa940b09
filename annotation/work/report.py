"""A campaign in figures: how far it is, how far judges agree, who judges how well, which policy is preferred.

Only people's judgements that stand count; what simulated judges said is counted apart and enters no statistic.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from trivox.annotation.aggregation import Agreed, agreement_classes, standing
from trivox.annotation.aggregation.votes import Vote, vote_of
from trivox.annotation.work.faults import faulty
from trivox.annotation.work.paid import spent_out
from trivox.annotation.work.quality import Flag, flags, history_of, side_p
from trivox.platform.records import (
    Campaign,
    Control,
    JudgeKind,
    Judgement,
    Purpose,
    Rollout,
    Task,
    TaskKind,
    TaskState,
    Voided,
)
from trivox.platform.statistics.agreement import (
    Agreement,
    Level,
    fleiss_kappa,
    icc2k,
    krippendorff_alpha,
    split_half,
)
from trivox.platform.statistics.bradley_terry import Bout, BradleyTerry, bradley_terry
from trivox.platform.statistics.dawid_skene import Reliability, dawid_skene
from trivox.platform.statistics.intervals import Interval, wilson
from trivox.platform.statistics.winning import TiePolicy, WinRates, win_rates
from trivox.platform.store import Workspace


@dataclass(frozen=True)
class Status:
    """How far a campaign is. judgements: kind of judge -> how many stand; abstentions among people's. left_out:
    tasks that cannot be played. budget_spent: which budget stops it, and how to raise it; None: none does."""

    campaign: str
    name: str
    state: str
    tasks: int
    finished: int
    wanted: int
    answered: int
    waiting_for_expert: int
    left_out: int
    judgements: dict[str, int]
    abstentions: int
    budget_spent: str | None = None


@dataclass(frozen=True)
class QuestionFigures:
    """Agreement on one question, scale by scale. ceiling: what a perfect predictor of other judges would reach."""

    question: str
    scale: str
    alpha: Agreement
    kappa: Agreement | None
    icc: Agreement | None
    ceiling: Agreement


@dataclass(frozen=True)
class SideBias:
    """How often what was shown first won, over all people; p: exact binomial, two-sided."""

    first: int
    decided: int
    interval: Interval
    p: float


@dataclass(frozen=True)
class AgreementFigures:
    """classes: how the judges of a task agree -> how many tasks."""

    questions: tuple[QuestionFigures, ...]
    classes: dict[str, int]
    side: SideBias


@dataclass(frozen=True)
class Trust:
    """What is known of one judge; reliability: None for who compared nothing."""

    judge: str
    reliability: Reliability | None
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class Report:
    """reliability: judge -> share of answers probably right. leaderboard: of producers, by lower bound."""

    status: Status
    agreement: tuple[QuestionFigures, ...]
    classes: dict[str, int]
    reliability: dict[str, Reliability]
    flags: dict[str, tuple[Flag, ...]]
    leaderboard: BradleyTerry | None
    win_rates: dict[str, dict[str, WinRates]]
    side: SideBias


@dataclass(frozen=True)
class Counted:
    """What statistics are made of: a campaign's tasks, without controls, and people's judgements of them."""

    tasks: dict[str, Task]
    judgements: list[Judgement]

    @property
    def comparisons(self) -> list[Task]:
        return [
            task
            for task in self.tasks.values()
            if task.kind is TaskKind.COMPARE and len(task.items) == 2
        ]


def every_judgement(workspace: Workspace, campaign: Campaign) -> list[Judgement]:
    """All judgements of a campaign's tasks, of every kind and purpose."""
    tasks = {task.id for task in workspace.records.find(Task, campaign=campaign.id)}
    every = workspace.records.find(Judgement, project=campaign.project)
    return [one for one in every if one.task in tasks]


def voided(workspace: Workspace, campaign: Campaign) -> set[str]:
    return {one.judgement for one in workspace.records.find(Voided, project=campaign.project)}


def counted(workspace: Workspace, campaign: Campaign) -> Counted:
    known = {one.task for one in workspace.records.find(Control, campaign=campaign.id)}
    found = workspace.records.find(Task, campaign=campaign.id)
    tasks = {task.id: task for task in found if task.id not in known}
    judged = standing(every_judgement(workspace, campaign), voided(workspace, campaign))
    people = [
        one
        for one in judged
        if one.judge_kind is JudgeKind.HUMAN and one.purpose is Purpose.JUDGE and one.task in tasks
    ]
    return Counted(tasks, people)


def status(workspace: Workspace, campaign: Campaign) -> Status:
    """How far it is; tasks that nobody was asked yet have no state and are counted as unfinished."""
    states = [
        one for one in workspace.records.find(TaskState, campaign=campaign.id) if not one.control
    ]
    known = {one.id for one in states}
    tasks = workspace.records.find(Task, campaign=campaign.id)
    new = [task for task in tasks if task.id not in known]
    judged = standing(every_judgement(workspace, campaign), voided(workspace, campaign))
    people = [one for one in judged if one.judge_kind is JudgeKind.HUMAN]
    return Status(
        campaign=campaign.id,
        name=campaign.name,
        state=campaign.status.value,
        tasks=len(tasks),
        finished=sum(one.closed or one.answered >= one.wanted for one in states),
        wanted=sum(one.wanted for one in states) + sum(task.overlap for task in new),
        answered=len([one for one in people if one.purpose is Purpose.JUDGE]),
        waiting_for_expert=sum(one.expert for one in states),
        left_out=len(faulty(workspace, campaign.id)),
        judgements=dict(Counter(one.judge_kind.value for one in judged)),
        abstentions=sum(one.answer.abstention is not None for one in people),
        budget_spent=spent_out(workspace, campaign),
    )


def report(workspace: Workspace, campaign: Campaign, seed: int = 0) -> Report:
    """All of it; takes seconds for thousands of judgements, most of them for intervals."""
    found = agreement(workspace, campaign, seed)
    judges = trust(workspace, campaign)
    board, rates = leaderboard(workspace, campaign, seed)
    return Report(
        status=status(workspace, campaign),
        agreement=found.questions,
        classes=found.classes,
        reliability={one.judge: one.reliability for one in judges if one.reliability},
        flags={one.judge: one.flags for one in judges if one.flags},
        leaderboard=board,
        win_rates=rates,
        side=found.side,
    )


def agreement(workspace: Workspace, campaign: Campaign, seed: int = 0) -> AgreementFigures:
    """How far judges agree, question by question, and whether the first side pulls."""
    given = counted(workspace, campaign)
    classes = list(agreement_classes(given.comparisons, given.judgements).values())
    return AgreementFigures(
        tuple(_agreement(given, seed)), {kind.value: classes.count(kind) for kind in Agreed}, _side(given)
    )  # fmt: skip


def trust(workspace: Workspace, campaign: Campaign) -> list[Trust]:
    """Everyone who judged, by name."""
    given = counted(workspace, campaign)
    known = reliability(given)
    judges = sorted({one.judge for one in given.judgements})
    return [Trust(one, known.get(one), tuple(_flags(workspace, one, campaign))) for one in judges]


def leaderboard(
    workspace: Workspace, campaign: Campaign, seed: int = 0
) -> tuple[BradleyTerry | None, dict[str, dict[str, WinRates]]]:
    """Producers by strength, None while none meets another; and producer -> tie policy -> win rates."""
    bouts = bouts_of(workspace, counted(workspace, campaign))
    return (bradley_terry(bouts) if bouts else None), _rates(bouts, seed)


def _flags(workspace: Workspace, judge: str, campaign: Campaign) -> list[Flag]:
    person = judge.removeprefix("human:")
    return flags(history_of(workspace, person, campaign.id), campaign.plan)


def reliability(given: Counted) -> dict[str, Reliability]:
    """By Dawid and Skene over first, second and tie."""
    votes = [
        (task.id, one.judge, vote.side + 1) for task, one, vote in _votes(given) if vote is not None
    ]
    if not votes:
        return {}
    return {str(judge): one for judge, one in dawid_skene(votes, 3).reliability.items()}


def _votes(given: Counted) -> Iterator[tuple[Task, Judgement, Vote | None]]:
    compared = {task.id: task for task in given.comparisons}
    for one in given.judgements:
        if one.task in compared:
            yield compared[one.task], one, vote_of(compared[one.task], one)


def _agreement(given: Counted, seed: int) -> list[QuestionFigures]:
    units: dict[tuple[str, str], dict[str, dict[Hashable, float]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for one in given.judgements:
        task = given.tasks[one.task]
        for scale, value in _values(one):
            units[task.question, scale][task.id][one.judge] = value
    return [
        _figures(question, scale, list(rated.values()), seed)
        for (question, scale), rated in sorted(units.items())
    ]


def _values(judgement: Judgement) -> list[tuple[str, float]]:
    """(scale, value) of an answer: -3..3 for comparisons with ties 0, ratings by dimension, checks 0 or 1."""
    answer = judgement.answer
    if answer.ratings is not None:
        return [(name, float(value)) for name, value in answer.ratings.items()]
    if answer.check is not None:
        return [("check", float(answer.check))]
    if answer.comparison is not None or answer.tie is not None:
        return [("preference", float(answer.comparison or 0))]
    return []


def _figures(
    question: str, scale: str, units: Sequence[dict[Hashable, float]], seed: int
) -> QuestionFigures:
    level: Level = "nominal" if scale == "check" else "ordinal"
    complete = _same_number(units)
    return QuestionFigures(
        question,
        scale,
        krippendorff_alpha(units, level, seed),
        _kappa(complete, scale, seed),
        _icc(units),
        split_half(units, seed),
    )


def _same_number(units: Sequence[dict[Hashable, float]]) -> list[list[float]]:
    """Units with the most frequent number of ratings, at least 2."""
    sizes = Counter(len(unit) for unit in units if len(unit) >= 2)
    if not sizes:
        return []
    (size, _) = sizes.most_common(1)[0]
    return [list(unit.values()) for unit in units if len(unit) == size]


def _kappa(rows: list[list[float]], scale: str, seed: int) -> Agreement | None:
    """Of sides, checks, or the five values of a rating."""
    if not rows:
        return None
    coded = [[(v > 0) - (v < 0) if scale == "preference" else v for v in row] for row in rows]
    classes = sorted({v for row in coded for v in row})
    return fleiss_kappa([[row.count(kind) for kind in classes] for row in coded], seed)


def _icc(units: Sequence[dict[Hashable, float]]) -> Agreement | None:
    """Where the same raters rated at least two units together; None elsewhere."""
    groups: dict[frozenset[Hashable], list[dict[Hashable, float]]] = defaultdict(list)
    for unit in units:
        groups[frozenset(unit)].append(unit)
    raters, rated = max(groups.items(), key=lambda one: (len(one[1]), len(one[0])))
    if len(raters) < 2 or len(rated) < 2:
        return None
    order = sorted(raters, key=str)
    return icc2k([[unit[rater] for rater in order] for unit in rated])


def bouts_of(workspace: Workspace, given: Counted) -> list[Bout]:
    """Comparisons between different producers in the order shown, clustered by judge.

    While tasks are open they are weighed by 1 / inclusion, for what tells most was asked first; once all are
    answered nothing was chosen, and each weighs the same.
    """
    items = sorted({item for task in given.comparisons for item in task.items})
    rows = workspace.tables.scan(Rollout).filter(pl.col("id").is_in(items))
    made_by = dict(rows.select("id", "producer").collect().iter_rows())
    chosen = _unfinished(workspace, given)
    found = []
    for task, one, vote in _votes(given):
        producers = [made_by.get(item) for item in one.presentation]
        if vote is None or None in producers or producers[0] == producers[1]:
            continue
        side = vote.side if one.presentation == task.items else -vote.side
        weight = 1 / one.inclusion if chosen and one.inclusion else 1.0
        found.append(Bout(producers[0], producers[1], side, weight, one.judge))
    mean = sum(bout.weight for bout in found) / len(found) if found else 1.0
    return [Bout(b.first, b.second, b.side, b.weight / mean, b.cluster) for b in found]


def _unfinished(workspace: Workspace, given: Counted) -> bool:
    """Whether a comparison has fewer answers than it wants, other than one that is asked of nobody any more."""
    answers = Counter(one.task for one in given.judgements)
    short = [task for task in given.comparisons if answers[task.id] < task.overlap]
    closed = {one.id for one in workspace.records.find(TaskState, closed=True)} if short else set()
    return any(task.id not in closed for task in short)


def _rates(bouts: Sequence[Bout], seed: int) -> dict[str, dict[str, WinRates]]:
    """Producer -> tie policy -> its win rates; macro is the mean over opponents."""
    names = sorted({str(name) for bout in bouts for name in (bout.first, bout.second)})
    return {
        name: {policy.value: _rates_of(name, bouts, policy, seed) for policy in TiePolicy}
        for name in names
    }


def _rates_of(name: str, bouts: Sequence[Bout], policy: TiePolicy, seed: int) -> WinRates:
    own = [
        (bout.side, bout.second, bout.weight)
        if bout.first == name
        else (-bout.side, bout.first, bout.weight)
        for bout in bouts
        if name in (bout.first, bout.second)
    ]
    sides, others, weights = zip(*own, strict=True)
    return win_rates(sides, others, policy, weights=weights, seed=seed)


def _side(given: Counted) -> SideBias:
    decided = [
        vote.side if one.presentation == task.items else -vote.side
        for task, one, vote in _votes(given)
        if vote is not None and vote.side
    ]
    first = sum(side > 0 for side in decided)
    return SideBias(first, len(decided), wilson(first, len(decided)), side_p(first, len(decided)))
