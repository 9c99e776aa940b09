"""Costs are booked once, budgets stop what would go beyond them, and projects keep to their own places."""

from pathlib import Path

import numpy as np
import pytest

from trivox.platform.errors import EXIT_WAITING, BudgetSpent, NotFound, UsageError
from trivox.platform.records import CostEntry
from trivox.platform.records.budgets import CostKind
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import book, budgets, check_budget, set_budget, spent
from trivox.platform.store.projects import create_project

GPU, JUDGE, PEOPLE = CostKind.GPU, CostKind.JUDGE, CostKind.PEOPLE
DEFAULT = "default"


def test_the_same_work_is_booked_once(ws: Workspace) -> None:
    for _ in range(2):
        book(ws.records, project=DEFAULT, kind=GPU, quantity=60, key=("train", 0), round="rd_1")
    book(ws.records, project=DEFAULT, kind=GPU, quantity=30, key=("train", 1), round="rd_1")
    assert [(one.quantity, one.unit) for one in ws.records.find(CostEntry)] == [
        (60, "s"),
        (30, "s"),
    ]


def test_sums_by_hand(ws: Workspace) -> None:
    """100 requests at 0.02 EUR and 50 at 0.04 EUR are 4 EUR; 10 more have no price, which is not 0."""
    for number, (quantity, price) in enumerate([(100, 0.02), (50, 0.04), (10, None)]):
        currency = None if price is None else "EUR"
        book(
            ws.records, project=DEFAULT, kind=JUDGE, quantity=quantity, key=(number,), round="rd_1",
            price=price, currency=currency,
        )  # fmt: skip
    book(ws.records, project=DEFAULT, kind=PEOPLE, quantity=3600, key=(0,), campaign="ca_1")
    one, other = spent(ws.records, DEFAULT)
    assert (one.round, one.kind, one.unit, one.quantity, one.entries) == (
        "rd_1",
        "judge",
        "request",
        160,
        3,
    )
    assert one.money == {"EUR": pytest.approx(4.0)} and one.unpriced == 1
    assert (other.campaign, other.quantity, other.money, other.unpriced) == ("ca_1", 3600, {}, 1)


def test_work_stops_politely_and_goes_on_when_the_budget_is_raised(ws: Workspace) -> None:
    def limit(value: float) -> None:
        set_budget(ws.records, project=DEFAULT, kind="gpu", limit=value, round="rd_1")

    limit(100)
    given = {"project": DEFAULT, "round": "rd_1", "kind": GPU}
    book(ws.records, **given, quantity=80, key=(1,))  # type: ignore[arg-type]
    check_budget(ws.records, **given, wanted=20)  # type: ignore[arg-type]
    with pytest.raises(
        BudgetSpent, match="80 of 100 s of gpu are spent and 21 more are wanted"
    ) as told:
        check_budget(ws.records, **given, wanted=21)  # type: ignore[arg-type]
    assert told.value.exit_code == EXIT_WAITING
    assert "trivox project budget gpu LIMIT --round rd_1" in str(told.value)
    limit(101)
    check_budget(ws.records, **given, wanted=21)  # type: ignore[arg-type]
    limit(80)
    with pytest.raises(BudgetSpent, match="80 of 80 s"):
        check_budget(ws.records, **given)  # type: ignore[arg-type]
    assert [(one.limit, used) for one, used in budgets(ws.records, DEFAULT)] == [(80, 80)]


def test_a_budget_holds_where_it_was_set(ws: Workspace) -> None:
    """Of another round, campaign, kind or project: nobody else is stopped. The project's stops all of it."""
    set_budget(ws.records, project=DEFAULT, kind="gpu", limit=0, round="rd_1")
    set_budget(ws.records, project=DEFAULT, kind="people", limit=0, campaign="ca_1")
    for free in ({"round": "rd_2", "kind": GPU}, {"round": "rd_1", "kind": JUDGE}, {"kind": GPU}):
        check_budget(ws.records, project=DEFAULT, **free)  # type: ignore[arg-type]
    check_budget(ws.records, project="other", round="rd_1", kind=GPU)
    for spent_ in ({"round": "rd_1", "kind": GPU}, {"round": "rd_1"}, {"campaign": "ca_1"}):
        with pytest.raises(BudgetSpent):
            check_budget(ws.records, project=DEFAULT, **spent_)  # type: ignore[arg-type]
    set_budget(ws.records, project=DEFAULT, kind="judge", limit=0)
    with pytest.raises(BudgetSpent, match="project default"):
        check_budget(ws.records, project=DEFAULT, round="rd_7", kind=JUDGE)


