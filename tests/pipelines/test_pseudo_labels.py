"""Pseudo-labels: what is taken, what is dropped and why, and that the result can be imported."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trivox.pipelines.imports import import_source
from trivox.pipelines.imports.manifest import read_manifest
from trivox.pipelines.imports.rows import Refusal, Row
from trivox.pipelines.pseudo_labels import (
    DROPPED,
    MANIFEST,
    LabelRules,
    PseudoLabels,
    Reason,
    audio_files,
    pseudo_label,
)
from trivox.pipelines.voting import named_systems
from trivox.platform.audio.io import Samples
from trivox.platform.errors import ConfigError, NotFound, UsageError
from trivox.platform.records import Branch, Prompt
from trivox.platform.store import Workspace
from trivox.reward_models.verifiable.recognisers import Recogniser

SPEECH = Path(__file__).parents[1] / "data" / "speech"
RATE = 16_000


@dataclass
class Scripted:
    """Says its lines one after the other, whatever it hears."""

    name: str
    lines: Sequence[str]
    family: str = "scripted"
    weights_hash: str = "0" * 64
    heard: list[int] = field(default_factory=list)

    def transcribe(self, samples: Samples, language: str) -> str:
        self.heard.append(len(samples))
        return self.lines[len(self.heard) - 1]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Three sentences of 2.3 s with 1 s between, in two channels, at 16 kHz."""
    sentence = soundfile.read(SPEECH / "turn_off_the_light_in_the_bedroom.flac", dtype="float32")[0]
    mono = np.concatenate([sentence, np.zeros(RATE, np.float32)] * 3)
    path = tmp_path / "meeting.wav"
    soundfile.write(path, np.stack([mono, mono], 1), RATE)
    return path


def label(
    files: list[Path], out: Path, lines: Sequence[Sequence[str]], rules: LabelRules
) -> tuple[PseudoLabels, list[Scripted]]:
    systems = [Scripted(f"s{index}", said) for index, said in enumerate(lines)]
    return pseudo_label(files, {one.name: one for one in systems}, out, rules), systems


GOOD = [
    ["Turn it off.", "Set 15.", "Call John!"],
    ["turn it of", "set fifteen", "call john"],
    ["turn it off", "set 15", "call jon"],
]


