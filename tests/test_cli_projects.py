"""`trivox project`: made, budgeted, and what it costs."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trivox.cli import app
from trivox.platform.errors import UsageError
from trivox.platform.records.budgets import CostKind
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import book


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Workspace.create(tmp_path / "ws") as ws:
        book(ws.records, project="default", kind=CostKind.GPU, quantity=90, key=(1,), note={"a": 1})
        return ws.root


def run(root: Path, *words: str) -> dict[str, Any]:
    ended = CliRunner().invoke(
        app, ["project", *words, "--workspace", str(root), "--json"], catch_exceptions=False
    )
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def test_projects_budgets_and_costs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(root, "create", "speech") == {"project": "speech", "prefix": "speech"}
    listed = run(root, "list")["projects"]
    assert [(one["project"], one["current"]) for one in listed] == [
        ("default", True),
        ("speech", False),
    ]
    (made,) = run(root, "budget", "gpu", "100")["budgets"]
    assert (made["kind"], made["limit"], made["used"], made["unit"]) == ("gpu", 100, 90, "s")
    assert [one["kind"] for one in run(root, "budget", "storage", "1e9")["budgets"]] == [
        "gpu",
        "storage",
    ]
    (cost,) = run(root, "costs")["costs"]
    assert (cost["kind"], cost["quantity"], cost["unpriced"]) == ("gpu", 90, 1)
    monkeypatch.setenv("TRIVOX_PROJECT", "speech")
    assert run(root, "costs") == {"costs": []} and run(root, "budget") == {"budgets": []}


def test_a_budget_without_limit(root: Path) -> None:
    with pytest.raises(UsageError, match="needs its limit"):
        run(root, "budget", "gpu")