def test_money_and_storage(ws: Workspace) -> None:
    set_budget(ws.records, project=DEFAULT, kind="money", limit=5, unit="EUR")
    book(ws.records, project=DEFAULT, kind=JUDGE, quantity=10, key=(1,), price=0.5, currency="USD")
    check_budget(ws.records, project=DEFAULT, kind=GPU)
    book(ws.records, project=DEFAULT, kind=JUDGE, quantity=10, key=(2,), price=0.5, currency="EUR")
    with pytest.raises(BudgetSpent, match="5 of 5 EUR of money.*budget money LIMIT --unit EUR"):
        check_budget(ws.records, project=DEFAULT, kind=GPU)
    set_budget(ws.records, project=DEFAULT, kind="money", limit=50, unit="EUR")
    ws.audio.put(np.zeros(8000, np.float32), 8000, project=DEFAULT, source="t")
    set_budget(ws.records, project=DEFAULT, kind="storage", limit=10)
    check_budget(ws.records, project=DEFAULT)  # not asked for
    with pytest.raises(BudgetSpent, match="of 10 B of storage"):
        check_budget(ws.records, project=DEFAULT, stored=ws.stored_bytes())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "beer", "limit": 1}, "no budget is of kind 'beer'"),
        ({"kind": "gpu", "limit": 1, "unit": "h"}, "is in s, not in h"),
        ({"kind": "money", "limit": 1}, "needs its currency"),
        ({"kind": "gpu", "limit": float("nan")}, "budget of nan"),
        ({"kind": "gpu", "limit": -1}, "0 or more"),
        ({"kind": "gpu", "limit": 1, "round": "a", "campaign": "b"}, "name one of them"),
        ({"kind": "storage", "limit": 1, "round": "a"}, "is the project's"),
    ],
)
def test_wrong_budgets(ws: Workspace, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        set_budget(ws.records, project=DEFAULT, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"quantity": -1}, {"quantity": float("inf")}, {"quantity": 1, "price": 2}]
)
def test_wrong_costs(ws: Workspace, wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        book(ws.records, project=DEFAULT, kind=GPU, key=(), **wrong)  # type: ignore[arg-type]
    assert ws.records.find(CostEntry) == []


def test_projects_keep_their_files_apart(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    create_project(ws.records, "speech", "teams/speech")
    tone = np.full(8000, 0.5, np.float32)
    monkeypatch.setenv("TRIVOX_PROJECT", "speech")
    with Workspace.open(ws.root) as other:
        assert other.project == "speech"
        sound = other.audio.put(tone, 8000, project="speech", source="t")
        assert other.audio.path(sound.id).is_relative_to(
            Path(ws.root) / "audio" / "teams" / "speech"
        )
        assert other.stored_bytes() > 0
    assert ws.stored_bytes() == 0
    with pytest.raises(NotFound):
        ws.audio.read(sound.id)
    monkeypatch.setenv("TRIVOX_PROJECT", "nobody")
    with pytest.raises(NotFound, match="no project 'nobody'.*default, speech"):
        Workspace.open(ws.root)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("default", None), ("a/b", None), ("..", None), ("", None),
        ("team", "../x"), ("team", "ab"), ("team", "one/two"),
    ],
)  # fmt: skip
def test_wrong_projects(ws: Workspace, name: str, prefix: str | None) -> None:
    create_project(ws.records, "first", "one")
    with pytest.raises(UsageError):
        create_project(ws.records, name, prefix)
