"""Bad input: one clear line on stderr, an exit code that is not 0, and nothing half-written.

Most run in this process through `main`, as the installed command does; one runs the interpreter itself.
"""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from trivox import cli
from trivox.pipelines.workspaces import init_workspace
from trivox.platform.records import Audio, PromptSet, Round
from trivox.platform.store import Workspace


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Files = dict[str, bytes]


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with init_workspace(tmp_path_factory.mktemp("errors") / "ws") as made:
        yield made


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Runs `trivox WORDS…` in this process."""

    def run(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["trivox", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capfd.readouterr()
        return Ended(int(caught.value.code or 0), out, err)

    return run


def one_line(ended: Ended, code: int, *says: str) -> None:
    assert ended.code == code, ended
    assert ended.err.startswith("error: ") and ended.err.count("\n") == 1, ended.err
    assert ended.out == ""
    for words in says:
        assert words in ended.err, ended.err


def state(root: Path) -> Files:
    """What a workspace holds, the database apart from its log."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith("trivox.db")
    }


def counts(ws: Workspace) -> dict[str, int]:
    return {kind.__name__: len(ws.records.find(kind)) for kind in (PromptSet, Round, Audio)}


@pytest.fixture
def unchanged(ws: Workspace) -> Iterator[None]:
    """The workspace is the same after the test as before."""
    before, records = state(ws.root), counts(ws)
    yield
    assert state(ws.root) == before and counts(ws) == records


def importing(ws: Workspace, source: Path, *more: str) -> list[str]:
    return ["data", "import", str(source), "--name", "mine", *more, "--workspace", str(ws.root)]


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("suffix", ["txt", "jsonl"])
def test_an_empty_prompt_file(command: Any, ws: Workspace, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"empty.{suffix}"
    path.write_text("")
    one_line(command(*importing(ws, path)), 2, path.name)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", ["none.txt", "none.jsonl", "folder/none.txt"])
def test_a_missing_prompt_file(command: Any, ws: Workspace, tmp_path: Path, name: str) -> None:
    one_line(command(*importing(ws, tmp_path / name)), 2, name)


def damaged(folder: Path) -> Path:
    """The first half of a FLAC file."""
    path = folder / "half.flac"
    wave = (0.2 * np.sin(np.arange(16_000) / 9)).astype(np.float32)
    soundfile.write(path, wave, 16_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.usefixtures("unchanged")
def test_broken_audio_is_not_transcribed(command: Any, ws: Workspace, tmp_path: Path) -> None:
    path = damaged(tmp_path)
    one_line(command("asr", "transcribe", str(path), "-w", str(ws.root)), 2, "half.flac", "damaged")
    (tmp_path / "text.wav").write_text("not audio")
    ended = command("asr", "transcribe", str(tmp_path / "text.wav"), "-w", str(ws.root))
    one_line(ended, 2, "text.wav", "not audio")
    ended = command("asr", "transcribe", str(tmp_path / "no.wav"), "-w", str(ws.root))
    one_line(ended, 2, "no.wav: no such file")


@pytest.mark.usefixtures("unchanged")
def test_broken_audio_is_not_imported(command: Any, ws: Workspace, tmp_path: Path) -> None:
    damaged(tmp_path)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"audio": "half.flac", "text": "hello"}\n')
    one_line(command(*importing(ws, manifest, "--branch", "asr")), 2, "m.jsonl:1", "damaged")


def telephone(folder: Path) -> Path:
    """One second of 8 kHz stereo MP3."""
    path = folder / "call.mp3"
    wave = (0.2 * np.sin(np.arange(8000) / 3)).astype(np.float32)
    soundfile.write(path, np.stack([wave, wave], 1), 8000, format="MP3")
    return path


def test_an_8_khz_stereo_mp3_is_resampled(command: Any, ws: Workspace, tmp_path: Path) -> None:
    path = telephone(tmp_path)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps({"audio": path.name, "text": "hello there"}) + "\n")
    ended = command(*importing(ws, manifest, "--branch", "asr", "--json"))
    assert ended.code == 0 and json.loads(ended.out)["taken"] == 1
    native, derived = ws.records.find(Audio)[-2:]
    assert (native.rate, native.channels) == (8000, 2)
    assert (derived.rate, derived.channels, derived.derived_from) == (16_000, 1, native.id)
    heard = command("asr", "transcribe", str(path), "--workspace", str(ws.root), "--json")
    assert heard.code == 0 and len(json.loads(heard.out)["transcripts"]) == 1


@pytest.mark.usefixtures("unchanged")
def test_or_refused_with_the_remedy(command: Any, ws: Workspace, tmp_path: Path) -> None:
    path = telephone(tmp_path)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(json.dumps({"audio": path.name, "text": "hello there"}) + "\n")
    ended = command(*importing(ws, manifest, "--branch", "asr", "--min-rate", "16000"))
    one_line(ended, 2, "8000 Hz", "16000", "m.jsonl:1")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("text", "says"),
    [("¡olé!", "'¡'"), ("", "empty"), ("...", "empty"), ("我们", "alphabet"), ("route 66", "'6'")],
)
def test_text_that_nano_cannot_say(
    command: Any, ws: Workspace, tmp_path: Path, text: str, says: str
) -> None:
    out = tmp_path / "speech.wav"
    ended = command("tts", "say", text, "--out", str(out), "--workspace", str(ws.root))
    one_line(ended, 2, says)
    assert list(tmp_path.iterdir()) == []


