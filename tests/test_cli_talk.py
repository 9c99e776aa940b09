"""`trivox talk` on recordings with the packaged model, and `trivox serve` where it cannot serve."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.test_cli import SPEECH, run
from trivox.pipelines.workspaces import init_workspace
from trivox.platform.errors import BrokenAudio, ConfigError, MissingModel, NotFound, UsageError

OTHER = SPEECH.with_stem("call_john_tomorrow_in_the_morning")


def test_a_conversation_in_which_the_second_turn_breaks_in(tmp_path: Path) -> None:
    out = tmp_path / "talk"
    options = [
        "--interrupt-after",
        "0.5",
        "--out",
        str(out),
        "-w",
        str(tmp_path / "none"),
        "--json",
    ]
    told = json.loads(run("talk", str(SPEECH), str(OTHER), *options).stdout)
    assert told["policy"] == "trivox-nano-v2" and told["persona"] == "anna"
    first, second = told["turns"]
    assert 0.5 <= first["heard_s"] < first["seconds"] and second["heard_s"] is None
    samples, rate = soundfile.read(first["reply"])
    assert first["seconds"] == pytest.approx(len(samples) / rate)
    both, rate = soundfile.read(told["conversation"])
    end = second["reply_at"] + second["seconds"]
    assert both.shape[1] == 2 and len(both) / rate == pytest.approx(end, abs=0.01)
    # Left is the user: quiet while the last reply is spoken; right is the reply, silent after the interruption.
    assert not both[round(second["reply_at"] * rate) :, 0].any()
    cut = round((first["reply_at"] + first["heard_s"]) * rate)
    assert np.abs(both[:cut, 1]).max() > 0.01
    assert not both[cut + 1 : round(second["reply_at"] * rate) - 1, 1].any()
    for turn in told["turns"]:
        timings = turn["timings"]
        assert 0 < timings["first_token"] <= timings["first_audio"] <= timings["done"]


def test_a_recording_without_speech(tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(8000), 16_000)
    with pytest.raises(UsageError, match="no speech was found in it"):
        run("talk", str(silent), "--out", str(tmp_path / "out"), "-w", str(tmp_path / "none"))
    with pytest.raises(BrokenAudio, match="no such file"):
        run("talk", "none.wav", "--out", str(tmp_path / "out"), "-w", str(tmp_path / "none"))


def test_without_a_microphone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(MissingModel, match=r"trivox\[microphone\]"):
        run("talk", "-w", str(tmp_path / "none"))


def test_what_cannot_be_served_is_said_before_anything_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFound, match="is not a Trivox workspace"):
        run("serve", "-w", str(tmp_path / "none"))
    init_workspace(tmp_path / "ws").close()
    place = ["-w", str(tmp_path / "ws")]
    with pytest.raises(NotFound):
        run("serve", "--policy", "gpt", *place)
    with pytest.raises(NotFound):
        run("serve", "--persona", "nobody", *place)
    monkeypatch.setenv("TRIVOX_TOKEN", "short")
    with pytest.raises(ConfigError, match="5 characters"):
        run("serve", *place)
