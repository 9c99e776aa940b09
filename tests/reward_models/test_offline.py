"""Weights: found, proven, joined; and every way in which that can go wrong."""

import errno
import hashlib
import importlib.metadata
import os
import re
from pathlib import Path

import pytest

from trivox.platform.errors import DiskFull, MissingModel, StoreError
from trivox.reward_models import offline
from trivox.reward_models.offline import Weights

ROOT = Path(__file__).resolve().parents[2]
EVERY = [
    offline.WHISPER_TINY_EN,
    *offline.WHISPER_BASE_PARTS,
    offline.DISTILLMOS,
    offline.DNSMOS,
    offline.DNSMOS_P808,
    offline.RESEMBLYZER,
    offline.MINILM,
]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small packages in place of the real ones; returns the folder where they are installed."""
    small = []
    for number, content in ((1, b"one"), (2, b"two")):
        data = tmp_path / f"part{number}" / "data"
        data.mkdir(parents=True)
        (data / f"model.bin.part{number}").write_bytes(content)
        file = f"data/model.bin.part{number}"
        small.append(Weights(f"part{number}", "1.0", f"part{number}", file, digest(content)))
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / "part1" / "data" / name).write_text(name)
    monkeypatch.setattr(offline, "module_folder", lambda package, *_: tmp_path / package)
    monkeypatch.setattr(offline, "WHISPER_BASE_PARTS", tuple(small))
    monkeypatch.setattr(offline, "WHISPER_BASE_SHA256", digest(b"onetwo"))
    monkeypatch.setenv(offline.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path


def test_parts_are_joined_once_and_in_order(parts: Path) -> None:
    folder = offline.whisper_base()
    assert (folder / "model.bin").read_bytes() == b"onetwo"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "model.bin", "tokenizer.json", "vocabulary.txt",
    ]  # fmt: skip
    assert folder.is_relative_to(parts / "cache")
    before = (folder / "model.bin").stat().st_mtime_ns
    assert offline.whisper_base() == folder
    assert (folder / "model.bin").stat().st_mtime_ns == before


def test_damaged_cache_is_made_again(parts: Path) -> None:
    model = offline.whisper_base() / "model.bin"
    model.write_bytes(b"broken")
    assert (offline.whisper_base() / "model.bin").read_bytes() == b"onetwo"


def test_damaged_part_is_refused(parts: Path) -> None:
    (parts / "part2" / "data" / "model.bin.part2").write_bytes(b"tow")
    with pytest.raises(MissingModel, match=r"sha256 .* expected .* part2==1.0: reinstall"):
        offline.whisper_base()
    assert not (parts / "cache").exists()


def test_absent_part_is_refused(parts: Path) -> None:
    (parts / "part1" / "data" / "model.bin.part1").unlink()
    with pytest.raises(MissingModel, match="part1==1.0"):
        offline.whisper_base()


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, DiskFull), (errno.EACCES, StoreError)])
def test_unwritable_cache_leaves_nothing_half_written(
    parts: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[StoreError]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(offline.shutil, "copyfileobj", refuse)
    with pytest.raises(error, match="TRIVOX_CACHE"):
        offline.whisper_base()
    assert [path for path in (parts / "cache").rglob("*") if path.is_file()] == []


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIVOX_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert offline.cache_folder() == Path("/a")
    monkeypatch.delenv("TRIVOX_CACHE")
    assert offline.cache_folder() == Path("/b/trivox")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert offline.cache_folder() == Path("/c/.cache/trivox")


def test_listing_agrees_with_the_code_and_the_environment() -> None:
    """requirements/offline-models.txt names each file with its hash and pins what is installed."""
    listing = (ROOT / "requirements" / "offline-models.txt").read_text()
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", listing, re.MULTILINE))
    for weights in EVERY:
        assert f"{weights.module}/{weights.file} {weights.sha256}" in listing
        assert pins[weights.package] == weights.version
    assert f"model.bin {offline.WHISPER_BASE_SHA256}" in listing
    assert {name: importlib.metadata.version(name) for name in pins} == pins
