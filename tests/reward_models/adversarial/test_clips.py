"""Folders of clips: names or a list as words, what cannot be used left out."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from trivox.platform.audio.io import write_wav
from trivox.platform.errors import NotFound, UsageError
from trivox.reward_models.adversarial.clips import read_clips

TONE = np.sin(np.arange(24_000, dtype=np.float32) / 20)


def test_the_file_name_is_what_is_said(tmp_path: Path) -> None:
    for name in ("turn_it_on", "turn_it_off", "stop"):
        write_wav(tmp_path / f"{name}.wav", TONE, 8_000)
    write_wav(tmp_path / "short.wav", TONE[:100], 8_000)
    (tmp_path / "broken.wav").write_bytes(b"RIFFnothing")
    found = read_clips(tmp_path, kind="test")
    assert [(one.name, one.text) for one in found] == [
        ("stop", "stop"), ("turn_it_off", "turn it off"), ("turn_it_on", "turn it on"),
    ]  # fmt: skip
    assert found[2].voice is found[0].samples and len(found[0].samples) == 48_000
    assert len(read_clips(tmp_path, kind="test", most=2)) == 2
    assert [one.text for one in read_clips(tmp_path, kind="test", least_words=3)] == [
        "turn it off", "turn it on",
    ]  # fmt: skip


def test_words_come_from_a_list(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    for name in ("a", "digits/b", "c", "d"):
        write_wav(tmp_path / f"{name}.wav", TONE, 8_000)
    lines = (
        b"; a comment\na: hello there\ndigits/b: two [beep]\nc: [music]\nd: (a second of silence)\n"
    )
    (tmp_path / "words.txt.gz").write_bytes(gzip.compress(lines))
    found = read_clips(tmp_path, tmp_path / "words.txt.gz", kind="human")
    assert {one.name: one.text for one in found} == {"a": "hello there", "digits/b": "two"}


def test_too_few_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 clips of 2.0 s"):
        read_clips(tmp_path, kind="test")
    with pytest.raises(NotFound, match="no such folder"):
        read_clips(tmp_path / "none", kind="test")
    with pytest.raises(NotFound, match="no such file"):
        read_clips(tmp_path, tmp_path / "none", kind="test")