def test_neighbours_that_are_agreed_on_become_one_clip(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made, _ = label([recording], out, GOOD, LabelRules())
    (row,) = made.accepted
    assert row["text"] == "Turn it off. Set fifteen. Call John!"
    assert row["votes"] == [3, 3, 2, 3, 3, 3, 2]
    assert (row["source"], row["disagreement"], row["min_votes"]) == ("pseudo-label", 0, 2)
    assert [one["name"] for one in row["systems"]] == ["s0", "s1", "s2"]
    assert "human" not in json.dumps(row)
    samples, rate = soundfile.read(out / row["audio"])
    assert rate == RATE and samples.ndim == 1
    assert len(samples) / RATE == pytest.approx(row["end_s"] - row["start_s"], abs=0.001)
    assert made.accepted_s == pytest.approx(8.6, abs=0.3) and made.heard_s == pytest.approx(9.9)
    assert made.dropped == []


def test_disagreement_drops_a_piece_and_parts_its_neighbours(
    recording: Path, tmp_path: Path
) -> None:
    """The middle piece: a|x y z|c, 1 of 3 slots without two votes: above 0.05, and above 0.33, but not 0.34."""
    lines = [["one", "a x c", "two"], ["one", "a y c", "two"], ["one", "a z c", "two"]]
    made, _ = label([recording], tmp_path / "out", lines, LabelRules())
    assert [row["text"] for row in made.accepted] == ["one", "two"]
    (dropped,) = made.dropped
    assert dropped["reason"] == Reason.DISAGREEMENT
    assert dropped["disagreement"] == pytest.approx(1 / 3)
    assert dropped["heard"] == {"s0": "a x c", "s1": "a y c", "s2": "a z c"}
    lax, _ = label([recording], tmp_path / "lax", lines, LabelRules(max_disagreement=0.34))
    assert [row["text"] for row in lax.accepted] == ["one a c two"], "kept are words of two votes"


def test_nothing_agreed_and_clips_of_a_limited_length(recording: Path, tmp_path: Path) -> None:
    lines = [["a", "", "c"], ["a", "", "c"], ["a", "b", "c"]]
    rules = LabelRules(longest_s=4)
    made, _ = label([recording], tmp_path / "out", lines, rules)
    assert [row["text"] for row in made.accepted] == ["a", "c"]
    assert [row["reason"] for row in made.dropped] == [Reason.NOTHING_AGREED]
    every, _ = label([recording], tmp_path / "every", GOOD, rules)
    assert len(every.accepted) == 3, "two sentences last longer than 4 s"


def test_recordings_of_nothing(tmp_path: Path) -> None:
    silent, broken, missing = (tmp_path / name for name in ("a.wav", "b.wav", "c.wav"))
    soundfile.write(silent, np.zeros(RATE), RATE)
    broken.write_bytes(b"")
    made, _ = label([silent, broken, missing], tmp_path / "out", [[], []], LabelRules())
    assert made.accepted == [] and made.manifest.read_bytes() == b""
    reasons = [row["reason"] for row in made.dropped]
    assert reasons == [Reason.NO_SPEECH, Reason.UNREADABLE, Reason.UNREADABLE]
    assert "empty (0 bytes)" in made.dropped[1]["detail"]
    assert len((tmp_path / "out" / DROPPED).read_text().splitlines()) == 3


def test_goes_on_where_it_stopped(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first, _ = label([recording], out, GOOD, LabelRules())
    manifest = (out / MANIFEST).read_bytes()
    again, systems = label([recording], out, GOOD, LabelRules())
    assert [one.heard for one in systems] == [[], [], []]
    assert again == first and (out / MANIFEST).read_bytes() == manifest
    (out / first.accepted[0]["audio"]).unlink()
    (out / "clips" / "stray.tmp").touch()
    _, systems = label([recording], out, GOOD, LabelRules())
    assert len(systems[0].heard) == 3, "a lost clip is made again"
    (record,) = (out / "recordings").iterdir()
    record.write_text("{")
    _, systems = label([recording], out, GOOD, LabelRules())
    assert len(systems[0].heard) == 3, "and so is a damaged record"
    _, systems = label([recording], out, GOOD, LabelRules(min_votes=3, max_disagreement=0.5))
    assert len(systems[0].heard) == 3, "other rules, another record"
    assert (out / "recordings").exists() and len(list((out / "recordings").iterdir())) == 2


def test_the_manifest_can_be_imported(recording: Path, tmp_path: Path) -> None:
    lines = [[one[0], "a", "b"] for one in GOOD], LabelRules(gap_s=0)
    made, _ = label([recording], tmp_path / "out", lines[0], lines[1])
    rows = list(read_manifest(made.manifest))
    assert not [row for row in rows if isinstance(row, Refusal)]
    assert len([row for row in rows if isinstance(row, Row)]) == 3
    with Workspace.create(tmp_path / "ws") as ws:
        report = import_source(
            ws, str(made.manifest), name="heard", branch=Branch.ASR, language="en-GB"
        )
        assert (report.taken, report.refused) == (3, ())
        prompts = [ws.records.get(Prompt, item.prompt) for item in report.prompt_set.items]
        assert sorted(str(one.reference_text) for one in prompts) == ["Turn it off.", "a", "b"]
        assert len({item.group for item in report.prompt_set.items}) == 1
        assert all("pseudo-labels.jsonl" in item.source for item in report.prompt_set.items)


def test_chinese_is_voted_on_by_characters(recording: Path, tmp_path: Path) -> None:
    lines = [
        ["我们去公园吧。", "好", "好"],
        ["我门去公园吧", "好", "好"],
        ["我们去公圆", "好", "好"],
    ]
    rules = LabelRules(language="zh-CN")
    made, _ = label([recording], tmp_path / "out", lines, rules)
    assert made.accepted[0]["text"] == "我们去公园吧。好好"
    assert made.accepted[0]["votes"] == [3, 2, 3, 3, 2, 2, 3, 3]


def test_refusals(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="min_votes is 3 and 2 systems vote: give 1 to 2"):
        label([recording], tmp_path, [[], []], LabelRules(min_votes=3))
    with pytest.raises(ConfigError, match="max_disagreement is 5"):
        label([recording], tmp_path, [[], []], LabelRules(max_disagreement=5))
    with pytest.raises(NotFound, match="no audio file in it"):
        (tmp_path / "empty").mkdir()
        audio_files([tmp_path / "empty"])
    policy = _no_policy
    with pytest.raises(UsageError, match="systems whisper-tiny: name at least 2"):
        named_systems(["whisper-tiny"], policy)
    with pytest.raises(UsageError, match="at least 2 different ones"):
        named_systems(["nano", "nano"], policy)


def _no_policy(name: str) -> Recogniser:
    raise NotFound(f"policy {name}")


def test_files_of_folders(recording: Path) -> None:
    (recording.parent / "notes.txt").touch()
    assert audio_files([recording.parent, recording]) == [recording]


@pytest.mark.slow
def test_three_recognisers_on_synthetic_speech(tmp_path: Path) -> None:
    """Three sentences in a row: what is taken has few errors, and the sentences come in order."""
    names = ["turn_off_the_light_in_the_bedroom", "call_john_tomorrow_in_the_morning"]
    parts = [soundfile.read(SPEECH / f"{name}.flac", dtype="float32")[0] for name in names]
    long = np.concatenate([part for one in parts for part in (one, np.zeros(RATE, np.float32))])
    soundfile.write(tmp_path / "both.wav", long, RATE)
    systems = named_systems(["whisper-base", "whisper-tiny", "pocketsphinx"], _no_policy)
    made = pseudo_label([tmp_path / "both.wav"], systems, tmp_path / "out", LabelRules())
    said = " ".join(row["text"].lower().replace(",", "").replace(".", "") for row in made.accepted)
    assert "turn off the light in the bedroom" in said
    assert "call john tomorrow in the morning" in said
