"""`trivox persona`: what people do with characters, from the packaged ones to a check of replies."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from trivox.cli import app
from trivox.platform.errors import BadImport, NotFound, UsageError
from trivox.platform.store import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Path:
    Workspace.create(tmp_path / "ws").close()
    return tmp_path / "ws"


def persona(ws: Path, *words: str, code: int = 0) -> str:
    ended = CliRunner().invoke(app, ["persona", *words, "-w", str(ws)], catch_exceptions=False)
    assert ended.exit_code == code, ended.output
    return ended.stdout


def figures(ws: Path, *words: str, code: int = 0) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(persona(ws, *words, "--json", code=code))
    return read


def test_packaged_ones(ws: Path) -> None:
    assert "trivox persona add --packaged" in persona(ws, "list")
    added = figures(ws, "add", "--packaged")
    assert (len(added["added"]), added["known"], added["near_duplicates"]) == (13, [], [])
    assert figures(ws, "add", "--packaged")["added"] == []
    listed = figures(ws, "list")["personas"]
    assert len(listed) == 12
    assert listed[0]["traits"] == {"opening": "aye", "address": "captain", "voice": "heart"}
    assert "opening: aye; address: captain" in persona(ws, "list")
    assert figures(ws, "list", "--rubric")["rubrics"][0]["criteria"]["on topic"] == 0.4


def test_show(ws: Path) -> None:
    persona(ws, "add", "--packaged")
    shown = figures(ws, "show", "anna")
    assert shown["lineage"] == ["anna@1"]
    assert shown["prompt"] == "anna says aye and calls me captain"
    assert shown["near_duplicates"] == {}
    assert "anna@1" in persona(ws, "show", "anna@1")
    assert figures(ws, "show", "realtime", "--rubric")["metrics"] == {"en": ["wer", "english@1"]}
    with pytest.raises(NotFound, match="no persona 'eve'"):
        persona(ws, "show", "eve")


def test_near_duplicates_are_named(ws: Path, tmp_path: Path) -> None:
    persona(ws, "add", "--packaged")
    file = tmp_path / "mine.toml"
    file.write_text(
        "[[persona]]\nname = 'anne'\ndescription = 'Retired first mate who runs the house like a ship'\n"
    )
    (pair,) = figures(ws, "add", str(file))["near_duplicates"]
    assert (pair["one"], pair["other"]) == ("anna@1", "anne@1")
    assert 0.8 <= pair["similarity"] < 1
    assert "nearly the same: anna@1 and anne@1" in persona(ws, "add", str(file))
    assert figures(ws, "add", str(file), "--threshold", "1")["near_duplicates"] == []


def test_expand(ws: Path) -> None:
    persona(ws, "add", "--packaged")
    dry = figures(ws, "expand", "--count", "5", "--seed", "1", "--dry-run")
    assert (dry["made"], dry["wanted"], dry["dry_run"]) == (5, 5, True)
    assert len(figures(ws, "list")["personas"]) == 12
    made = figures(ws, "expand", "--count", "5", "--seed", "1")
    assert made["personas"] == dry["personas"]
    assert len(figures(ws, "list")["personas"]) == 17
    first = made["personas"][0]
    assert figures(ws, "show", first["persona"])["provenance"].keys() == first["sources"].keys()
    few = persona(ws, "expand", "--of", "anna", "--of", "peter", "--count", "50")
    assert "6 of 50 registered" in few and "bring no more that is new" in few


def test_check(ws: Path, tmp_path: Path) -> None:
    persona(ws, "add", "--packaged")
    assert "1 of 1 in character" in persona(
        ws, "check", "--persona", "anna", "--text", "Aye, captain."
    )
    said = persona(ws, "check", "--persona", "anna", "--text", "sure captain", code=1)
    assert "opening 'aye'" in said
    file = tmp_path / "r.jsonl"
    rows = [("anna", "aye captain"), ("peter@1", "aye captain")]
    file.write_text("".join(json.dumps({"persona": p, "text": t}) + "\n" for p, t in rows))
    checked = figures(ws, "check", str(file), code=1)
    assert (checked["in_character"], checked["out_of_character"]) == (1, 1)
    assert checked["replies"][1]["rules"][0] == {
        "rule": "opening",
        "phrase": "gladly",
        "passed": False,
    }
    with pytest.raises(UsageError, match="give a file of replies"):
        persona(ws, "check", "--persona", "anna")


def test_export_and_add(ws: Path, tmp_path: Path) -> None:
    persona(ws, "add", "--packaged")
    persona(ws, "expand", "--count", "3")
    file = tmp_path / "all.jsonl"
    assert figures(ws, "export", str(file))["written"] == 16
    Workspace.create(tmp_path / "other").close()
    assert len(figures(tmp_path / "other", "add", str(file))["added"]) == 16
    with pytest.raises(UsageError, match="give a file, or --packaged"):
        persona(ws, "add")
    with pytest.raises(BadImport, match="no such file"):
        persona(ws, "add", str(tmp_path / "none.toml"))
