"""Policy versions: found by what people type, promoted in one transaction, traced to their root."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trivox.platform import registry
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import Branch, Decision, PolicyStatus, PolicyVersion
from trivox.platform.store import Workspace

NOW = datetime(2030, 1, 2, tzinfo=UTC)
WHY: dict[str, Any] = {"actor": "me", "reason": "it won", "evidence": {"win_rate": 0.6}}


def policy(id_: str, name: str, **more: Any) -> PolicyVersion:
    given: dict[str, Any] = {
        "branch": Branch.TTS,
        "parents": {},
        "backbone": None,
        "artefact": f"policies/{id_}",
        "artefact_hash": "00",
        "round": None,
        "status": PolicyStatus.CANDIDATE,
        "created_at": NOW,
    }
    return PolicyVersion(id=id_, project="default", name=name, **(given | more))


BASE = policy("po_base", "nano-v1", branch=None, artefact="package:trivox-nano-v2")
FIRST = policy("po_aa11", "tts-1", parents={"po_base": 1.0}, backbone="po_base")
SECOND = policy("po_aa22", "tts-2", parents={"po_aa11": 1.0}, backbone="po_base")


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "ws") as made:
        for version in (BASE, FIRST, SECOND):
            registry.register(made, version)
        yield made


def status(ws: Workspace, version: PolicyVersion) -> PolicyStatus:
    return registry.resolve(ws, version.id).status


@pytest.mark.parametrize(
    ("asked", "found"),
    [("po_aa11", FIRST), ("po_aa2", SECOND), ("tts-2", SECOND), ("nano", BASE), ("nano-v1", BASE)],
)
def test_resolve(ws: Workspace, asked: str, found: PolicyVersion) -> None:
    assert registry.resolve(ws, asked) == found


def test_resolve_says_what_there_is(ws: Workspace) -> None:
    with pytest.raises(UsageError, match="begins the ids of 2 policies: po_aa11, po_aa22"):
        registry.resolve(ws, "po_aa")
    with pytest.raises(NotFound, match="registered: nano-v1, tts-1, tts-2"):
        registry.resolve(ws, "tts-3")
    with pytest.raises(NotFound):
        registry.resolve(ws, "")


def test_register(ws: Workspace) -> None:
    assert registry.register(ws, policy("po_aa11", "renamed")) == FIRST
    with pytest.raises(UsageError, match="the name 'tts-1' is po_aa11's"):
        registry.register(ws, policy("po_bb", "tts-1"))
    with pytest.raises(NotFound, match="no PolicyVersion 'po_x'"):
        registry.register(ws, policy("po_bb", "tts-3", parents={"po_x": 1.0}))


def test_promote_retires_the_one_before(ws: Workspace) -> None:
    assert registry.promoted(ws, Branch.TTS) is None
    registry.promote(ws, BASE, **WHY, proxy=False)
    first = registry.promote(ws, FIRST, **WHY, proxy=True)
    assert (first.kind, first.subject, first.evidence) == ("promotion", "po_aa11", WHY["evidence"])
    assert status(ws, FIRST) == PolicyStatus.PROXY
    registry.promote(ws, SECOND, **WHY, proxy=False)
    assert status(ws, FIRST) == PolicyStatus.RETIRED
    assert status(ws, BASE) == PolicyStatus.PROMOTED  # of another branch: the backbone
    now = registry.promoted(ws, Branch.TTS)
    assert now is not None and (now.id, now.status) == ("po_aa22", PolicyStatus.PROMOTED)
    assert registry.promoted(ws, Branch.ASR) is None


def test_promoting_again_is_no_new_decision_but_going_back_is(ws: Workspace) -> None:
    once = registry.promote(ws, FIRST, **WHY, proxy=True)
    assert registry.promote(ws, FIRST, **WHY, proxy=True) == once
    registry.promote(ws, SECOND, **WHY, proxy=True)
    again = registry.promote(ws, FIRST, **WHY, proxy=True)
    assert again.id != once.id
    assert [one.subject for one in ws.records.find(Decision)] == ["po_aa11", "po_aa22", "po_aa11"]


def test_promotion_is_one_transaction(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    registry.promote(ws, FIRST, **WHY, proxy=True)
    monkeypatch.setattr(registry, "_decide", fail)
    with pytest.raises(RuntimeError):
        registry.promote(ws, SECOND, **WHY, proxy=True)
    assert status(ws, FIRST) == PolicyStatus.PROXY
    assert status(ws, SECOND) == PolicyStatus.CANDIDATE


def test_reject(ws: Workspace) -> None:
    registry.promote(ws, FIRST, **WHY, proxy=True)
    decision = registry.reject(ws, SECOND, **WHY)
    assert decision.kind == "rejection" and status(ws, SECOND) == PolicyStatus.REJECTED
    assert registry.reject(ws, SECOND, **WHY) == decision
    with pytest.raises(UsageError, match=r"tts-1 is promoted \(proxy\): promote another first"):
        registry.reject(ws, FIRST, **WHY)


def test_lineage(ws: Workspace) -> None:
    merged = policy("po_m", "merged", parents={"po_aa11": 0.3, "po_aa22": 0.7})
    registry.register(ws, merged)
    assert [one.id for one in registry.lineage(ws, SECOND)] == ["po_aa22", "po_aa11", "po_base"]
    assert [one.id for one in registry.lineage(ws, merged)] == [
        "po_m",
        "po_aa22",
        "po_aa11",
        "po_base",
    ]


def test_adapter_over_several_branches_is_in_no_place(ws: Workspace) -> None:
    mixed = policy("po_mixed", "mixed", branch=None, parents={"po_base": 1.0}, backbone="po_base")
    registry.register(ws, mixed)
    registry.promote(ws, BASE, proxy=False, **WHY)
    with pytest.raises(UsageError, match="adapter over several branches"):
        registry.promote(ws, mixed, proxy=False, **WHY)
    assert status(ws, BASE) == PolicyStatus.PROMOTED
