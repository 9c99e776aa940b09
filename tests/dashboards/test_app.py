"""The first page on an empty workspace, on a small one, and on none."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from trivox.dashboards import app
from trivox.dashboards.queries import overview
from trivox.pipelines.evaluation import COLUMNS, summarise
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Branch,
    Campaign,
    Evaluation,
    JudgeKind,
    Judgement,
    PolicyStatus,
    PolicyVersion,
    Round,
    RoundStatus,
    Stage,
    Task,
    TaskKind,
)
from trivox.platform.store import Workspace

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def policy(id: str, parents: dict[str, float], status: PolicyStatus) -> PolicyVersion:
    branch = Branch.TTS if parents else None
    artefact = f"artefacts/{id}"
    return PolicyVersion(
        id, "default", f"name-{id}", branch, parents, None, artefact, "0", None, status, NOW
    )


def judgement(id: str, kind: JudgeKind, supersedes: str | None = None) -> Judgement:
    answer = Answer(AnswerKind.COMPARISON, comparison=2)
    return Judgement(
        id,
        "default",
        "task",
        kind,
        "judge",
        answer,
        ("a", "b"),
        f"key-{id}",
        NOW,
        supersedes=supersedes,
    )


def evaluation(id: str, results: dict[str, Any], proxy: bool = False) -> Evaluation:
    families = {"pocketsphinx-wer": "pocketsphinx", "dnsmos": "dnsmos"}
    return Evaluation(
        id, "default", "child", "parent", "held-out@1", families, proxy, results, (), "r1", NOW
    )


def some_round(id: str, status: RoundStatus, error: str | None = None) -> Round:
    return Round(
        id,
        "default",
        Branch.TTS,
        "dpo",
        "parent",
        "domain@1",
        {},
        0,
        Stage.LABEL,
        status,
        NOW,
        NOW,
        error=error,
    )


def figures(wins: int, losses: int, ties: int) -> dict[str, Any]:
    """As a round's evaluation makes them of so many verdicts, each of another prompt."""
    verdicts = ["win"] * wins + ["loss"] * losses + ["tie"] * ties
    columns = [f"{name}_{when}" for name in COLUMNS for when in ("before", "after")]
    empty = dict.fromkeys(columns)
    rows = [{"prompt": f"p{i}", "verdict": one, **empty} for i, one in enumerate(verdicts)]
    return summarise(rows, seed=0)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    Workspace.create(tmp_path / "workspace").close()
    return tmp_path / "workspace"


@pytest.fixture
def small(empty: Path) -> Path:
    """Two rounds, two policies, one evaluation with a win rate; one human judgement was corrected."""
    with Workspace.open(empty) as workspace:
        workspace.records.add(
            policy("parent", {}, PolicyStatus.PROMOTED),
            policy("child", {"parent": 1.0}, PolicyStatus.REJECTED),
            some_round("r1", RoundStatus.DONE),
            some_round("r2", RoundStatus.FAILED, "round r2: stage label: no prompts"),
            Campaign("c", "default", "c", Branch.TTS, "guide", 1, ("en",), 1, NOW),
            Task("task", "default", "c", TaskKind.COMPARE, "p", ("a", "b"), "q@1", "en", 1),
            judgement("h1", JudgeKind.HUMAN),
            judgement("h2", JudgeKind.HUMAN, supersedes="h1"),
            *(judgement(f"s{index}", JudgeKind.SIMULATED) for index in range(3)),
            evaluation("e1", figures(wins=20, losses=12, ties=8)),
            evaluation("e2", {"wer": {"value": 0.1}}),
        )
    return empty


def run(monkeypatch: pytest.MonkeyPatch, root: Path) -> AppTest:
    monkeypatch.setattr("sys.argv", ["app.py", str(root)])
    shown = AppTest.from_file(app.__file__, default_timeout=30).run()
    assert not shown.exception
    return shown


def metrics(shown: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in shown.metric}


def test_empty_workspace_says_what_to_run(monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    shown = run(monkeypatch, empty)
    assert [info.value for info in shown.info] == [app.EMPTY]
    assert not shown.metric and not shown.dataframe and not shown.error


def test_no_workspace_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = run(monkeypatch, tmp_path)
    [error] = shown.error
    assert "trivox init" in error.value


def test_simulated_is_apart_from_human(monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    """Two human rows, of which one supersedes the other: 1. Three simulated."""
    assert metrics(run(monkeypatch, small)) == {
        "Win rate over the parent": "62%",
        "Human judgements": "1",
        "Model judgements": "0",
        "Simulated judgements": "3",
    }


def test_win_rate_comes_with_its_interval(monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    """20 of 32 decisive: 0.625. Wilson: centre (0.625 + 3.84 / 64) / 1.12 = 0.612, half width
    1.96 * sqrt(0.625 * 0.375 / 32 + 3.84 / 4096) / 1.12 = 0.159: 0.453 to 0.771.
    """
    captions = [caption.value for caption in run(monkeypatch, small).caption]
    assert (
        "name-child on held-out prompts: 95% interval 45% to 77%; 20 won, 12 lost, 8 tied, "
        "by dnsmos, pocketsphinx-wer"
    ) in captions


def test_proxy_is_named(monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    with Workspace.open(small) as workspace:
        workspace.records.add(evaluation("e3", figures(0, 0, 8), proxy=True))
    assert metrics(run(monkeypatch, small))["Proxy win rate over the parent"] == "no decision"


def test_tables_show_newest_first(monkeypatch: pytest.MonkeyPatch, small: Path) -> None:
    rounds, policies = (table.value for table in run(monkeypatch, small).dataframe)
    assert list(rounds["id"]) == ["r2", "r1"]
    assert list(rounds["error"])[0] == "round r2: stage label: no prompts"
    assert list(rounds["policy"]) == ["name-parent", "name-parent"]
    assert list(policies["name"]) == ["name-child", "name-parent"]
    assert list(policies["status"]) == ["rejected", "promoted"]
    assert [list(names) for names in policies["parents"]] == [["name-parent"], []]


def test_other_projects_are_not_shown(small: Path) -> None:
    with Workspace.open(small) as workspace:
        workspace.project = "another"
        assert overview(workspace).is_empty
