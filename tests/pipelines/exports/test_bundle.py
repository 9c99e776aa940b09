"""A dataset travels: out of one workspace, into another, with the same hash; what is damaged stays behind by
name."""

import json
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trivox.pipelines.consent import UseOf
from trivox.pipelines.datasets import Filters, freeze
from trivox.pipelines.datasets.samples import Size, fill
from trivox.pipelines.exports.bundle import export_bundle
from trivox.pipelines.imports.bundle import BundleReport, import_bundle
from trivox.platform.errors import BadImport, NotFound, UsageError
from trivox.platform.records import (
    Audio,
    Consent,
    JudgeKind,
    Judgement,
    Prompt,
    Rollout,
    Speaker,
    Task,
)
from trivox.platform.store import Workspace

Filled = Callable[..., Workspace]


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_out_and_in_again_is_the_same(filled: Filled, tmp_path: Path, form: str) -> None:
    ws, other = filled(), filled("other", prompts=0)
    frozen, _ = freeze(ws, "speech")
    out = export_bundle(ws, tmp_path / "out", "speech", form=form, size=5)  # type: ignore[arg-type]
    assert out.hash == frozen.hash
    report = import_bundle(other, tmp_path / "out", size=4)
    assert report.identical and report.refused == [] and report.quarantine is None
    assert report.version is not None and report.version.hash == frozen.hash
    assert freeze(other, "again")[0].hash == frozen.hash
    by_id = lambda found: sorted(found, key=lambda one: one.id)  # noqa: E731
    for kind in (Judgement, Task, Prompt, Audio, Speaker):
        assert by_id(other.records.find(kind)) == by_id(ws.records.find(kind))
    assert by_id(other.tables.read(Rollout)) == by_id(ws.tables.read(Rollout))
    for one in ws.records.find(Audio):
        assert (other.audio.read(one.id)[0] == ws.audio.read(one.id)[0]).all()
    again = import_bundle(other, tmp_path / "out")
    assert again.identical and not +again.taken and len(other.tables.read(Rollout)) == 12


def test_into_another_project_and_with_filters(filled: Filled, tmp_path: Path) -> None:
    ws, other = filled(prompts=10), filled("other", prompts=0)
    filters = Filters(judges=(JudgeKind.HUMAN,), languages=("en-US",))
    out = export_bundle(ws, tmp_path / "out", "people", filters, with_audio=False)
    report = import_bundle(other, tmp_path / "out", "renamed")
    assert report.identical and report.version is not None
    assert report.version.reference == "renamed@1"
    assert freeze(other, "again", filters)[0].hash == out.hash
    assert {one.judge_kind for one in other.records.find(Judgement)} == {JudgeKind.HUMAN}


def test_an_export_says_what_it_cannot_do(filled: Filled, tmp_path: Path) -> None:
    ws = filled(prompts=3)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    with pytest.raises(UsageError, match="holds 'x' already"):
        export_bundle(ws, tmp_path / "full", "speech")
    with pytest.raises(NotFound, match="nothing to export"):
        export_bundle(ws, tmp_path / "none", "speech", Filters(languages=("xx",)))
    export_bundle(ws, tmp_path / "none", "speech")  # what was left is begun again
    with pytest.raises(BadImport, match="no manifest"):
        import_bundle(ws, tmp_path / "full")


def test_consent_and_licence_are_asked_and_travel(filled: Filled, tmp_path: Path) -> None:
    ws = filled()
    first, second = ws.records.find(Speaker)
    end = datetime(2026, 6, 1, tzinfo=UTC)
    ws.records.replace(replace(first, expires_at=end))
    before, after = (lambda: end - timedelta(days=1)), (lambda: end)
    out = export_bundle(ws, tmp_path / "before", "speech", clock=before)
    assert out.expires_at == end and not out.left_out and out.parts["prompts"].count == 6
    told = [
        json.loads(line) for line in (tmp_path / "before" / "terms.jsonl").read_text().splitlines()
    ]
    mine = next(one for one in told if one["speakers"] == [first.id])
    assert mine["expires_at"] == end.isoformat() and mine["licences"] == ["CC-BY-4.0"]
    late = export_bundle(ws, tmp_path / "after", "speech", clock=after)
    reason = f"speaker {first.name!r} does not allow training now (consent ended on 2026-06-01)"
    assert late.left_out[reason] == 3 and late.parts["prompts"].count == 3
    assert not any(tmp_path.glob(f"after/audio/*/{mine['audio']}.flac"))
    ws.records.replace(replace(second, consents=(Consent.TRAIN,), revoked_at=None))
    wanted = UseOf(Consent.REDISTRIBUTE)
    with pytest.raises(NotFound, match="does not allow redistribution now"):
        export_bundle(ws, tmp_path / "no", "speech", wanted=wanted, clock=after)


