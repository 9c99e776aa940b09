"""Parquet: whole files, of one round, by a version that knows them."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from trivox.platform import records as record_kinds
from trivox.platform.errors import CorruptObject, DiskFull, NewerWorkspace, StoreError
from trivox.platform.records import (
    Branch,
    DecodingStatistics,
    Direction,
    Failure,
    FinishReason,
    PolicySample,
    Rollout,
    Sampling,
    Score,
    ScorerRole,
    Segment,
    SegmentKind,
)
from trivox.platform.store import Workspace
from trivox.platform.store import parquet as layout

ROLLOUT = Rollout(
    id="ro_1",
    project="default",
    round="rd_1",
    branch=Branch.TTS,
    prompt="pr_1",
    producer="po_1",
    seed=2**63 - 1,
    index=0,
    sampling=Sampling(0.8),
    engine="local",
    dtype="float32",
    tokens=(5, 6),
    segments=(Segment(SegmentKind.AUDIO, "assistant", 0, 2, True),),
    logprobs=(-0.1, -1e-17),
    finish_reason=FinishReason.END,
    codes=((1, 40000), (3, 4)),
    codes_layout="flat",
    timings={"generate": 0.25},
)
SCORE = Score(
    id="sc_1",
    project="default",
    round="rd_1",
    rollout="ro_1",
    scope="episode",
    component="wer",
    scorer="whisper-base-wer",
    scorer_version="1",
    weights_hash="00",
    family="whisper",
    role=ScorerRole.REWARD,
    unit="fraction",
    direction=Direction.LOWER,
    value=0.1,
)
SAMPLE = PolicySample(
    id="sa_1",
    project="default",
    round="po_1",
    branch=Branch.REALTIME,
    prompt="pr_1",
    step=3,
    index=0,
    staleness=1,
    tokens=((5, 6), (7,)),
    logprobs=((-0.1, -1e-17), (-2.5,)),
    finish_reason=FinishReason.LENGTH,
    rewards=(0.5, -1.0),
    components={"rubric": 0.25, "on topic": 1.0},
)


def write(ws: Workspace, *records: Rollout, round: str = "rd_1", part: str = "0") -> Path:
    return ws.tables.write(records, branch=Branch.TTS, round=round, part=part)


def test_where_it_lies(ws: Workspace) -> None:
    path = write(ws, ROLLOUT, part="a/b")
    assert path.relative_to(ws.root).as_posix() == (
        "tables/rollout/project=default/branch=tts/round=rd_1/a%2Fb.parquet"
    )
    file = pq.ParquetFile(path)
    assert file.schema_arrow.metadata == {b"schema_version": b"1", b"kind": b"Rollout"}
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_read_what_is_asked_for(ws: Workspace) -> None:
    other = replace(
        ROLLOUT, id="ro_2", round="rd_2", decoding=DecodingStatistics(3, (4, 4), (4, 1))
    )
    write(ws, ROLLOUT)
    write(ws, other, round="rd_2")
    failed = replace(SCORE, value=None, failure=Failure("timeout", "too long"))
    ws.tables.write([SCORE, failed], branch=Branch.TTS, round="rd_1", part="0")
    assert ws.tables.read(Rollout) == [ROLLOUT, other]
    assert ws.tables.read(Rollout, round="rd_2") == [other]
    assert ws.tables.read(Rollout, branch=Branch.ASR) == []
    assert ws.tables.read(Score, branch=Branch.TTS, round="rd_1") == [SCORE, failed]


def test_samples_of_a_policy(ws: Workspace) -> None:
    failed = replace(SAMPLE, id="sa_2", rewards=(), components={}, failure=Failure("nan", "no"))
    ws.tables.write([SAMPLE, failed], branch=Branch.REALTIME, round="po_1", part="step-000003")
    assert ws.tables.read(PolicySample, round="po_1") == [SAMPLE, failed]
    assert ws.tables.scan(PolicySample).select("staleness").collect()["staleness"].to_list() == [
        1,
        1,
    ]


def test_same_part_takes_the_place_of_the_old(ws: Workspace) -> None:
    write(ws, ROLLOUT, replace(ROLLOUT, id="ro_2"))
    assert write(ws, ROLLOUT) == write(ws, ROLLOUT)
    write(ws, replace(ROLLOUT, id="ro_3"), part="1")
    assert [one.id for one in ws.tables.read(Rollout)] == ["ro_1", "ro_3"]


def test_same_records_same_bytes(ws: Workspace) -> None:
    assert write(ws, ROLLOUT).read_bytes() == write(ws, ROLLOUT, part="1").read_bytes()


def test_scan(ws: Workspace) -> None:
    assert ws.tables.scan(Score).collect().columns == layout.SCORE.names
    write(ws, ROLLOUT)
    write(ws, replace(ROLLOUT, id="ro_2", round=None), round="loose")
    frame = ws.tables.scan(Rollout).select("id", "round", pl.col("tokens").list.len()).collect()
    assert frame.rows() == [("ro_2", None, 2), ("ro_1", "rd_1", 2)]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "no records"),
        ([ROLLOUT, SCORE], "Score in a table of Rollout"),
        ([replace(ROLLOUT, round="rd_2")], "'rd_2'"),
        ([replace(ROLLOUT, branch=Branch.ASR)], "asr"),
        ([replace(ROLLOUT, project="other")], "'other'"),
    ],
)
def test_what_does_not_belong(ws: Workspace, records: list[Rollout], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        write(ws, *records)
    assert ws.tables.read(Rollout) == []


def test_one_schema_version_before(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of version 1, without a column of version 2, is read with that field's default."""
    rollouts = [replace(ROLLOUT, template_hash="gone with the column")]
    older = layout.ROLLOUT.remove(layout.ROLLOUT.get_field_index("template_hash"))
    with monkeypatch.context() as version_1:
        version_1.setitem(layout.SCHEMAS, Rollout, older)
        write(ws, *rollouts)
    monkeypatch.setattr(record_kinds, "SCHEMA_VERSION", 2)
    write(ws, *rollouts, part="1")
    assert [one.template_hash for one in ws.tables.read(Rollout)] == [None, "gone with the column"]
    assert ws.tables.scan(Rollout).collect()["template_hash"].to_list()[0] is None
    monkeypatch.setattr(record_kinds, "SCHEMA_VERSION", 3)
    with pytest.raises(StoreError, match="schema version 1: this Trivox reads 2 and 3"):
        ws.tables.read(Rollout)


def test_newer_schema_version(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(record_kinds, "SCHEMA_VERSION", 2)
        write(ws, ROLLOUT)
    with pytest.raises(NewerWorkspace, match="schema version 2, newer than 1"):
        ws.tables.read(Rollout)
    with pytest.raises(NewerWorkspace):
        ws.tables.scan(Rollout)


def test_broken_file(ws: Workspace) -> None:
    """Also one that was whole when it was read last."""
    path = write(ws, ROLLOUT)
    assert ws.tables.read(Rollout) == [ROLLOUT]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CorruptObject, match=r"0\.parquet: not a Parquet file"):
        ws.tables.read(Rollout)


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_full_disk(ws: Workspace, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    kept = write(ws, ROLLOUT)
    with monkeypatch.context() as broken:
        broken.setattr(os, call, full)
        with pytest.raises(DiskFull, match=r"0\.parquet: no room left"):
            write(ws, replace(ROLLOUT, id="ro_2"))
    assert ws.tables.read(Rollout) == [ROLLOUT]
    assert list(kept.parent.iterdir()) == [kept]
