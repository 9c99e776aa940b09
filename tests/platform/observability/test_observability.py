"""Logs that programs can read and that keep secrets, figures that are counted, a check that always answers."""

import io
import json
import logging
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from trivox.app import Figures
from trivox.cli import app
from trivox.platform.observability import doctor, logs
from trivox.platform.observability.doctor import Finding, Health, examine
from trivox.platform.observability.metrics import metrics
from trivox.platform.progress import bar, say
from trivox.platform.records.budgets import CostKind
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import book

LOG = logging.getLogger("trivox.test")


def lines(write: object) -> list[dict[str, str]]:
    stream = io.StringIO()
    handler = logs.to_stream(stream)
    try:
        write()  # type: ignore[operator]
    finally:
        logging.getLogger("trivox").removeHandler(handler)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_lines_name_round_and_stage() -> None:
    def write() -> None:
        with logs.bound(round="rd_1"), logs.bound(stage="score"):
            LOG.info("begun with %s", 3)
        LOG.warning("alone")

    first, second = lines(write)
    assert (first["round"], first["stage"], first["message"]) == ("rd_1", "score", "begun with 3")
    assert first["level"] == "info" and first["at"].endswith("+00:00")
    assert "round" not in second and second["level"] == "warning"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hunter2@db/x is away",
        "password=hunter2 refused",
        'AWS_SECRET_ACCESS_KEY="hunter2"',
        "Authorization: Bearer hunter2",
        "api_key: hunter2; next",
    ],
)
def test_secrets_do_not_land_in_the_log(text: str) -> None:
    def write() -> None:
        LOG.error(text)
        try:
            raise ValueError(text)
        except ValueError:
            LOG.exception("failed")

    told = lines(write)
    assert len(told) == 2 and "hunter2" not in json.dumps(told) and "redacted" in json.dumps(told)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    made = Workspace.create(tmp_path / "ws")
    book(made.records, project="default", kind=CostKind.GPU, quantity=90, key=(1,))
    return made


def test_figures_and_who_may_read_them(ws: Workspace) -> None:
    assert b'trivox_cost_total{kind="gpu",unit="s"} 90.0' in metrics(ws)
    assert b"trivox_up 1.0" in metrics(ws)
    with ws:
        here = TestClient(Figures(ws, None), client=("127.0.0.1", 5000))
        assert "trivox_disk_free_bytes" in here.get("/metrics").text
        assert here.get("/metrics", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 401
        assert (
            TestClient(Figures(ws, None), client=("10.0.0.9", 1)).get("/metrics").status_code == 401
        )
        guarded = TestClient(Figures(ws, "key"), client=("127.0.0.1", 5000))
        assert guarded.get("/metrics").status_code == 401
        assert guarded.get("/metrics", headers={"Authorization": "Bearer key"}).status_code == 200
    (ws.root / "trivox.db").write_bytes(b"broken" * 1000)
    assert b"trivox_up 0.0" in metrics(ws)


def test_a_healthy_workspace_and_a_sick_one(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {one.check: one for one in examine(ws.root)}
    assert set(found) == {"versions", "disk", "permissions", "database", "storage"}
    assert {one.health for one in found.values()} <= {Health.OK, Health.WARNING}
    assert "sqlite" in found["database"].told
    monkeypatch.setattr(doctor, "LEAST_FREE", 1 << 60)
    assert doctor.disk(ws.root).health is Health.WARNING
    ws.close()
    (ws.root / "trivox.db").unlink()

    def dies() -> Finding:
        raise OSError("no driver")

    sick = examine(ws.root, [dies])
    assert [(one.check, one.health) for one in sick[-2:]] == [
        ("workspace", "failed"),
        ("dies", "failed"),
    ]
    assert "is missing" in sick[-2].told


def test_a_password_that_others_may_read(ws: Workspace) -> None:
    settings = ws.root / "trivox.toml"
    text = settings.read_text().replace("sqlite:///trivox.db", "postgresql://me:hunter2@h/d")
    settings.write_text(text)
    found = doctor.permissions(ws.root)
    assert found.health is Health.WARNING and "hunter2" not in found.told
    settings.chmod(0o600)
    assert doctor.permissions(ws.root).health is Health.OK


def test_command(ws: Workspace) -> None:
    ended = CliRunner().invoke(app, ["doctor", "--workspace", str(ws.root), "--json"])
    told = json.loads(ended.stdout)
    assert ended.exit_code == 0 and told["healthy"]
    nowhere = CliRunner().invoke(app, ["doctor", "--workspace", str(ws.root / "no"), "--json"])
    assert nowhere.exit_code == 1 and not json.loads(nowhere.stdout)["healthy"]


def test_what_is_said_to_people_is_a_line_of_the_log_where_that_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stderr of a test is no terminal: auto writes JSON lines and nothing else; text changes nothing."""
    server = logging.getLogger("uvicorn.error")
    for log in (server, logging.getLogger("uvicorn")):  # Streamlit, once imported, sets them up
        monkeypatch.setattr(log, "propagate", True)
        monkeypatch.setattr(log, "handlers", [])
    with logs.written(), logs.bound(round="rd_1"):
        say("round rd_1 pauses: postgresql://me:hunter2@db/x is away")
        server.error("bound to 0.0.0.0")
        with bar() as shown:
            shown.add_task("train", total=3)
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(one["logger"], one["round"]) for one in told] == [
        ("trivox.progress", "rd_1"),
        ("uvicorn.error", "rd_1"),
    ]
    assert "hunter2" not in told[0]["message"]
    with logs.written(logs.LogForm.TEXT):
        say("plain")
    say("after")
    assert capsys.readouterr().err.split() == ["plain", "after"]
    assert not logging.getLogger("trivox").handlers and not logs.to_stderr()
