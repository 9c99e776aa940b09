"""Folders of descriptions: read from sources, imported again."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.pipelines.descriptions.speech import NORMAL, Manner, spoken
from trivox.cli import app
from trivox.pipelines.descriptions.manifest import read_ctm
from trivox.pipelines.imports import import_source
from trivox.platform.audio.io import Samples, write_wav
from trivox.platform.errors import BadImport, ConfigError, NotFound
from trivox.platform.records import Branch, Prompt, PromptSet
from trivox.platform.store import Workspace

TEXT = "turn that lamp over here soon"
SLOW_TAIL = [NORMAL] * 3 + [Manner(letter_s=0.13)] * 3


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Eight usual clips, one with a slow tail, one loud, one without text; and their word times."""
    folder = tmp_path / "source"
    (folder / "anna").mkdir(parents=True)
    times = list[str]()
    manners = {f"usual{n}": [NORMAL] * 6 for n in range(8)}
    manners |= {"tail": SLOW_TAIL, "loud": [Manner(amplitude=0.3)] * 6}
    lines = list[dict[str, Any]]()
    for name, each in manners.items():
        wave, words = spoken(TEXT, each)
        write_wav(folder / "anna" / f"{name}.wav", wave, 16_000)
        row = {"text": TEXT, "audio": f"anna/{name}.wav", "speaker": "anna", "split": "train"}
        lines.append(row | {"licence": "CC0-1.0"})
        times += [
            f"anna/{name} 1 {w.begin_s:.3f} {w.end_s - w.begin_s:.3f} {w.word}" for w in words
        ]
    lines.append({"text": "", "audio": "anna/loud.wav"})
    (folder / "clips.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "times.ctm").write_text(";; NIST\n" + "\n".join(times) + "\n")
    (folder / "recipe.toml").write_text("least_cuts = 4\n")
    return folder


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["data", "describe", *arguments], catch_exceptions=False)


def described(source: Path, out: Path, *more: str) -> dict[str, Any]:
    files = ("--config", str(source / "recipe.toml"), "--word-times", str(source / "times.ctm"))
    shown = run(str(source / "clips.jsonl"), "--out", str(out), *files, "--json", *more)
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_described_and_imported(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert described(source, out) == {
        "manifest": str(out / "manifest.jsonl"),
        "described": 10,
        "directed": 1,
        "words": {"loud": 1},
        "voices": 1,
        "dropped": {"refused": 1},
    }
    rows = {row["id"]: row for row in lines(out / "manifest.jsonl")}
    assert rows["anna/loud"]["instruction"] == "loud"
    assert rows["anna/tail"]["inline_instructions"] == [[15, 29, "slow"]]
    assert "instruction" not in rows["anna/usual0"]
    assert {row["licence"] for row in rows.values()} == {"CC0-1.0"}
    with Workspace.create(tmp_path / "workspace") as ws:
        report = import_source(
            ws, str(out / "manifest.jsonl"), name="styled", branch=Branch.TTS, language="en-US"
        )
        assert (report.taken, report.refused, report.repeated) == (3, (), 7)
        assert len(report.notes) == 1, "only the terms: every key was read"
        (prompt_set,) = ws.records.find(PromptSet, name="styled")
        prompts = [ws.records.get(Prompt, item.prompt) for item in prompt_set.items]
    assert {prompt.inline_instructions for prompt in prompts} == {(), ((15, 29, "slow"),)}
    assert {prompt.instruction for prompt in prompts} == {None, "loud"}


def test_what_lies_beside_the_manifest(source: Path, tmp_path: Path) -> None:
    described(source, out := tmp_path / "out")
    measures = {row["id"]: row for row in lines(out / "measures.jsonl")}
    assert measures["anna/usual0"]["pitch_hz"] == pytest.approx(150, rel=0.01)
    (dropped,) = lines(out / "dropped.jsonl")
    assert (dropped["id"], dropped["kind"]) == ("clips.jsonl:11", "refused")
    voices = json.loads((out / "voices.json").read_text())
    assert voices["anna"]["clips"] == 10


def test_a_prompt_set(source: Path, tmp_path: Path) -> None:
    """Equal recordings of equal text are one prompt: three are left, too few by default."""
    with Workspace.create(tmp_path / "workspace") as ws:
        manifest = source / "clips.jsonl"
        import_source(ws, str(manifest), name="spoken", branch=Branch.TTS, language="en-US")
    recipe = tmp_path / "few.toml"
    recipe.write_text("least_clips = 3\n")
    place = ("--out", str(tmp_path / "out"), "-w", str(tmp_path / "workspace"))
    shown = run("spoken", *place, "--config", str(recipe), "--sentences", "--json")
    found = json.loads(shown.stdout)
    assert (found["described"], found["directed"]) == (3, 0)
    rows = lines(tmp_path / "out" / "manifest.jsonl")
    assert {row["speaker"] for row in rows} == {"spoken:anna"}
    assert all(row["instruction"].endswith(".") and row["split"] == "train" for row in rows)


class Deaf:
    """Hears the text in clips without the loud one, in which it hears another word."""

    def transcribe(self, samples: Samples, language: str) -> str:
        return "hello" if samples.max() > 0.2 else TEXT


def test_cross_checked(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trivox.pipelines.voting.RECOGNISERS", {"deaf": Deaf})
    found = described(source, tmp_path / "out", "--recogniser", "deaf")
    assert found["dropped"] == {"refused": 1, "misheard": 1}
    assert found["words"] == {}
    rates = [row["error_rate"] for row in lines(tmp_path / "out" / "measures.jsonl")]
    assert rates == [0.0] * 9


def test_refused(source: Path, tmp_path: Path) -> None:
    described(source, out := tmp_path / "out")
    with pytest.raises(ConfigError, match="holds descriptions already"):
        described(source, out)
    (source / "recipe.toml").write_text("least_clips = 20\n")
    with pytest.raises(BadImport, match="1 refused, 10 few_clips"):
        described(source, tmp_path / "other")


@pytest.mark.parametrize("line", ["a 1 0.0 word", "a 1 x 0.1 word", "a 1 -1 0.1 word"])
def test_broken_word_times(tmp_path: Path, line: str) -> None:
    file = tmp_path / "times.ctm"
    file.write_text(f"a 1 0.0 0.1 word 0.9\n\n{line}\n")
    with pytest.raises(ConfigError, match="times.ctm:3: .* write `clip channel begin duration"):
        read_ctm(file)
    with pytest.raises(NotFound):
        read_ctm(tmp_path / "none.ctm")
