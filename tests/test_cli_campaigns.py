"""`trivox campaign`: from a file to figures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.annotation.work.conftest import FIRST, SECOND, Desk, campaign, people
from trivox.cli import app
from trivox.platform.errors import ConfigError, NotFound, UsageError
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Campaign,
    JudgeKind,
    Judgement,
    Task,
)
from trivox.platform.store import Workspace

TOML = """
name = "may"
branch = "tts"
languages = ["en"]
overlap = 2
[guideline]
en = "Which is better?"
[plan]
control_share = 0.0
"""


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Three people who judged six comparisons of two policies, and a simulated judge who said the opposite."""
    with Workspace.create(tmp_path_factory.mktemp("campaigns") / "ws") as made:
        one, desk = campaign(made, 6, overlap=3), Desk(made)
        for person in people(made, "ann", "bob", "cem"):
            desk.enter(person.id, one)
            for number in range(6):
                lease = desk.next(person.id, one)
                desk.listen(person.id, lease)
                held = made.records.find(Task, id=lease.task)[0]
                shown = made.records.find(Judgement)  # grows; only its length is of interest
                best = 1 if person.id == "cem" and number == 0 else 0
                order = _order(made, lease.id)
                said = FIRST if order[0] == held.items[best] else SECOND
                desk.work.answer(person.id, lease.id, said, f"k{len(shown)}")
        for task in made.records.find(Task):
            made.records.add(_simulated(task))
        yield made


def _order(ws: Workspace, lease: str) -> tuple[str, ...]:
    from trivox.platform.records import TaskLease

    return ws.records.get(TaskLease, lease).presentation


def _simulated(task: Task) -> Judgement:
    from tests.annotation.work.conftest import NOON

    answer = Answer(AnswerKind.COMPARISON, comparison=-3)
    name = f"sim {task.id}"
    return Judgement(
        name,
        task.project,
        task.id,
        JudgeKind.SIMULATED,
        "simulated:x",
        answer,
        task.items,
        name,
        NOON,
    )


def told(ws: Workspace, *arguments: str) -> Any:
    ended = CliRunner().invoke(
        app, ["campaign", *arguments, "-w", str(ws.root), "--json"], catch_exceptions=False
    )
    assert ended.exit_code == 0 and ended.stdout.count("\n") == 1
    return json.loads(ended.stdout)


def test_create_list_and_status(ws: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "may.toml"
    file.write_text(TOML, encoding="utf-8")
    made = told(ws, "create", str(file))
    assert made["tasks"] == 0
    assert ws.records.get(Campaign, made["campaign"]).plan.control_share == 0.0
    listed = told(ws, "list")["campaigns"]
    assert [one["name"] for one in listed] == ["first", "may"]
    status = told(ws, "status", "first")
    assert (status["tasks"], status["finished"], status["answered"]) == (6, 6, 18)
    assert status["judgements"] == {"human": 18, "simulated": 6}


def test_report_counts_people_alone(ws: Workspace) -> None:
    found = told(ws, "report", "first")
    (figures,) = found["agreement"]
    assert figures["question"] == "overall@1" and figures["alpha"]["units"] == 6
    assert set(found["reliability"]) == {"human:ann", "human:bob", "human:cem"}
    assert found["classes"] == {"full": 5, "majority": 1, "split": 0, "single": 0, "none": 0}
    best = found["leaderboard"]["standings"][0]
    assert best["item"] == "policy_0" and best["bouts"] == 18
    rates = found["win_rates"]["policy_0"]["half"]
    assert rates["answers"] == 18 and rates["micro"] > 0.85
    assert found["side"]["decided"] == 18


def test_preview_and_refresh(ws: Workspace) -> None:
    yields = told(ws, "preview", "first")["yields"]
    assert {one["method"] for one in yields} == {"majority", "weighted", "dawid-skene"}
    assert max(one["kept"] for one in yields) == 6
    assert told(ws, "refresh", "first")["tasks"] == 6


def test_as_text(ws: Workspace) -> None:
    ended = CliRunner().invoke(app, ["campaign", "report", "first", "-w", str(ws.root)])
    assert ended.exit_code == 0 and "overall@1 preference alpha" in ended.stdout
    assert "policy_0 strength" in ended.stdout


def test_what_is_wrong_is_said(ws: Workspace, tmp_path: Path) -> None:
    def run(*arguments: str) -> None:
        command = ["campaign", *arguments, "-w", str(ws.root)]
        CliRunner().invoke(app, command, catch_exceptions=False)

    with pytest.raises(NotFound, match="campaign list"):
        run("status", "nowhere")
    file = tmp_path / "wrong.toml"
    file.write_text(TOML + "gold_shar = 0.1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="'gold_shar' is no setting"):
        run("create", str(file))
    file.write_text(TOML + "gold_pass = 7.0\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="gold_pass is 7"):
        run("create", str(file))


def test_commit_and_export(ws: Workspace, tmp_path: Path) -> None:
    made = told(ws, "commit", "first", "--min-confidence", "0.9")
    assert made["preferences"] == 5 and sum(made["dropped"].values()) == 1
    assert told(ws, "commit", "first", "--min-confidence", "0.9") == made
    assert told(ws, "export", "first", "--out", str(tmp_path / "all.jsonl"))["judgements"] == 24
    assert told(ws, "export", "first", "--out", str(tmp_path / "all.csv"))["judgements"] == 18
    with pytest.raises(UsageError, match="majority, weighted, dawid-skene"):
        command = ["campaign", "commit", "first", "--method", "best", "-w", str(ws.root)]
        CliRunner().invoke(app, command, catch_exceptions=False)
