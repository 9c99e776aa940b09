"""Hours and pay: what people worked by campaign and day, from when a question was shown until it was answered."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import sqlalchemy as sa

from trivox.annotation.work.paid import paid_s
from trivox.platform.records import LeaseStatus, Person, Purpose, TaskLease
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

_WORKED = (LeaseStatus.ANSWERED, LeaseStatus.VOIDED, LeaseStatus.REOPENED)
HEAD = (
    "day",
    "campaign",
    "person",
    "name",
    "answers",
    "training",
    "hours",
    "rate",
    "currency",
    "pay",
)


@dataclass(frozen=True)
class Worked:
    """A person's work in a campaign on one day (UTC). pay: None where no rate is agreed.

    Struck-out answers are paid: whether work was good is another question than whether it was done.
    """

    day: date
    campaign: str
    person: str
    name: str
    answers: int
    training: int
    hours: float
    rate: float | None
    currency: str | None

    @property
    def pay(self) -> float | None:
        return None if self.rate is None else round(self.hours * self.rate, 2)


def hours(
    workspace: Workspace,
    *,
    person: str | None = None,
    campaign: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> list[Worked]:
    """By day, campaign and person, in this order; since and until are days, both included."""
    spent: dict[tuple[date, str, str], list[tuple[str, float]]] = defaultdict(list)
    for where, who, purpose, opened, closed in _rows(workspace, person, campaign):
        day = closed.astimezone(UTC).date()
        if (since is None or day >= since) and (until is None or day <= until):
            spent[day, where, who].append((purpose, paid_s(opened, closed)))
    people = {one.id: one for one in workspace.records.find(Person)} if spent else {}
    return [_worked(key, spent[key], people[key[2]]) for key in sorted(spent)]


def _rows(
    workspace: Workspace, person: str | None, campaign: str | None
) -> Iterable[tuple[str, str, str, datetime, datetime]]:
    held = table_of(TaskLease).c
    query = sa.select(
        held.campaign, held.person, held.purpose, held.opened_at, held.closed_at
    ).where(
        held.project == workspace.project,
        held.status.in_([status.value for status in _WORKED]),
        held.closed_at.is_not(None),
    )
    if person is not None:
        query = query.where(held.person == person)
    if campaign is not None:
        query = query.where(held.campaign == campaign)
    with workspace.records.statements(write=False) as connection:
        return [tuple(row) for row in connection.execute(query)]


def _worked(
    key: tuple[date, str, str], spent: Sequence[tuple[str, float]], person: Person
) -> Worked:
    day, campaign, who = key
    training = sum(purpose == Purpose.TRAINING.value for purpose, _ in spent)
    return Worked(
        day=day,
        campaign=campaign,
        person=who,
        name=person.name,
        answers=len(spent) - training,
        training=training,
        hours=round(sum(seconds for _, seconds in spent) / 3600, 4),
        rate=person.pay_rate,
        currency=person.pay_currency,
    )


def to_csv(rows: Iterable[Worked]) -> str:
    """With the columns of HEAD. Names cannot become formulas of a spreadsheet."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(HEAD)
    for one in rows:
        figures = (one.answers, one.training, f"{one.hours:.4f}", one.rate, one.currency, one.pay)
        writer.writerow([one.day.isoformat(), one.campaign, one.person, plain(one.name), *figures])
    return file.getvalue()


def plain(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
