"""`trivox people`: from the first admin's invite to tokens, roles and the log."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.annotation.people.guests import PASSWORD
from trivox.annotation.people import accounts
from trivox.cli import app
from trivox.platform.errors import UsageError
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
