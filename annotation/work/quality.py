"""How well a person judges: checks on their last answers, and a pause with a reason where one fails.

Every threshold leaves room for chance: work is paused when an interval or a test says that it is not chance.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

import sqlalchemy as sa
from ulid import ULID

from trivox.platform.records import (
    Campaign,
    Judgement,
    LeaseStatus,
    Purpose,
    Task,
    TaskLease,
    WorkPause,
    WorkPlan,
)
from trivox.platform.statistics.intervals import wilson
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

WINDOW = 60
"""Answers looked at, the newest."""
EVERY = 10
GOLD_LEAST = 6
TRAPS = (2, 5)
"""So many missed of the last so many pause."""
STRAIGHT = (20, 0.95)
"""The same answer in this share of the last so many comparisons."""
SIDE_LEAST, SIDE_P = 30, 1e-4
HASTY_S = 0.6
"""Median time between the end of the sound and the answer below which nobody weighs what was heard."""
REPEAT_LEAST = 6
DRIFT_P = 0.02


@dataclass(frozen=True)
class Done:
    """One answer as the checks see it. shown: -3..3 in the order shown (0 a tie), None for no comparison.

    right: for controls and repeats. idle_s: time taken beyond the length of the sound.
    """

    purpose: Purpose
    shown: int | None
    right: bool | None
    idle_s: float


@dataclass(frozen=True)
class Flag:
    """A check that failed. pauses: whether work stops for it. reason: for the person to read."""

    kind: str
    reason: str
    figures: dict[str, Any]
    pauses: bool


def review(
    workspace: Workspace, person: str, campaign: Campaign, purpose: Purpose, now: datetime
) -> WorkPause | None:
    """Look at the person's last answers, after each check and every tenth answer; pause where one fails."""
    known = purpose in (Purpose.GOLD, Purpose.TRAP, Purpose.REPEAT)
    if not known and _answers(workspace, person, campaign.id) % EVERY:
        return None
    history = history_of(workspace, person, campaign.id)[-WINDOW:]
    failed = [flag for flag in flags(history, campaign.plan) if flag.pauses]
    if not failed:
        return None
    first = failed[0]
    pause = WorkPause(
        id=str(ULID()),
        project=campaign.project,
        campaign=campaign.id,
        person=person,
        kind=first.kind,
        reason=f"{first.reason} Your lead has been told and will write to you; you can appeal.",
        created_at=now,
        figures=first.figures,
    )
    workspace.records.add(pause)
    return pause


def _answers(workspace: Workspace, person: str, campaign: str) -> int:
    """How many `history_of` would have, without reading them."""
    leases, pauses = table_of(TaskLease), table_of(WorkPause)
    lifted = (
        sa.select(sa.func.max(pauses.c.lifted_at))
        .where(pauses.c.person == person, pauses.c.campaign == campaign)
        .scalar_subquery()
    )
    query = sa.select(sa.func.count()).where(
        leases.c.person == person,
        leases.c.campaign == campaign,
        leases.c.status == LeaseStatus.ANSWERED.value,
        leases.c.purpose != Purpose.TRAINING.value,
        sa.or_(lifted.is_(None), leases.c.closed_at > lifted),
    )
    with workspace.records.statements(write=False) as connection:
        return int(connection.execute(query).scalar_one())


def history_of(workspace: Workspace, person: str, campaign: str) -> list[Done]:
    """The person's answers in the campaign since the last pause was lifted, oldest first, without training."""
    leases, judged, tasks = table_of(TaskLease), table_of(Judgement), table_of(Task)
    query = (
        sa.select(
            leases.c.purpose,
            leases.c.right,
            leases.c.clips,
            judged.c.answer,
            judged.c.presentation,
            judged.c.taken_s,
            tasks.c["items"],
        )
        .join(judged, judged.c.id == leases.c.judgement)
        .join(tasks, tasks.c.id == leases.c.task)
        .where(
            leases.c.person == person,
            leases.c.campaign == campaign,
            leases.c.status == LeaseStatus.ANSWERED.value,
            leases.c.purpose != Purpose.TRAINING.value,
        )
    )
    if since := _lifted_at(workspace, person, campaign):
        query = query.where(leases.c.closed_at > since)
    with workspace.records.statements(write=False) as connection:
        rows = connection.execute(query.order_by(leases.c.seq)).all()
    return [_done(*row) for row in rows]


def _lifted_at(workspace: Workspace, person: str, campaign: str) -> datetime | None:
    pauses = workspace.records.find(WorkPause, person=person, campaign=campaign)
    return max((one.lifted_at for one in pauses if one.lifted_at is not None), default=None)


