"""`trivox people`: from the first admin's invite to tokens, roles and the log."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.annotation.people.guests import PASSWORD
from tests.annotation.work.conftest import campaign
from trivox.annotation.people import accounts
from trivox.cli import app
from trivox.platform.errors import UsageError
from trivox.platform.records import Judgement, Task
from trivox.platform.store import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "ws") as made:
        yield made


def run(ws: Workspace, *arguments: str) -> Any:
    ended = CliRunner().invoke(
        app, ["people", *arguments, "--workspace", str(ws.root)], catch_exceptions=False
    )
    assert ended.exit_code == 0
    return ended


def told(ws: Workspace, *arguments: str) -> Any:
    return json.loads(run(ws, *arguments, "--json").stdout)


def test_from_invite_to_log(ws: Workspace) -> None:
    [invited] = told(ws, "invite", "Ada", "--role", "admin", "--url", "https://here")["invites"]
    start, token = invited["link"].rsplit("/", 1)
    assert start == "https://here/invite"
    accounts.accept(ws, token, "ada", PASSWORD)
    run(ws, "grant", "ada", "lead")
    [listed] = told(ws, "list")["people"]
    assert (listed["login"], listed["roles"]) == ("ada", "admin lead")
    run(ws, "revoke", "ada", "lead")
    made = told(ws, "token", "make", "ada", "script", "--scope", "people:read")
    [shown] = told(ws, "token", "list")["tokens"]
    assert shown["token"] == made["id"] and made["token"] not in json.dumps(shown)
    run(ws, "token", "revoke", made["id"])
    assert told(ws, "token", "list") == {"tokens": []}
    run(ws, "deactivate", "ada")
    with pytest.raises(accounts.NotLetIn):
        accounts.sign_in(ws, "ada", PASSWORD, "here")
    actions = [entry["action"] for entry in told(ws, "audit")["entries"]]
    assert actions[:4] == ["invite", "accept invite", "grant role", "revoke role"]
    assert token not in run(ws, "audit").stdout
    assert told(ws, "hours") == {"hours": []}


def test_invites_of_a_csv(ws: Workspace, tmp_path: Path) -> None:
    rows = tmp_path / "people.csv"
    rows.write_text("name,email,languages\nLi,li@example.org,zh:native\nBo,,en\n", encoding="utf-8")
    made = told(ws, "invite", "--csv", str(rows))["invites"]
    assert [one["name"] for one in made] == ["Li", "Bo"]
    assert len({one["link"] for one in made}) == 2


def test_nobody_is_invited_without_a_name(ws: Workspace) -> None:
    with pytest.raises(UsageError, match="nobody to invite"):
        run(ws, "invite")


def test_what_an_import_refuses_is_told(ws: Workspace, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "task,judge,answer,created_at\nt,ada,2,2026-01-01T00:00:00Z\n", encoding="utf-8"
    )
    shown = told(ws, "import", str(rows))
    assert shown["taken"] == 0 and shown["refused"][0]["row"] == 1
    assert "row 1: task 't'" in run(ws, "import", str(rows)).stdout


def test_refused_rows_are_kept_mended_and_imported_again(ws: Workspace, tmp_path: Path) -> None:
    """A good row, one of another task, a line of 2 MB, one that is no UTF-8: three are kept, with reason and
    remedy; mended, the first of them is taken from the file where it was kept."""
    made = campaign(ws, 1)
    (task,) = ws.records.find(Task, campaign=made.id)
    good = {"task": task.id, "judge": "ada", "answer": "2", "created_at": "2026-01-01T00:00:00Z"}
    lines = [json.dumps(good), json.dumps(good | {"task": "t", "judge": "bo"}), "[" + "1," * 2**20]
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes("\n".join(lines).encode() + b"\n\xff{}\n")
    shown = told(ws, "import", str(rows))
    assert (shown["taken"], shown["beyond"], len(shown["refused"])) == (1, 0, 3)
    assert all(one["reason"] and one["remedy"] for one in shown["refused"])
    kept = Path(shown["quarantine"])
    held = [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    assert held[0]["values"]["judge"] == "bo" and held[0]["row"] == "rows.jsonl:2"
    assert (kept.parent / held[1]["file"]).stat().st_size == 2 + 2 * 2**20
    held[0]["values"]["task"] = task.id
    mended = tmp_path / "mended.jsonl"
    mended.write_text(json.dumps(held[0]), encoding="utf-8")
    assert told(ws, "import", str(mended))["taken"] == 1
    assert {one.judge for one in ws.records.find(Judgement)} == {
        "human:imported:ada",
        "human:imported:bo",
    }
