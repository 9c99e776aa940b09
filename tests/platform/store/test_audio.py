"""Audio is named by what it sounds like, kept exactly, and checked when it is read."""

import errno
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from trivox.platform.errors import BrokenAudio, CorruptObject, DiskFull, NotFound
from trivox.platform.records import Audio
from trivox.platform.store import AudioStore, Workspace

TONE = (0.5 * np.sin(np.arange(8000) * 0.3)).astype(np.float32)


def put(store: AudioStore, samples: np.ndarray, rate: int = 8000) -> Audio:
    return store.put(samples, rate, project="default", source="test")


def test_hash_by_hand(ws: Workspace) -> None:
    audio = put(ws.audio, np.array([0.5, -1.0, 1.0], np.float32))
    pcm = bytes([0x00, 0x40, 0x00, 0x80, 0xFF, 0x7F])  # 16384, -32768, 32767, little-endian
    assert audio.id == hashlib.sha256(b"8000 1 16\n" + pcm).hexdigest()
    samples, rate = ws.audio.read(audio.id)
    assert rate == 8000 and samples.dtype == np.float32
    assert samples.tolist() == [0.5, -1.0, 32767 / 32768]


def test_record(ws: Workspace) -> None:
    audio = ws.audio.put(
        np.stack([TONE, -TONE], axis=1),
        44100,
        project="p",
        source="here",
        speaker="sp",
        licence="CC0-1.0",
        derived_from="other",
    )
    assert (audio.rate, audio.channels, audio.depth, audio.frames) == (44100, 2, 16, 8000)
    assert audio.duration_s == 8000 / 44100
    assert audio.true_peak_dbtp == pytest.approx(-6.02, abs=0.1)
    assert audio.loudness_lufs is None  # shorter than 0.4 s
    assert (audio.project, audio.source, audio.speaker) == ("p", "here", "sp")
    assert (audio.licence, audio.derived_from) == ("CC0-1.0", "other")
    assert ws.audio.read(audio.id)[0].shape == (8000, 2)


def test_id_depends_on_rate_and_channels_but_not_on_shape(ws: Workspace) -> None:
    mono = put(ws.audio, TONE).id
    assert put(ws.audio, TONE[:, None]).id == mono
    assert put(ws.audio, TONE.astype(np.float64)).id == mono
    assert put(ws.audio, TONE, 16000).id != mono
    assert put(ws.audio, TONE.reshape(-1, 2)).id != mono


def test_file_is_flac_and_written_once(ws: Workspace) -> None:
    path = ws.audio.path(put(ws.audio, TONE).id)
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.samplerate) == ("FLAC", "PCM_16", 8000)
    assert path == ws.root / "audio" / path.stem[:2] / path.name
    before = path.stat().st_mtime_ns, path.stat().st_ino
    put(ws.audio, TONE)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


@given(
    nps.arrays(
        np.int16,
        nps.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8),
        elements=st.integers(-32768, 32767),
    ),
    st.sampled_from([8000, 16000, 22050, 24000, 44100, 48000]),
)
@settings(max_examples=50)
def test_what_is_read_is_what_was_kept(
    tmp_path_factory: pytest.TempPathFactory, pcm: np.ndarray, rate: int
) -> None:
    store = AudioStore("audio", tmp_path_factory.getbasetemp() / "kept")
    audio = put(store, pcm.astype(np.float32) / 32768, rate)
    samples, found_rate = store.read(audio.id)
    assert found_rate == rate
    assert np.array_equal(samples.reshape(pcm.shape) * 32768, pcm)
    assert put(store, samples, rate).id == audio.id


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0, np.float32), "0 samples at 8000 Hz"),
        (np.array([0.0, np.nan], np.float32), "not finite"),
        (np.zeros((10, 9), np.float32), r"shape \(10, 9\)"),
        (np.zeros((1, 1, 1), np.float32), r"shape \(1, 1, 1\)"),
        (np.zeros(5, np.int16), "samples are int16"),
    ],
)
def test_what_cannot_be_kept(ws: Workspace, samples: np.ndarray, message: str) -> None:
    with pytest.raises(BrokenAudio, match=f"test: .*{message}"):
        put(ws.audio, samples)


def test_missing(ws: Workspace) -> None:
    for read in (ws.audio.read, ws.audio.path):
        with pytest.raises(NotFound, match="no audio 'abc'"):
            read("abc")
        with pytest.raises(NotFound, match="is not the id of an audio"):
            read("../../etc/passwd")


def test_corrupt(ws: Workspace) -> None:
    audio = put(ws.audio, TONE)
    path = ws.audio.path(audio.id)
    soundfile.write(path, -TONE, 8000, format="FLAC", subtype="PCM_16")
    with pytest.raises(CorruptObject, match=f"audio {audio.id}: the file's content has the hash"):
        ws.audio.read(audio.id)
    path.write_bytes(b"not audio")
    with pytest.raises(CorruptObject, match="cannot be decoded"):
        ws.audio.read(audio.id)


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_full_disk(ws: Workspace, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, full)
        with pytest.raises(DiskFull, match="no room left"):
            put(ws.audio, TONE)
    assert not [path for path in (ws.root / "audio").rglob("*") if path.is_file()]
    assert ws.audio.read(put(ws.audio, TONE).id)[1] == 8000


def test_store_elsewhere(tmp_path: Path) -> None:
    store = AudioStore("memory://bucket/audio", tmp_path)
    audio = put(store, TONE)
    assert np.array_equal(store.read(audio.id)[0], np.rint(TONE * 32768) / 32768)
    copy = store.path(audio.id)
    assert copy.is_relative_to(tmp_path) and soundfile.info(copy).frames == 8000
    with pytest.raises(NotFound):
        store.path("abc")
