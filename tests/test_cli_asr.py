"""`trivox asr`: long, bad and many-channelled audio through a policy, and votes of recognisers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from trivox.cli import app

SPEECH = Path(__file__).parent / "data" / "speech"
LIGHT = SPEECH / "turn_off_the_light_in_the_bedroom.flac"
RATE = 16_000
VOTERS = ("--systems", "whisper-tiny,pocketsphinx")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["asr", *arguments], catch_exceptions=False)


def told(*arguments: str) -> Any:
    ended = run(*arguments, "--json")
    assert ended.exit_code == 0 and ended.stdout.count("\n") == 1
    return json.loads(ended.stdout)


@pytest.fixture
def sentence() -> np.ndarray:
    """2.3 s, and 0.7 s of silence."""
    samples = soundfile.read(LIGHT, dtype="float32")[0]
    return np.concatenate([samples, np.zeros(11_200, np.float32)])


def written(path: Path, samples: np.ndarray, rate: int = RATE) -> str:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return str(path)


def test_pieces_have_times_and_hypotheses(sentence: np.ndarray, tmp_path: Path) -> None:
    long = written(tmp_path / "long.wav", np.tile(sentence, 3))
    found = told("transcribe", long, "--nbest", "3")
    (row,) = found["transcripts"]
    assert row["duration_s"] == 9 and row["speech"] and len(row["segments"]) == 3
    for segment, begin in zip(row["segments"], (0, 3, 6), strict=True):
        assert begin <= segment["start_s"] < segment["end_s"] <= begin + 3
        texts = [one["text"] for one in segment["candidates"]]
        assert 1 <= len(texts) <= 3 and segment["text"] == texts[0]
    assert row["text"] == " ".join(s["text"] for s in row["segments"] if s["text"])


def test_channels(sentence: np.ndarray, tmp_path: Path) -> None:
    stereo = np.stack([sentence, np.zeros_like(sentence)], axis=1)
    path = written(tmp_path / "stereo.wav", stereo)
    (mixed,) = told("transcribe", path)["transcripts"]
    assert "channel" not in mixed and mixed["speech"]
    left, right = told("transcribe", path, "--channels", "each")["transcripts"]
    assert (left["channel"], right["channel"]) == (0, 1)
    assert left["speech"] and (right["speech"], right["text"]) == (False, "")


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(RATE * 600),
        np.random.default_rng(1).normal(0, 0.1, RATE * 5),
        np.full(1, 0.5),
    ],
    ids=["ten silent minutes", "noise", "one sample"],
)
def test_no_speech_is_said_and_is_no_error(samples: np.ndarray, tmp_path: Path) -> None:
    path = written(tmp_path / "odd.wav", samples)
    (row,) = told("transcribe", path)["transcripts"]
    assert (row["text"], row["speech"], row["segments"]) == ("", False, [])
    shown = run("transcribe", path)
    assert (
        shown.exit_code == 0
        and shown.stdout == "\n"
        and "no speech in" in " ".join(shown.stderr.split())
    )
    assert told("rover", path, *VOTERS)["segments"] == []


def test_other_rates_hear_the_same_piece(sentence: np.ndarray, tmp_path: Path) -> None:
    import soxr

    path = written(tmp_path / "cd.wav", soxr.resample(sentence, RATE, 44_100), 44_100)
    (row,) = told("transcribe", path)["transcripts"]
    (segment,) = row["segments"]
    assert segment["end_s"] == pytest.approx(2.1, abs=0.2)


def test_a_vote_of_two() -> None:
    found = told("rover", str(LIGHT), *VOTERS)
    assert found["systems"] == ["whisper-tiny", "pocketsphinx"]
    (segment,) = found["segments"]
    assert segment["heard"].keys() == {"whisper-tiny", "pocketsphinx"}
    for slot in segment["slots"]:
        votes = slot["votes"] + sum(one["votes"] for one in slot["alternatives"])
        assert votes == 2
    assert "light" in segment["text"] and run("rover", str(LIGHT), *VOTERS).stdout.startswith("0.")


def test_pseudo_labels(tmp_path: Path) -> None:
    out = tmp_path / "labels"
    words = ["pseudo-label", str(LIGHT), "--out", str(out), *VOTERS, "--max-disagreement", "1"]
    found = told(*words)
    assert found["files"] == 1 and found["systems"] == ["whisper-tiny", "pocketsphinx"]
    rows = [json.loads(line) for line in (out / "pseudo-labels.jsonl").read_text().splitlines()]
    assert [row["source"] for row in rows] == ["pseudo-label"] * found["clips"]
    assert told(*words) == found