def _done(
    purpose: str,
    right: bool | None,
    clips: list[dict[str, Any]],
    answer: dict[str, Any],
    presentation: list[str],
    taken_s: float | None,
    items: list[str],
) -> Done:
    shown = 0 if answer["tie"] is not None else answer["comparison"]
    if shown and list(presentation) != list(items):
        shown = -shown
    sound = sum(clip["duration_s"] for clip in clips if clip["must_hear"])
    return Done(Purpose(purpose), shown, right, (taken_s or 0.0) - sound)


def flags(history: Sequence[Done], plan: WorkPlan) -> list[Flag]:
    """Every check that fails, those that pause first."""
    checks = (_gold, _traps, _straight, _side, _repeats, _speed, _drift)
    found = [flag for check in checks if (flag := check(history, plan)) is not None]
    return sorted(found, key=lambda flag: not flag.pauses)


def _gold(history: Sequence[Done], plan: WorkPlan) -> Flag | None:
    """Accuracy on gold whose Wilson interval lies below what the plan asks for."""
    known = [one.right for one in history if one.purpose is Purpose.GOLD and one.right is not None]
    right = sum(known)
    if len(known) < GOLD_LEAST or wilson(right, len(known), 0.9).high >= plan.gold_pass:
        return None
    text = f"Of the last {len(known)} control questions {right} were answered as expected; "
    figures = {"asked": len(known), "right": right, "wanted": plan.gold_pass}
    return Flag("gold", f"{text}{plan.gold_pass:.0%} are needed.", figures, True)


def _traps(history: Sequence[Done], plan: WorkPlan) -> Flag | None:
    most, window = TRAPS
    last = [one.right for one in history if one.purpose is Purpose.TRAP][-window:]
    missed = sum(right is False for right in last)
    if missed < most:
        return None
    text = (
        f"{missed} of the last {len(last)} clips told what to answer, and were answered otherwise."
    )
    return Flag("trap", text, {"asked": len(last), "missed": missed}, True)


def _straight(history: Sequence[Done], plan: WorkPlan) -> Flag | None:
    size, share = STRAIGHT
    last = [one.shown for one in history if one.shown is not None][-size:]
    if len(last) < size:
        return None
    answer, count = Counter(last).most_common(1)[0]
    if count < share * size:
        return None
    text = f"{count} of your last {size} answers were the same, whatever was heard."
    return Flag("straight", text, {"answer": answer, "count": count, "of": size}, True)


def _side(history: Sequence[Done], plan: WorkPlan) -> Flag | None:
    """A two-sided binomial test of the side preferred, which is even where sides are drawn by lot."""
    decided = [one.shown > 0 for one in history if one.shown]
    if len(decided) < SIDE_LEAST:
        return None
    first, p = sum(decided), side_p(sum(decided), len(decided))
    if p >= SIDE_P:
        return None
    side = "A" if first > len(decided) / 2 else "B"
    count = max(first, len(decided) - first)
    text = f"{side} was preferred in {count} of your last {len(decided)} answers; the sides are drawn by lot."
    return Flag("side", text, {"first": first, "of": len(decided), "p": p}, True)


def side_p(first: int, n: int) -> float:
    """Exact two-sided p of `first` of n for a fair coin; 1.0 for none. 9 of 10: 22/1024 = 0.0215."""
    from scipy.stats import binomtest

    return float(binomtest(first, n, 0.5).pvalue) if n else 1.0


def _repeats(history: Sequence[Done], plan: WorkPlan) -> Flag | None:
    same = [one.right for one in history if one.purpose is Purpose.REPEAT and one.right is not None]
    if len(same) < REPEAT_LEAST or wilson(sum(same), len(same)).high >= 0.75:
        return None
    text = f"{sum(same)} of {len(same)} pairs heard a second time were judged as before."
    return Flag("repeat", text, {"same": sum(same), "of": len(same)}, False)


def _speed(history: Sequence[Done], plan: WorkPlan) -> Flag | None:
    idle = [one.idle_s for one in history][-20:]
    if len(idle) < 20 or median(idle) >= HASTY_S:
        return None
    text = f"Half of the last answers came within {median(idle):.1f} s of the end of the sound."
    return Flag("speed", text, {"median_s": round(median(idle), 3)}, False)


def _drift(history: Sequence[Done], plan: WorkPlan) -> Flag | None:
    """Fisher's exact test, one-sided: fewer checks right in the second half than in the first."""
    known = [one.right for one in history if one.right is not None]
    half = len(known) // 2
    if half < 5:
        return None
    from scipy.stats import fisher_exact

    first, second = known[:half], known[half:]
    table = [[sum(first), half - sum(first)], [sum(second), len(second) - sum(second)]]
    p = float(fisher_exact(table, alternative="greater").pvalue)
    if p >= DRIFT_P:
        return None
    text = f"Checks went worse of late: {sum(first)} of {half} right, then {sum(second)} of {len(second)}."
    return Flag("drift", text, {"before": table[0], "after": table[1], "p": p}, False)
