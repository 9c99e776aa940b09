"""`trivox worker` logs what it does, a JSON object a line, with the ids of round and stage."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.pipelines.conftest import FakeStages, Queue
from trivox.cli import app
from trivox.pipelines.rounds.context import Outcome, RoundContext
from trivox.platform.errors import BrokenAudio
from trivox.platform.records import Round, RoundStatus, Stage
from trivox.platform.store import Workspace


def test_a_worker_logs_begin_end_and_failure_of_stages(
    ws: Workspace, queued: Queue, fakes: FakeStages
) -> None:
    def broken(_: RoundContext) -> Outcome:
        raise BrokenAudio("clip 7 at s3://key:hunter2@bucket/clip is cut short")

    fakes.answers[Stage.SCORE] = broken
    round_ = queued()
    ended = CliRunner().invoke(app, ["worker", "--once", "--workspace", str(ws.root)])
    assert ended.exit_code == 0 and ended.stdout == "1 rounds worked on\n"
    lines: list[dict[str, Any]] = [json.loads(line) for line in ended.stderr.splitlines()]
    assert "hunter2" not in ended.stderr
    staged = [one for one in lines if one["logger"] == "trivox.rounds"]
    assert [(one["stage"], one["level"]) for one in staged] == [
        ("rollout", "info"),
        ("rollout", "info"),
        ("score", "info"),
        ("score", "error"),
    ]
    assert {one["round"] for one in staged} == {round_.id}
    assert "stage rollout ends after" in staged[1]["message"]
    assert "BrokenAudio: clip 7" in staged[3]["error"]
    assert ws.records.get(Round, round_.id).status is RoundStatus.FAILED


def test_people_get_text(
    ws: Workspace, queued: Queue, fakes: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued()
    monkeypatch.setenv("TRIVOX_LOG", "text")
    ended = CliRunner().invoke(app, ["worker", "--once", "--workspace", str(ws.root)])
    assert "1/8 rollout" in ended.stderr and "{" not in ended.stderr
