"""Judgements from elsewhere: good rows once, bad rows with the reason."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from tests.annotation.work.conftest import campaign
from trivox.annotation.imports import (
    Raw,
    Unread,
    import_rows,
    import_speechjudge,
    read_rows,
    rows_of,
)
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.platform.errors import BadImport
from trivox.platform.records import Judgement, Rollout, Task, TaskState, Tie
from trivox.platform.store import Workspace

HEAD = "task,judge,answer,created_at,shown_first,comment\n"
AT = "2026-01-02T03:04:05+00:00"


def test_good_rows_are_taken_once_and_bad_ones_told(workspace: Workspace) -> None:
    campaign(workspace, 2)
    first, second = (task.id for task in workspace.records.find(Task))
    text = HEAD + "\n".join(
        [
            f"{first},ada,2,{AT},2,clear",
            f"{first},bob,both_bad,{AT},,",
            f"{second},ada,skip,{AT},,",
            f"nothing,ada,2,{AT},,",
            f"{first},ada,0,{AT},,",
            f"{first},ada,1,2026-01-02T03:04:05,,",
            f"{first},ada",
        ]
    )
    told = import_rows(workspace, THE_SYSTEM, read_rows(text, "csv"))
    assert (told.taken, told.repeated) == (3, 0)
    reasons = {one.row: one.reason for one in told.refused}
    assert sorted(reasons) == [4, 5, 6, 7]
    assert "no comparison" in reasons[4] and "'0'" in reasons[5] and "timezone" in reasons[6]
    one, tie, skipped = workspace.records.find(Judgement)
    assert one.answer.comparison == 2 and one.judge == "human:imported:ada"
    assert one.presentation == workspace.records.get(Task, first).items[::-1]
    assert tie.answer.tie is Tie.BOTH_BAD and skipped.answer.abstention
    again = import_rows(workspace, THE_SYSTEM, read_rows(text, "csv"))
    assert (again.taken, again.repeated) == (0, 3)


def test_jsonl(workspace: Workspace) -> None:
    campaign(workspace, 1)
    [task] = workspace.records.find(Task)
    row = {"task": task.id, "judge": "ada", "answer": -3, "created_at": AT}
    text = f"{json.dumps(row)}\n\n[1]\n{{\n"
    told = import_rows(workspace, THE_SYSTEM, read_rows(text, "jsonl"))
    assert told.taken == 1 and [one.row for one in told.refused] == [2, 3]
    with pytest.raises(BadImport, match="no rows"):
        read_rows("", "jsonl")


def wav(hertz: float) -> bytes:
    file = io.BytesIO()
    wave = 0.1 * np.sin(2 * np.pi * hertz * np.arange(4000) / 8000)
    soundfile.write(file, wave, 8000, format="WAV")
    return file.getvalue()


def pair(index: int, said: list[str], **changed: object) -> dict[str, object]:
    return {
        "index": str(index),
        "language_setting": "en2zh",
        "target_text": "小船驶过海湾",
        "audioA": {"bytes": wav(200 + index), "path": None},
        "audioB": {"bytes": wav(300 + index), "path": None},
        "rater": [f"r{place}" for place in range(len(said))],
        "naturalness_annotation": said,
    } | changed


def test_speechjudge_rows(workspace: Workspace, tmp_path: Path) -> None:
    rows = [
        pair(0, ["A+2", "B+1", "Tie (both very good)"]),
        pair(1, ["A+9"]),
        pair(2, ["A+1"], language_setting="en2fr"),
        pair(3, ["A+1"], audioB={"bytes": b"noise", "path": None}),
        pair(4, ["A+1"], audioB={"bytes": None, "path": "../../etc/passwd"}),
    ]
    path = tmp_path / "train.parquet"
    pl.DataFrame(rows).write_parquet(path)
    told = import_speechjudge(workspace, THE_SYSTEM, path)
    assert told.taken == 3 and [one.row for one in told.refused] == [2, 3, 4, 5]
    assert "outside" in told.refused[-1].reason
    answers = [one.answer for one in workspace.records.find(Judgement)]
    assert [one.comparison for one in answers] == [2, -1, None]
    assert answers[2].tie is Tie.BOTH_GOOD
    [task] = workspace.records.find(Task)
    heard = {one.id for one in workspace.tables.read(Rollout)}
    assert set(task.items) <= heard and task.language == "zh"
    assert workspace.records.find(TaskState) == []
    assert import_speechjudge(workspace, THE_SYSTEM, path).taken == 0
    with pytest.raises(BadImport, match="no column"):
        pl.DataFrame({"a": [1]}).write_parquet(path)
        import_speechjudge(workspace, THE_SYSTEM, path)


def test_speechjudge_shards_a_batch_at_a_time(workspace: Workspace, tmp_path: Path) -> None:
    """Three batches, one part each; a shard that is cut off or of another form costs no other; what is refused is
    handed out with its values; mended and imported again, only that is new."""
    folder = tmp_path / "shards"
    folder.mkdir()
    good = [pair(number, ["A+1"]) for number in range(4)]
    pl.DataFrame([*good, pair(4, ["C+1"])]).write_parquet(folder / "0.parquet")
    pl.DataFrame([pair(5, ["B+1"])]).write_parquet(folder / "1.parquet")
    whole = (folder / "1.parquet").read_bytes()
    (folder / "1.parquet").write_bytes(whole[:-20])
    pl.DataFrame({"a": [1]}).write_parquet(folder / "2.parquet")
    kept: list[tuple[int, object]] = []
    told = import_speechjudge(
        workspace, THE_SYSTEM, folder, size=2,
        keep=lambda one, values: kept.append((one.row, values and values["index"])),
    )  # fmt: skip
    assert told.taken == 4 and kept == [(5, "4"), (6, None), (6, None)]
    assert "copy it again" in told.refused[1].reason and "no column" in told.refused[2].reason
    assert len(workspace.tables.paths(Rollout)) == 2
    (folder / "1.parquet").write_bytes(whole)
    pl.DataFrame([*good, pair(4, ["B+2"])]).write_parquet(folder / "0.parquet")
    again = import_speechjudge(workspace, THE_SYSTEM, folder)
    assert (again.taken, again.repeated, len(again.refused)) == (2, 4, 1)
    ids = [one.id for one in workspace.tables.read(Rollout)]
    assert len(ids) == len(set(ids)) == 12


def test_rows_are_read_a_few_at_a_time_and_refused_ones_handed_out(workspace: Workspace) -> None:
    """Five rows in batches of two: never more than a batch is read ahead of what is stored; each refused row comes
    with its remedy, what it says, and where it stands."""
    campaign(workspace, 1)
    [task] = workspace.records.find(Task)
    read: list[int] = []

    def lines() -> Iterator[tuple[str | Unread, int]]:
        yield HEAD, 0
        for number in range(1, 6):
            read.append(len(workspace.records.find(Judgement)))
            bad = Unread("the line is longer than 9 bytes", "write one row a line")
            good = f"{task.id},judge {number},{3 if number < 5 else 9},{AT},,\n"
            yield (bad if number == 2 else good), number

    kept: list[tuple[int, str, Raw]] = []
    told = import_rows(
        workspace, THE_SYSTEM, rows_of(lines(), "csv"), size=2,
        keep=lambda one, raw: kept.append((one.row, one.remedy, raw)),
    )  # fmt: skip
    assert (told.taken, told.beyond, [one.row for one in told.refused]) == (3, 0, [2, 5])
    assert read[-1] >= 2  # the first batches were stored before the last line was read
    assert kept[0][:2] == (2, "write one row a line") and kept[0][2].held == [2]
    assert kept[1][1] == "write one of those" and kept[1][2].held == [5]
    assert isinstance(kept[1][2].values, dict) and kept[1][2].values["judge"] == "judge 5"


def test_a_quote_that_is_not_closed_costs_only_its_own_rows(workspace: Workspace) -> None:
    """csv gives up on a field of 128 kB; the lines up to there are one refused row, those after are taken."""
    campaign(workspace, 1)
    [task] = workspace.records.find(Task)
    good = [f"{task.id},judge {number},3,{AT},,\n" for number in range(4)]
    filler = ["x" * 1000 + "\n"] * 140
    lines = [HEAD, good[0], f'{task.id},ada,3,{AT},,"open\n', *filler, *good[1:]]
    rows = list(rows_of(((line, place) for place, line in enumerate(lines)), "csv"))
    broken = [one for one in rows if isinstance(one.values, Unread)]
    assert "field limit" in str(broken[0].values) and broken[0].held[0] == 2
    told = import_rows(workspace, THE_SYSTEM, rows)
    assert told.taken == 4 and told.refused[0].remedy == "close the quotes of the row"
