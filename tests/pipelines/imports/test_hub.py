"""Hugging Face datasets, from disk: audio is decoded without torchcodec."""

import io
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from trivox.pipelines.imports import ImportReport, SplitPlan, import_source
from trivox.platform.errors import BadImport
from trivox.platform.records import Audio, Branch, Prompt, PromptSet, Split
from trivox.platform.store import Workspace

datasets = pytest.importorskip("datasets")


def take(workspace: Workspace, source: Path | str, **options: Any) -> ImportReport:
    options = {"name": "own", "branch": Branch.ASR, "language": "en"} | options
    return import_source(workspace, str(source), **options)


def wave(pitch: float) -> bytes:
    encoded = io.BytesIO()
    samples = 0.3 * np.sin(2 * np.pi * pitch * np.arange(8000) / 16_000)
    soundfile.write(encoded, samples, 16_000, format="FLAC")
    return encoded.getvalue()


def dataset(*rows: dict[str, Any]) -> Any:
    made = datasets.Dataset.from_list(list(rows))
    if isinstance(rows[0].get("audio"), dict):
        made = made.cast_column("audio", datasets.Audio())
    return made


def speech(text: str, pitch: float, **more: Any) -> dict[str, Any]:
    return {"audio": {"bytes": wave(pitch), "path": "a.flac"}, "sentence": text} | more


@pytest.fixture(autouse=True)
def _quiet_datasets() -> Any:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def test_saved_dataset_with_audio(workspace: Workspace, source: Path) -> None:
    made = dataset(
        speech("你好", 300, locale="zh-CN", age=3), speech("再见", 400, locale="zh-CN", age=4)
    )
    made.save_to_disk(source / "d")
    report = take(workspace, source / "d")
    assert report.layout == "hf" and report.taken == 2 and report.audio_seconds == 1.0
    found = workspace.records.find(Prompt)
    assert [p.reference_text for p in found] == ["你好", "再见"]
    assert {p.languages for p in found} == {("zh-CN",)}
    assert [item.source for item in report.prompt_set.items] == ["d/[0]", "d/[1]"]
    assert any("age (2 rows)" in note for note in report.notes)
    (first, _) = workspace.records.find(Audio)
    samples, rate = workspace.audio.read(first.id)
    assert rate == 16_000 and np.argmax(np.abs(np.fft.rfft(samples))) * 2 == 300


def test_parts_become_splits(workspace: Workspace, source: Path) -> None:
    parts = datasets.DatasetDict(
        {"train": dataset({"text": "one"}), "test": dataset({"text": "two"}, {"text": ""})}
    )
    parts.save_to_disk(source / "d")
    report = take(workspace, source / "d", branch=Branch.TTS, split=SplitPlan(0))
    assert [item.split for item in report.prompt_set.items] == [Split.TRAIN, Split.TEST]
    assert [refusal.row for refusal in report.refused] == ["test[1]"]


def test_parquet_file_and_folder(workspace: Workspace, source: Path) -> None:
    (source / "data").mkdir()
    for part, pitch in (("train", 300), ("test", 400)):
        path = source / "data" / f"{part}-00000-of-00001.parquet"
        dataset(speech(part, pitch)).to_parquet(path)
    report = take(workspace, source)
    assert report.taken == 2 and report.layout == "hf"
    assert [item.split for item in report.prompt_set.items] == [Split.TRAIN, Split.TEST]
    one = take(workspace, source / "data" / "test-00000-of-00001.parquet", name="one")
    assert one.taken == 1 and one.audio_seconds == 0.5


def test_audio_folder_with_metadata(workspace: Workspace, source: Path, record: Any) -> None:
    record(source / "a.wav")
    (source / "metadata.csv").write_text("file_name,text\na.wav,hello\n../b.wav,bye\n")
    report = take(workspace, source)
    assert report.layout == "hf" and report.taken == 1
    assert [refusal.row for refusal in report.refused] == ["metadata.csv:3"]
    assert "leads out of" in report.refused[0].reason


def test_damaged_audio_and_paths_outside(
    workspace: Workspace, source: Path, tmp_path: Path, record: Any
) -> None:
    secret = record(tmp_path / "secret.wav")
    rows = [
        {"audio": {"bytes": b"junk", "path": "a.wav"}, "text": "a"},
        {"audio": {"bytes": None, "path": str(secret)}, "text": "b"},
        {"audio": {"bytes": None, "path": None}, "text": "c"},
        {"audio": {"bytes": wave(300), "path": None}, "text": "d"},
    ]
    datasets.Dataset.from_list(rows).save_to_disk(
        source / "d"
    )  # as an Audio column it would embed b
    report = take(workspace, source / "d")
    assert report.taken == 1
    reasons = [refusal.reason for refusal in report.refused]
    assert reasons[0].startswith("not audio, or damaged")
    assert "leads out of" in reasons[1] and "no recording" in reasons[2]


def test_damaged_files_are_one_line(workspace: Workspace, source: Path) -> None:
    path = source / "p.parquet"
    dataset({"text": "one"}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    dataset({"number": 1}).to_parquet(source / "other.parquet")
    for name, message in (
        ("p.parquet", "cannot be loaded as a Hugging Face dataset"),
        (
            "other.parquet",
            "no column to take text or audio from among number: rename one to 'text'",
        ),
    ):
        with pytest.raises(BadImport, match=message) as caught:
            take(workspace, source / name, branch=Branch.TTS)
        assert "\n" not in str(caught.value)
    assert not workspace.records.find(PromptSet)


def test_hub_without_network(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for offline in (False, True):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", offline)
        with pytest.raises(BadImport, match="no such file or folder here, and not to be had from"):
            take(workspace, "someone/speech")
    assert capfd.readouterr() == ("", "")
