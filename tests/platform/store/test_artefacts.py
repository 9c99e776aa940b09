"""Weights on an object store: sent before a record names them, fetched where there is no copy, checked."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.platform.store.test_objects import s3_url
from trivox.bench.servers import S3
from trivox.platform.errors import CorruptObject, NotFound, StoreError
from trivox.platform.records import PolicyStatus, PolicyVersion
from trivox.platform.registry import register
from trivox.platform.store import Workspace
from trivox.platform.store.artefacts import bring
from trivox.platform.store.config import WorkspaceConfig

POLICY = PolicyVersion(
    "po_1", "default", "first", None, {}, None, "artefacts/adapter_1", "0" * 64, None,
    PolicyStatus.CANDIDATE, datetime(2030, 1, 1, tzinfo=UTC),
)  # fmt: skip


def made(root: Path, place: str | None) -> Workspace:
    config = WorkspaceConfig() if place is None else WorkspaceConfig(artefacts=place)
    ws = Workspace.create(root, config)
    (root / "artefacts" / "adapter_1").mkdir(parents=True)
    (root / "artefacts" / "adapter_1" / "weights").write_bytes(b"weights" * 1000)
    return ws


def without_weights(root: Path) -> Path:
    """The workspace on another machine: the same records, nothing of artefacts and cache."""
    other = root.with_name("other")
    shutil.copytree(root, other, ignore=shutil.ignore_patterns("artefacts", "cache"))
    return other


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_what_is_registered_is_there_for_other_machines(
    kind: str, s3_server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"{s3_url(s3_server, monkeypatch)}/weights" if kind == "s3" else str(tmp_path / "nfs")
    with made(tmp_path / "ws", place) as ws:
        register(ws, POLICY)
        assert (
            bring(ws.root, POLICY.artefact) == ws.root / POLICY.artefact
        )  # nothing is fetched here
        other = without_weights(ws.root)
        found = bring(other, POLICY.artefact)
        assert found.is_relative_to(other / "cache")
        assert (found / "weights").read_bytes() == b"weights" * 1000
        with pytest.raises(NotFound, match="'adapter_2'"):
            bring(other, "artefacts/adapter_2")
        (member,) = ws.artefacts.members("adapter_1")
        ws.artefacts._files.pipe_file(ws.artefacts._blob(member), b"damage")
        shutil.rmtree(other / "cache")
        with pytest.raises(CorruptObject, match=f"weights has the hash .*says {member.sha256}"):
            bring(other, POLICY.artefact)


def test_without_a_place_of_their_own_weights_stay_where_they_were_made(tmp_path: Path) -> None:
    with made(tmp_path / "ws", None) as ws:
        register(ws, POLICY)
        assert [one.name for one in (ws.root / "artefacts").iterdir()] == ["adapter_1"]
        assert not bring(without_weights(ws.root), POLICY.artefact).exists()


def test_what_cannot_be_sent_is_not_registered(tmp_path: Path) -> None:
    with made(tmp_path / "ws", str(tmp_path / "nfs")) as ws:
        with pytest.raises(StoreError, match="the folder is empty"):
            register(ws, replace(POLICY, artefact="artefacts/adapter_2"))
        assert ws.records.find(PolicyVersion) == []
        register(ws, replace(POLICY, artefact="package:trivox-nano"))  # ships with Trivox: not sent
