"""Object storage: a real S3 service that checks signatures, a folder, and what is damaged, cut off or hostile."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trivox.bench.servers import S3
from trivox.platform.errors import ConfigError, CorruptObject, NotFound, StoreError
from trivox.platform.records import Branch, Direction, Score, ScorerRole
from trivox.platform.store import AudioStore, Tables, objects
from trivox.platform.store.objects import Objects, redacted
from trivox.platform.store.remote import RemoteParts


@pytest.fixture(params=["s3", "folder", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return str(tmp_path / "there")
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    return s3_url(request.getfixturevalue("s3_server"), monkeypatch)


def s3_url(server: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    return f"{server.place()}/team"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "deep" / "config.json").write_text('{"r": 8}')
    return folder


def blobs(store: Objects) -> list[str]:
    return [str(path) for path in store._files.find(f"{store._base}/blobs")]


def test_a_folder_comes_back_and_is_fetched_once(url: str, adapter: Path, tmp_path: Path) -> None:
    store = Objects(url, tmp_path / "ws")
    with pytest.raises(NotFound, match="'policies/po_1'"):
        store.fetch("policies/po_1")
    made = store.publish(adapter, "policies/po_1")
    there = store.fetch("policies/po_1")
    assert (there / "deep" / "config.json").read_text() == '{"r": 8}'
    assert (there / "weights.safetensors").read_bytes() == (
        adapter / "weights.safetensors"
    ).read_bytes()
    for blob in blobs(store):
        store._files.rm_file(blob)
    assert store.fetch("policies/po_1") == there  # from this machine
    assert store.publish(adapter, "policies/po_1") == made


def test_an_object_that_changed_is_named_with_both_hashes(
    url: str, adapter: Path, tmp_path: Path
) -> None:
    store = Objects(url, tmp_path / "ws")
    store.publish(adapter, "po_1")
    member = store.members("po_1")[-1]
    assert member.path == "weights.safetensors"
    store._files.pipe_file(store._blob(member), b"x" * member.size)
    with pytest.raises(
        CorruptObject, match=f"weights.safetensors has the hash .*says {member.sha256}"
    ):
        store.fetch("po_1")
    assert not list((tmp_path / "ws" / "cache").rglob("weights*"))


def test_what_stops_halfway_shows_nothing_and_goes_on(
    url: str, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old version stays until the manifest of the new one is written."""
    store = Objects(url, tmp_path / "ws")
    store.publish(adapter, "po_1")
    (adapter / "weights.safetensors").write_bytes(b"new")
    write = Objects._write

    def stops(self: Objects, place: str, content: bytes) -> None:
        if place.endswith("manifest.json"):
            raise StoreError("pulled the plug")
        write(self, place, content)

    with monkeypatch.context() as cut:
        cut.setattr(Objects, "_write", stops)
        with pytest.raises(StoreError, match="plug"):
            store.publish(adapter, "po_1")
    assert (store.fetch("po_1") / "weights.safetensors").stat().st_size == 256 * 40
    store.publish(adapter, "po_1")
    assert (store.fetch("po_1") / "weights.safetensors").read_bytes() == b"new"


@pytest.mark.parametrize("path", ["../../escape", "/etc/passwd", "a/../../b", "a\\..\\b", ""])
def test_hostile_manifests(adapter: Path, tmp_path: Path, path: str) -> None:
    store = Objects(str(tmp_path / "there"), tmp_path / "ws")
    store.publish(adapter, "po_1")
    manifest = tmp_path / "there" / "po_1" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["files"][0]["path"] = path
    manifest.write_text(json.dumps(told))
    with pytest.raises(CorruptObject, match="is no file of a folder"):
        store.fetch("po_1")
    manifest.write_text("{}")
    with pytest.raises(CorruptObject, match="not a manifest"):
        store.fetch("po_1")
    with pytest.raises(NotFound):
        store.fetch("../po_1")