def test_a_round_on_such_prompts_is_not_enqueued(
    command: Any, ws: Workspace, tmp_path: Path
) -> None:
    source = tmp_path / "strange.txt"
    source.write_text("good morning\nroute sixty six\nroute 66\nstop\n", encoding="utf-8")
    assert command(*importing(ws, source, "--test-share", "0.5")).code == 0
    before, records = state(ws.root), counts(ws)
    ended = command("round", "run", "--enqueue", "--prompts", "mine", "-w", str(ws.root))
    one_line(ended, 2, "'6'", "'route 66'", "mine@", "prompt pr_")
    assert state(ws.root) == before and counts(ws) == records


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["round", "run", "--policy", "gpt"], 2, ["'gpt'", "trivox-nano-v2"]),
        (["round", "run", "--prompts", "none"], 2, ["'none'", "nano-domain@1"]),
        (["round", "run", "--judges", "robots"], 2, ["label.judges"]),
        (["round", "run", "--count", "0"], 2, ["rollout.prompts"]),
        (["round", "run", "--branch", "asr"], 2, ["'asr'", "'tts'"]),
        (["round", "show", "zzz"], 2, ["'zzz'"]),
        (["round", "cancel", "zzz"], 2, ["'zzz'"]),
        (["label", "zzz"], 2, ["'zzz'"]),
        (["report", "zzz"], 2, ["'zzz'"]),
        (["policy", "show", "gpt"], 2, ["'gpt'"]),
        (["sample", "path", "zzz"], 2, ["'zzz'", "trivox sample list"]),
        (["sample", "list", "--round", "zzz"], 2, ["'zzz'"]),
        (["tts", "say", "hello", "--policy", "gpt"], 2, ["'gpt'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there(
    command: Any, ws: Workspace, words: list[str], code: int, says: list[str]
) -> None:
    one_line(command(*words, "--workspace", str(ws.root)), code, *says)


@pytest.mark.usefixtures("unchanged")
def test_a_wrong_key_in_toml(command: Any, ws: Workspace, tmp_path: Path) -> None:
    toml = tmp_path / "r.toml"
    toml.write_text("[rollout]\nprompst = 4\n")
    ended = command("round", "run", "--config", str(toml), "--workspace", str(ws.root))
    one_line(ended, 2, "r.toml", "rollout.prompst", "known keys: prompts, candidates")


@pytest.mark.parametrize(
    "words",
    [
        ["round", "run"],
        ["round", "list"],
        ["worker", "--once"],
        ["policy", "list"],
        ["data", "list"],
        ["sample", "list"],
        ["label"],
        ["report", "last"],
    ],
    ids=" ".join,
)
def test_no_workspace(command: Any, tmp_path: Path, words: list[str]) -> None:
    ended = command(*words, "--workspace", str(tmp_path / "none"))
    one_line(ended, 2, "is not a Trivox workspace", "trivox init")
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_of_a_newer_version(command: Any, ws: Workspace, tmp_path: Path) -> None:
    root = tmp_path / "newer"
    Workspace.create(root).close()
    toml = root / "trivox.toml"
    toml.write_text(toml.read_text().replace("workspace_version = 1", "workspace_version = 9"))
    before = state(root)
    one_line(command("round", "list", "--workspace", str(root)), 1, "version 9", "update Trivox")
    assert state(root) == before


def test_init_where_a_workspace_is(command: Any, ws: Workspace, unchanged: None) -> None:
    one_line(command("init", str(ws.root)), 2, "is a Trivox workspace already")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flush to the disk fails as it does when no room is left."""

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)


@pytest.mark.usefixtures("full_disk")
def test_init_on_a_full_disk(command: Any, tmp_path: Path) -> None:
    one_line(command("init", str(tmp_path / "ws")), 1, "no room left on the disk")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("unchanged", "full_disk")
def test_an_import_on_a_full_disk(command: Any, ws: Workspace, tmp_path: Path) -> None:
    wave = (0.2 * np.sin(np.arange(16_000) / 5)).astype(np.float32)
    soundfile.write(tmp_path / "new.wav", wave, 16_000)
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"audio": "new.wav", "text": "hello"}\n')
    one_line(command(*importing(ws, manifest, "--branch", "asr")), 1, "no room left on the disk")


@pytest.mark.usefixtures("unchanged")
def test_speech_on_a_full_disk(
    command: Any, ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _: bytes) -> None:
        path.touch()  # the name is there, its content is not
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    out = tmp_path / "speech.wav"
    ended = command("tts", "say", "stop", "--out", str(out), "--workspace", str(ws.root))
    one_line(ended, 1, "no room", "speech.wav")
    assert list(tmp_path.iterdir()) == []


def test_the_interpreter_itself(tmp_path: Path) -> None:
    """The exit code and the one line, as a shell sees them."""
    words = [sys.executable, "-m", "trivox.cli", "round", "list", "-w", str(tmp_path / "none")]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    one_line(Ended(ended.returncode, ended.stdout, ended.stderr), 2, "trivox init")
