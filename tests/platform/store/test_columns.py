"""Arrow batches of records and into the store: the same rows on both engines, checked before they are written."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from trivox.platform.errors import StoreError, UsageError
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Branch,
    Campaign,
    JudgeKind,
    Judgement,
    Prompt,
    Task,
    TaskKind,
    Tie,
)
from trivox.platform.store import Workspace
from trivox.platform.store.columns import add_batches, batch_of, schema_of

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
CAMPAIGN = Campaign("ca_1", "default", "first", Branch.TTS, "listen", 1, ("en",), 1, NOW)
TASK = Task("ta_1", "default", "ca_1", TaskKind.COMPARE, "pr_1", ("a", "b"), "q@1", "en", 1)
PLAIN = Judgement(
    "ju_1", "default", "ta_1", JudgeKind.HUMAN, "me", Answer(AnswerKind.COMPARISON, comparison=-3),
    ("b", "a"), "key 1", NOW,
)  # fmt: skip
FULL = replace(
    PLAIN, id="ju_2", idempotency_key="key 2", answer=Answer(AnswerKind.TIE, tie=Tie.BOTH_BAD),
    comment='says "no", then\n\\N', heard_s={"a": 1.25, "ü": 0.1}, taken_s=1e-17, guideline_version=2,
    created_at=NOW.replace(microsecond=0), supersedes="ju_1",
)  # fmt: skip


@pytest.fixture
def filled(ws: Workspace) -> Workspace:
    ws.records.add(CAMPAIGN, TASK, PLAIN, FULL)
    return ws


def read(ws: Workspace) -> pa.RecordBatch:
    return batch_of(ws.records.find(Judgement))


def test_what_is_read_is_added_again_as_it_was(filled: Workspace, tmp_path: Path) -> None:
    """Out of either engine, into SQLite: records and batches are equal; the second time nothing is new."""
    batch = read(filled)
    with Workspace.create(tmp_path / "other") as other:
        other.records.add(CAMPAIGN, TASK)
        assert add_batches(other.records, Judgement, [batch]) == 2
        assert add_batches(other.records, Judgement, [batch]) == 0
        assert other.records.find(Judgement) == [PLAIN, FULL]
        assert read(other) == batch


def test_bulk_rows_are_what_single_ones_are(filled: Workspace) -> None:
    batch = read(filled)
    with filled.records.statements(write=True) as connection:
        connection.exec_driver_sql("DELETE FROM judgement")
    assert add_batches(filled.records, Judgement, [batch.slice(0, 0), batch]) == 2
    assert filled.records.find(Judgement) == [PLAIN, FULL]
    assert filled.records.add(PLAIN) == 0 and read(filled) == batch


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("judge_kind", "robot", "judge_kind: 'robot' is none of human"),
        ("answer", '{"kind": "tie"}', "answer: row 0: .*an answer of kind tie sets"),
        ("answer", "{not json", "answer: row 0"),
        ("presentation", '{"a": 1}', "presentation: row 0"),
        ("comment", "a\0b", "comment holds the character NUL"),
        ("taken_s", float("nan"), "taken_s holds nan"),
        ("id", None, "'id' with null values"),
    ],
)
def test_wrong_values_are_named_and_nothing_is_written(
    filled: Workspace, column: str, value: Any, message: str
) -> None:
    batch = read(filled)
    values = batch.to_pydict() | {"id": ["ju_8", "ju_9"], "idempotency_key": ["8", "9"]}
    values[column] = [value, values[column][1]]
    fields = [pa.field(field.name, field.type) for field in schema_of(Judgement)]
    wrong = pa.RecordBatch.from_pydict(values, schema=pa.schema(fields))
    with pytest.raises(UsageError, match=message):
        add_batches(filled.records, Judgement, [wrong])
    assert len(filled.records.find(Judgement)) == 2


def test_columns_that_are_not_those_of_the_kind(filled: Workspace) -> None:
    batch = read(filled)
    with pytest.raises(UsageError, match="gains_db is missing"):
        add_batches(filled.records, Judgement, [batch.select(batch.schema.names[:-1])])
    odd = batch.set_column(0, "id", pa.array([[1], [2]]))
    with pytest.raises(UsageError, match="Judgement as columns"):
        add_batches(filled.records, Judgement, [odd])


def test_rows_that_name_nothing(filled: Workspace) -> None:
    """The batch before is kept, the one that fails leaves nothing."""
    batch = read(filled)
    prompts = [Prompt.of(Branch.TTS, ("en",), text=text) for text in "ab"]
    filled.records.add(*prompts)
    values = batch.to_pydict() | {"id": ["ju_8", "ju_9"], "idempotency_key": ["8", "9"]}
    good = pa.RecordBatch.from_pydict(values, schema=batch.schema)
    values |= {"id": ["ju_6", "ju_7"], "idempotency_key": ["6", "7"], "task": ["ta_1", "ta_x"]}
    lost = pa.RecordBatch.from_pydict(values, schema=batch.schema)
    with pytest.raises(StoreError, match="Judgement"):
        add_batches(filled.records, Judgement, [good, lost])
    assert {one.id for one in filled.records.find(Judgement)} == {"ju_1", "ju_2", "ju_8", "ju_9"}