def test_large_files_go_on_at_the_part_that_is_missing(
    s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 MiB in parts of 5 MiB (the least that S3 takes): cut after two, the third alone is sent."""
    monkeypatch.setattr(objects, "PART", 5 << 20)
    store = Objects(s3_url(s3_server, monkeypatch), tmp_path / "ws")
    folder = tmp_path / "big"
    folder.mkdir()
    content = np.random.default_rng(0).bytes(12 << 20)
    (folder / "w").write_bytes(content)
    files, call, sent = type(store._files), store._files.call_s3, []

    def counted(self: object, method: str, *args: object, **given: object) -> object:
        if method == "upload_part":
            if len(sent) == 2:
                raise OSError("cable cut")
            sent.append(given["PartNumber"])
        return call(method, *args, **given)

    with monkeypatch.context() as cut:
        cut.setattr(files, "call_s3", counted)
        with pytest.raises(StoreError, match="cable cut"):
            store.publish(folder, "po_1")
        with pytest.raises(NotFound):
            store.fetch("po_1")
        sent[:] = []
        store.publish(folder, "po_1")
    assert sent == [3]
    assert (store.fetch("po_1") / "w").read_bytes() == content


def test_nothing_secret_is_shown(
    s3_server: S3, tmp_path: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert redacted("s3://key:secret@bucket/path?token=1#x") == "s3://bucket/path"
    url = s3_url(s3_server, monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-" + s3_server.secret)
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()
    with pytest.raises(StoreError) as told:
        Objects(url, tmp_path / "ws").publish(adapter, "po_1")
    assert s3_server.secret not in str(told.value) and s3_server.key not in str(told.value)
    with pytest.raises(ConfigError) as wrong:
        Objects("nosuch://me:secret@host/x", tmp_path)
    assert "secret" not in str(wrong.value)
    S3FileSystem.clear_instance_cache()


def test_audio_on_s3(s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = AudioStore(f"{s3_url(s3_server, monkeypatch)}/audio", tmp_path)
    tone = (0.5 * np.sin(np.arange(8000) * 0.3)).astype(np.float32)
    kept = store.put(tone, 8000, project="default", source="t")
    assert np.array_equal(store.read(kept.id)[0], np.rint(tone * 32768) / 32768)
    assert [one.id for one in store.stored()] == [kept.id]
    other = store.put(-tone, 8000, project="default", source="t")
    store._files.copy(store._name(other.id), store._name(kept.id))
    with pytest.raises(CorruptObject, match=f"audio {kept.id}.*has the hash {other.id}"):
        store.read(kept.id)


def test_tables_on_s3(s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written by one machine, read by another; a changed object is named, a part that goes is gone for both."""
    place = f"{s3_url(s3_server, monkeypatch)}/tables"

    def machine(name: str) -> Tables:
        copies = tmp_path / name / "cache" / "tables"
        return Tables(copies, "default", RemoteParts(Objects(place, tmp_path / name), copies))

    one, other = machine("one"), machine("other")
    score = Score(
        "sc_1", "default", "rd_1", "ro_1", "episode", "wer", "w", "1", "00", "asr",
        ScorerRole.REWARD, "share", Direction.LOWER, 0.25,
    )  # fmt: skip
    one.write([score], branch=Branch.TTS, round="rd_1", part="0")
    size = next((tmp_path / "one" / "cache").rglob("*.parquet")).stat().st_size
    assert other.stored_bytes() == size  # though it holds no copy yet
    assert other.read(Score) == [score] and other.read(Score, round="rd_2") == []
    better = replace(score, value=0.5)
    one.write([better], branch=Branch.TTS, round="rd_1", part="0")
    assert other.read(Score) == [better]
    assert one.remove(Score, "id", lambda ids: ["sc_1"]) == 1
    assert other.read(Score) == [] and one.read(Score) == []
    one.write([score], branch=Branch.TTS, round="rd_1", part="0")
    objects_ = Objects(place, tmp_path)
    (name,) = objects_.names("score")
    objects_._files.pipe_file(objects_._blob(objects_.members(name)[0]), b"damage")
    with pytest.raises(CorruptObject, match=r"part\.parquet has the hash"):
        other.read(Score)


def test_what_is_known_is_not_asked_for_again(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 parts: a listing and a manifest each at first, then the listing alone, then only what has changed here or
    there; one that goes between the listing and its manifest is passed over."""
    objects_ = Objects(url, tmp_path)
    copies = [tmp_path / name for name in ("one", "other")]
    one, other = (RemoteParts(objects_, copy) for copy in copies)
    names = [f"score/project=p/part{number:02}" for number in range(12)]
    for name in names:
        path = copies[0] / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        one.push(path)
    asked, members = [], Objects.members
    monkeypatch.setattr(
        Objects, "members", lambda self, name: asked.append(name) or members(self, name)
    )
    other.pull("score/project=p")
    assert sorted(asked) == names
    assert [(copies[1] / f"{name}.parquet").read_text() for name in names] == names
    asked[:] = []
    other.pull("score/project=p")
    assert asked == []
    (copies[1] / f"{names[3]}.parquet").write_text("changed here")
    (copies[0] / f"{names[5]}.parquet").write_text("changed there")
    one.push(copies[0] / f"{names[5]}.parquet")
    asked[:] = []
    other.pull("score/project=p")
    assert sorted(asked) == [names[3], names[5]]
    assert (copies[1] / f"{names[3]}.parquet").read_text() == names[3]
    assert (copies[1] / f"{names[5]}.parquet").read_text() == "changed there"
    marks = objects_.marks("score")
    one.remove(copies[0] / f"{names[0]}.parquet")
    monkeypatch.setattr(Objects, "marks", lambda self, prefix: marks)
    third = RemoteParts(objects_, tmp_path / "third")
    third.pull("score/project=p")
    assert len(list((tmp_path / "third").rglob("*.parquet"))) == 11
