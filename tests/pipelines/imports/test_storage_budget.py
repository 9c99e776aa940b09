"""A budget of storage stops imports politely: they go on when it is raised."""

import json
from pathlib import Path
from typing import Any

import pytest

from trivox.pipelines.imports import import_source, service
from trivox.platform.errors import BudgetSpent
from trivox.platform.records import Branch, Prompt
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import set_budget


def test_an_import_stops_where_the_budget_ends_and_goes_on_when_it_is_raised(
    workspace: Workspace, source: Path, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three recordings, looked at before each: the first fits, so that the budget is used up before the second."""
    monkeypatch.setattr(service, "ROWS_BETWEEN_CHECKS", 1)
    monkeypatch.setattr("trivox.platform.store.budgets._SHARE", float("inf"))
    for number in range(3):
        record(source / f"{number}.wav", 300 + 50 * number)
    rows = [json.dumps({"audio": f"{number}.wav", "text": f"text {number}"}) for number in range(3)]
    (source / "m.jsonl").write_text("\n".join(rows))
    given: dict[str, Any] = {"name": "own", "branch": Branch.ASR, "language": "en"}
    set_budget(workspace.records, project=workspace.project, kind="storage", limit=1.0)
    with pytest.raises(BudgetSpent, match="of 1 B of storage are spent"):
        import_source(workspace, str(source / "m.jsonl"), **given)
    assert workspace.records.find(Prompt) == []
    assert list(workspace.audio.stored())  # of the first, which is not stored again
    set_budget(workspace.records, project=workspace.project, kind="storage", limit=1e9)
    assert import_source(workspace, str(source / "m.jsonl"), **given).taken == 3
