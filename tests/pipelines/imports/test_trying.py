"""`trivox data validate SOURCE`: whatever `trivox data import` takes is tried, and nothing of it stays."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.pipelines.conftest import filled  # noqa: F401  # a fixture
from trivox.cli import app
from trivox.pipelines.exports.forms import FORMS
from trivox.pipelines.exports.preferences import export_preferences
from trivox.pipelines.imports import take_source
from trivox.platform.errors import ConfigError
from trivox.platform.records import Branch
from trivox.platform.store import Workspace

Filled = Callable[..., Workspace]


def validated(source: Path, layout: str) -> tuple[int, list[dict[str, str]]]:
    """The exit code and the faults."""
    words = ["data", "validate", str(source), "--layout", layout, "--json"]
    told = CliRunner().invoke(app, words)
    return told.exit_code, json.loads(told.stdout)["faults"]


@pytest.mark.parametrize("form", [*FORMS, "speechjudge"])
def test_preferences_of_every_form(filled: Filled, tmp_path: Path, form: str) -> None:  # noqa: F811
    """As they were exported: no fault. Trying them needs no workspace and leaves none."""
    ws = filled(prompts=2, judgements_each=2)
    export_preferences(ws, tmp_path / "out", form, prompt_tokens=lambda prompt: [7])
    source = tmp_path / "out" / "train.parquet" if form == "speechjudge" else tmp_path / "out"
    assert validated(source, form) == (0, [])


def test_a_damaged_pair_is_named(filled: Filled, tmp_path: Path) -> None:  # noqa: F811
    ws = filled(prompts=3)
    export_preferences(ws, tmp_path / "out", "pairs-jsonl")
    path = next((tmp_path / "out").glob("*.jsonl"))
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first[:40], *rest]) + "\n")
    code, (fault,) = validated(tmp_path / "out", "pairs-jsonl")
    assert code == 1 and fault["row"].startswith(path.name) and "JSON" in fault["reason"]


def test_a_layout_that_there_is_not(filled: Filled, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "rows.txt").write_text("one\n")
    asked = {"branch": Branch.TTS, "language": "en-US", "layout": "nothing"}
    with pytest.raises(ConfigError, match="layout 'nothing': choose from auto, "):
        take_source(filled(prompts=0), str(tmp_path / "rows.txt"), **asked)  # type: ignore[arg-type]