def damaged(folder: Path, damage: str) -> str:
    """Do the damage; returns what the report must say."""
    if damage == "truncated file":
        path = folder / "judgements-00000.parquet"
        path.write_bytes(path.read_bytes()[:-100])
        return "cannot be read from row 1 on"
    if damage == "missing file":
        (folder / "tasks-00000.parquet").unlink()
        return "no such file"
    if damage == "wrong column type":
        import pyarrow as pa
        from pyarrow import parquet

        path = folder / "judgements-00000.parquet"
        table = parquet.read_table(path)
        place = table.column_names.index("answer")
        wrong = pa.array([str(n) for n in range(len(table))])
        parquet.write_table(table.set_column(place, "answer", wrong), path)
        return "answer: Input should be"
    if damage == "missing audio":
        next(folder.glob("audio/*/*.flac")).unlink()
        return "is missing"
    if damage == "wrong sample rate":
        import numpy as np
        import soundfile

        path = next(folder.glob("audio/*/*.flac"))
        soundfile.write(path, np.zeros(100), 8000, subtype="PCM_16")
        return "the file's content has the hash"
    manifest = folder / "manifest.json"
    hostile = {
        "path up": "../secret.parquet",
        "path absolute": "/etc/passwd",
        "path null": "a\\u0000",
    }
    text = manifest.read_text().replace(
        '"path": "tasks-00000.parquet"', f'"path": "{hostile[damage]}"'
    )
    manifest.write_text(text)
    return "is not a path" if damage == "path null" else "leads out of"


DAMAGES = (
    "truncated file",
    "missing file",
    "wrong column type",
    "missing audio",
    "wrong sample rate",
    "path up",
    "path absolute",
    "path null",
)


def test_each_damage_is_named_and_the_rest_is_taken(filled: Filled, tmp_path: Path) -> None:
    ws = filled(prompts=3)
    export_bundle(ws, tmp_path / "whole", "speech")
    for number, damage in enumerate(DAMAGES):
        folder = tmp_path / f"d{number}"
        shutil.copytree(tmp_path / "whole", folder)
        reason = damaged(folder, damage)
        other = filled(f"w{number}", prompts=0)
        report = import_bundle(other, folder)
        assert not report.identical and report.refusals, damage
        assert any(reason in one.reason and one.remedy for one in report.refused), damage
        assert other.records.find(Prompt), damage  # the good rows are there
        assert report.quarantine is not None
        kept = [json.loads(line) for line in report.quarantine.read_text().splitlines()]
        assert len(kept) == report.refusals and all(one["row"] and one["reason"] for one in kept)
        _nothing_is_lost(report, kept, damage)
        mended = import_bundle(other, tmp_path / "whole")
        assert mended.identical and not mended.refused


def _nothing_is_lost(report: BundleReport, kept: list[dict[str, object]], damage: str) -> None:
    """Each row that was written is taken, or lies in quarantine by itself or within its file."""
    assert report.quarantine is not None
    if damage == "wrong column type":
        assert sum("values" in one for one in kept) == 9
    if damage == "truncated file":
        name = next(str(one["file"]) for one in kept if "file" in one)
        assert (report.quarantine.parent / name).stat().st_size > 1000


def test_lines_that_are_damaged(filled: Filled, tmp_path: Path) -> None:
    ws, other = filled(prompts=3), filled("other", prompts=0)
    export_bundle(ws, tmp_path / "out", "speech", form="jsonl")
    path = tmp_path / "out" / "judgements-00000.jsonl"
    lines = path.read_bytes().splitlines()
    changed = json.loads(lines[1]) | {"judge": "somebody else"}
    orphan = json.loads(lines[2]) | {"task": "task_gone", "id": "jd_orphan", "idempotency_key": "o"}
    long = b'{"comment": "' + b"x" * (3 << 20) + b'"}'
    more = [json.dumps(changed).encode(), b"{", b"\xff\xfe", json.dumps(orphan).encode(), long]
    path.write_bytes(b"\n".join([*lines, *more]) + b"\n")
    report = import_bundle(other, tmp_path / "out")
    assert report.identical  # the good rows are those that were exported
    assert [one.row.partition(":")[2] for one in report.refused] == ["11", "12", "14", "10", "13"]
    reasons = " ".join(one.reason for one in report.refused)
    for part in ("Invalid JSON", "not UTF-8", "longer than", "other content", "task 'task_gone'"):
        assert part in reasons
    assert report.quarantine is not None
    sizes = sorted(file.stat().st_size for file in report.quarantine.parent.glob("row-*.bin"))
    assert sizes == [3, len(long) + 1]  # every byte of what was refused


def peak_mb(work: Callable[[], object]) -> float:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_is_bounded_by_the_batch(filled: Filled, tmp_path: Path) -> None:
    """Three times the data, the same memory; identical hashes after out, in, out and in."""
    peaks = []
    for number, size in enumerate((Size(100, 400, 1600), Size(300, 1200, 4800))):
        ws = filled(f"from{number}", prompts=0)
        fill(ws, size, batch=100)
        first, second = filled(f"to{number}", prompts=0), filled(f"then{number}", prompts=0)
        outs = [tmp_path / f"out{number}-{turn}" for turn in range(2)]
        out = peak_mb(lambda: export_bundle(ws, outs[0], "big", size=100))  # noqa: B023
        into = peak_mb(lambda: import_bundle(first, outs[0], size=100))  # noqa: B023
        export_bundle(first, outs[1], "big", size=100)
        report = import_bundle(second, outs[1], size=100)
        hashes = {json.loads((one / "manifest.json").read_text())["hash"] for one in outs}
        assert report.identical and report.version is not None
        assert hashes == {report.version.hash}
        assert report.version.parts["judgements"].count == size.judgements
        assert report.version.parts["rollouts"].count == size.rollouts
        peaks.append((out, into))
    (out, into), (big_out, big_into) = peaks
    assert big_out < 1.3 * out + 1 and big_into < 1.3 * into + 1, peaks
