"""A round that waits for people: it stops, they judge in the browser's stead, a worker finishes it."""

import json
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from tests.e2e.listener import Listener
from trivox.annotation.server import serve_labels
from trivox.annotation.simulated import SimulatedJudge, simulated_judgement
from trivox.annotation.waiting import waiting_tasks
from trivox.cli import app
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.finding import find_round, manifests
from trivox.pipelines.rounds.stages.label import judgements_of
from trivox.pipelines.rounds.worker import work
from trivox.pipelines.workspaces import init_workspace
from trivox.platform.errors import EXIT_WAITING
from trivox.platform.records import (
    JudgeKind,
    Person,
    PolicyVersion,
    PreferenceSet,
    RoundStatus,
    Stage,
    Task,
)
from trivox.platform.store import Workspace

# Clips of less than a second, because people listen in real time.
CONFIG = """
[rollout]
prompts = 2
candidates = 2
temperature = 1.5  # so that no two candidates are alike
workers = 1
max_tokens = 60
[score]
rewards = []
gates = ["end"]
workers = 1
[compare]
pairs_per_prompt = 1
[train]
epochs = 1
[evaluate]
prompts = 2
"""


def run(ws: Workspace, toml: Path) -> "tuple[int, dict[str, object], str]":
    arguments = ["--config", str(toml), "--workspace", str(ws.root), "--no-serve", "--json"]
    ended = CliRunner().invoke(app, ["round", "run", *arguments])
    return ended.exit_code, json.loads(ended.stdout), ended.stderr


def test_people_judge_and_a_worker_finishes(
    tmp_path: Path, ray_session: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trivox.annotation.server.LAST_PAGE_S", 0.05)
    monkeypatch.setattr("trivox.annotation.server.SETTLE_S", 0.05)
    toml = tmp_path / "people.toml"
    toml.write_text(CONFIG, encoding="utf-8")
    with init_workspace(tmp_path / "ws") as ws:
        code, told, _ = run(ws, toml)
        assert (code, told["status"], told["judges"]) == (EXIT_WAITING, "waiting", "human")
        round_ = find_round(ws, "last")
        tasks = waiting_tasks(ws, round_.id)
        assert len(tasks) == 2
        assert run(ws, toml)[0] == EXIT_WAITING  # nobody has judged yet
        assert work(ws, once=True) == 0

        # A simulated judge's opinion is never taken for a person's.
        alien = simulated_judgement(tasks[0], {}, SimulatedJudge(), round_.created_at)
        ws.records.add(alien)
        assert len(waiting_tasks(ws, round_.id)) == 2

        judge_all(ws, round_.id, ["a3", "b2"])
        assert work(ws, once=True) == 1
        finished = find_round(ws, "last")
        assert finished.status is RoundStatus.DONE
        check_judgements(ws, RoundContext.of(ws, finished))
        assert manifests(ws, finished)[Stage.LABEL].outputs["judgements"] == {
            "human": 2, "grm": 0, "simulated": 1
        }  # fmt: skip
        assert ws.records.find(PolicyVersion, round=finished.id)
        assert run(ws, toml)[0] == 0


def judge_all(ws: Workspace, round_id: str, choices: list[str]) -> None:
    with serve_labels(ws, round_id) as labels:
        with httpx.Client(base_url=labels.address) as browser:
            ann = Listener(browser, labels.url)
            for choice in choices:
                ann.answer(choice)
            assert "All done here" in ann.page()
        assert labels.wait(5) == 0


def check_judgements(ws: Workspace, ctx: RoundContext) -> None:
    people = judgements_of(ctx, JudgeKind.HUMAN)
    (ann,) = ws.records.find(Person, name="Ann")
    assert [one.judge for one in people] == [f"human:{ann.id}"] * 2
    assert len(judgements_of(ctx, JudgeKind.SIMULATED)) == 1 and len(judgements_of(ctx)) == 3
    tasks = {task.id: task for task in ws.records.find(Task, round=ctx.round.id)}
    (preferences,) = ws.records.find(PreferenceSet, round=ctx.round.id)
    assert len(preferences.preferences) == 2
    for one in preferences.preferences:
        assert one.judges == (JudgeKind.HUMAN,)
        (judgement,) = (person for person in people if person.id in one.judgements)
        # "A" is what was shown first, whatever the order of the task.
        shown_first_won = (judgement.answer.comparison or 0) > 0
        items = tasks[judgement.task].items
        assert one.chosen == items[0 if shown_first_won else 1]
        assert abs(judgement.answer.comparison or 0) == one.margin
        assert all(seconds > 0 for seconds in judgement.heard_s.values())
    margins = {preference.margin for preference in preferences.preferences}
    assert margins == {3.0, 2.0}
