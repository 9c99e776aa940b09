"""Costs booked once, budgets that stop work politely.

Whoever spends calls `check_budget` before and `book` after. A budget that is used up raises BudgetSpent: the
caller stops where nothing is half done, and the same call succeeds when the budget has been raised.
"""

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from trivox.platform.errors import BudgetSpent, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import CostEntry
from trivox.platform.records.budgets import MONEY, STORAGE, UNITS, Budget, CostKind
from trivox.platform.store.records import Records
from trivox.platform.store.schema import table_of

if TYPE_CHECKING:
    from trivox.platform.store.workspace import Workspace

MACHINES = (CostKind.GPU, CostKind.CPU, CostKind.JUDGE)
"""What a stage of a round spends by itself: a budget of people's time that is used up stops people, not a round
that has all their answers."""
_SHARE = 0.02


@dataclass(frozen=True)
class Spent:
    """What one project, round or campaign spent of one kind: unpriced counts entries without a price."""

    project: str
    round: str | None
    campaign: str | None
    kind: str
    unit: str
    quantity: float
    entries: int
    money: dict[str, float]
    unpriced: int


def book(
    records: Records,
    *,
    project: str,
    kind: CostKind,
    quantity: float,
    key: Sequence[Any],
    round: str | None = None,
    campaign: str | None = None,
    price: float | None = None,
    currency: str | None = None,
    note: dict[str, Any] | None = None,
) -> CostEntry:
    """Book a cost, in the unit of its kind (`UNITS`); price is per unit, None where it is not known.

    key: what was paid for, such as (stage, attempt); the same key of the same round, campaign and kind is booked
    once, however often work is repeated. Raises UsageError for a quantity or price that is negative or no number,
    or a price without currency. Joins the open transaction.
    """
    if not math.isfinite(quantity) or quantity < 0 or (price is not None and not price >= 0):
        raise UsageError(f"a cost of {quantity} {kind.value} at {price}: both are 0 or more")
    if (price is None) != (currency is None):
        raise UsageError(f"a price of {price} in {currency}: give both, or neither")
    entry = CostEntry(
        id=derived_id("co", project, round, campaign, kind.value, *key),
        project=project,
        round=round,
        campaign=campaign,
        kind=kind.value,
        quantity=float(quantity),
        unit=UNITS[kind],
        price=price,
        currency=currency,
        created_at=datetime.now(UTC),
        note=note or {},
    )
    records.add(entry)
    return records.get(CostEntry, entry.id)


def check_budget(
    records: Records,
    *,
    project: str,
    round: str | None = None,
    campaign: str | None = None,
    kind: CostKind | Collection[CostKind] | None = None,
    wanted: float = 0.0,
    stored: int | Callable[[], int] | None = None,
) -> None:
    """Raise BudgetSpent when a budget of the project, round or campaign has nothing left, or less than wanted.

    kind: what is about to be spent, one or several (None: any; none of them: only storage); wanted: how much of
    it. Budgets of money hold for every kind. stored: bytes that the project keeps now, for its budget of storage,
    or what measures them, which is asked only where there is such a budget; None leaves that one out.
    """
    kinds = [kind] if isinstance(kind, CostKind) else kind
    for budget in _applying(records, project, round, campaign):
        if budget.kind == STORAGE:
            used = float(stored() if callable(stored) else stored) if stored is not None else None
            asked = wanted if kind is None else 0.0
        elif kinds is None or budget.kind in kinds or (budget.kind == MONEY and kinds):
            used, asked = _used(records, budget), wanted if budget.kind != MONEY else 0.0
        else:
            continue
        if used is not None and (used >= budget.limit or used + asked > budget.limit):
            raise BudgetSpent(_told(budget, used, asked))


@dataclass
class Measured:
    """A measurement that takes its time, such as of all that is stored: taken anew only once it is at most 2 % of
    the time that passed since."""

    measure: Callable[[], int]
    clock: Callable[[], float] = time.monotonic
    _known: int | None = field(default=None, init=False)
    _due: float = field(default=-math.inf, init=False)

    def __call__(self) -> int:
        begun = self.clock()
        if self._known is None or begun >= self._due:
            self._known = self.measure()
            ended = self.clock()
            self._due = ended + (ended - begun) / _SHARE
        return self._known


def storage_check(ws: "Workspace") -> Callable[[], None]:
    """What raises BudgetSpent once the project keeps all that it may; cheap enough for each batch of an
    import."""
    stored = Measured(ws.stored_bytes)
    return lambda: check_budget(ws.records, project=ws.project, kind=(), stored=stored)


def set_budget(
    records: Records,
    *,
    project: str,
    kind: str,
    limit: float,
    unit: str | None = None,
    round: str | None = None,
    campaign: str | None = None,
) -> Budget:
    """Make or change a budget; raising it lets work go on. UsageError for a wrong kind, unit, scope or limit."""
    chosen = _unit(kind, unit)
    if round is not None and campaign is not None:
        raise UsageError(f"a budget of round {round} and campaign {campaign}: name one of them")
    if kind == STORAGE and (round or campaign):
        raise UsageError(
            "a budget of storage is the project's: name neither a round nor a campaign"
        )
    if not math.isfinite(limit) or limit < 0:
        raise UsageError(f"a budget of {limit} {chosen}: it is 0 or more")
    now = datetime.now(UTC)
    id_ = derived_id("bu", project, round, campaign, kind, chosen)
    budget = Budget(id_, project, round, campaign, kind, float(limit), chosen, now, now)
    with records.transaction():
        if not records.add(budget):
            budget = replace(budget, created_at=records.get(Budget, id_).created_at)
            records.replace(budget)
    return budget


def budgets(records: Records, project: str) -> list[tuple[Budget, float | None]]:
    """Every budget of a project with what is used of it; None for storage, which is measured, not booked."""
    found = records.find(Budget, project=project)
    return [(one, None if one.kind == STORAGE else _used(records, one)) for one in found]


def spent(records: Records, project: str) -> list[Spent]:
    """What was spent, by round, campaign and kind. What has no price is counted, never taken for 0."""
    costs = table_of(CostEntry)
    keys = [costs.c.round, costs.c.campaign, costs.c.kind, costs.c.unit]
    query = (
        sa.select(*keys, costs.c.currency, *_sums(costs))
        .where(costs.c.project == project)
        .group_by(*keys, costs.c.currency)
        .order_by(sa.func.min(costs.c.seq))
    )
    with records.statements(write=False) as connection:
        rows: Sequence[Any] = connection.execute(query).all()
    found: dict[tuple[Any, ...], Spent] = {}
    for round_, campaign, kind, unit, currency, quantity, money, entries in rows:
        key = round_, campaign, kind, unit
        before = found.get(key) or Spent(project, *key, 0.0, 0, {}, 0)
        paid = before.money | ({currency: money} if currency is not None else {})
        found[key] = replace(
            before,
            quantity=before.quantity + quantity,
            entries=before.entries + entries,
            money=paid,
            unpriced=before.unpriced + (entries if currency is None else 0),
        )
    return list(found.values())


def _sums(costs: sa.Table) -> list[sa.ColumnElement[Any]]:
    paid = sa.func.sum(costs.c.quantity * costs.c.price)
    return [sa.func.sum(costs.c.quantity), paid, sa.func.count()]


def _applying(
    records: Records, project: str, round_: str | None, campaign: str | None
) -> list[Budget]:
    found = records.find(Budget, project=project)
    scopes = {(None, None), (round_, None), (None, campaign)}
    return [one for one in found if (one.round, one.campaign) in scopes]


def _used(records: Records, budget: Budget) -> float:
    costs = table_of(CostEntry)
    money = budget.kind == MONEY
    total = costs.c.quantity * costs.c.price if money else costs.c.quantity
    query = sa.select(sa.func.coalesce(sa.func.sum(total), 0.0)).where(
        costs.c.project == budget.project,
        costs.c.currency == budget.unit if money else costs.c.kind == budget.kind,
    )
    if budget.round is not None:
        query = query.where(costs.c.round == budget.round)
    if budget.campaign is not None:
        query = query.where(costs.c.campaign == budget.campaign)
    with records.statements(write=False) as connection:
        return float(connection.execute(query).scalar_one())


def _unit(kind: str, unit: str | None) -> str:
    fixed = {one.value: UNITS[one] for one in CostKind} | {STORAGE: "B"}
    if kind == MONEY:
        if unit is None:
            raise UsageError("a budget of money needs its currency, such as EUR")
        return unit
    if kind not in fixed:
        raise UsageError(f"no budget is of kind {kind!r}: give one of {', '.join([*fixed, MONEY])}")
    if unit not in (None, fixed[kind]):
        raise UsageError(f"a budget of {kind} is in {fixed[kind]}, not in {unit}")
    return fixed[kind]


def _told(budget: Budget, used: float, wanted: float) -> str:
    whose = f"round {budget.round}" if budget.round else f"project {budget.project}"
    whose = f"campaign {budget.campaign}" if budget.campaign else whose
    scope = f" --round {budget.round}" if budget.round else ""
    scope = f" --campaign {budget.campaign}" if budget.campaign else scope
    more = f" and {wanted:g} more are wanted" if wanted else ""
    unit = f" --unit {budget.unit}" if budget.kind == MONEY else ""
    return (
        f"{whose}: {used:g} of {budget.limit:g} {budget.unit} of {budget.kind} are spent{more}: nothing is lost; "
        f"to go on, raise it: trivox project budget {budget.kind} LIMIT{scope}{unit}"
    )
