"""Every kind of record comes back from the store as it went in, whatever its values."""

import types
import typing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trivox.platform.records import (
    Answer,
    AnswerKind,
    Branch,
    Failure,
    Judgement,
    Project,
    Rollout,
    Score,
    Tie,
    WorkPlan,
)
from trivox.platform.store import Workspace
from trivox.platform.store.config import WorkspaceConfig
from trivox.platform.store.parquet import SCHEMAS
from trivox.platform.store.schema import KINDS, metadata

_INT32 = st.integers(-(2**31), 2**31 - 1)
_FLOAT = st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | _FLOAT | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_ANSWER = st.one_of(
    st.builds(
        Answer,
        kind=st.just(AnswerKind.COMPARISON),
        comparison=st.sampled_from([-3, -2, -1, 1, 2, 3]),
    ),
    st.builds(Answer, kind=st.just(AnswerKind.TIE), tie=st.sampled_from(Tie)),
    st.builds(
        Answer,
        kind=st.just(AnswerKind.RATING),
        ratings=st.dictionaries(st.text(), st.integers(1, 5)),
    ),
    st.builds(Answer, kind=st.just(AnswerKind.ABSTENTION), abstention=st.text()),
)
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_SMALL = {"start", "end", "top_k", "max_tokens", "channel", "interrupted_by"}


def values(hint: Any, small: bool = False) -> st.SearchStrategy[Any]:
    """A strategy for a type as it is written in the records."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return st.one_of(
            [st.none() if part is type(None) else values(part, small) for part in inner]
        )
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(values(inner[0], small), max_size=4).map(tuple)
    if origin is tuple:
        return st.tuples(*[values(part) for part in inner])
    if origin is dict:
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=3)
    return _plain(hint, small)


def _plain(hint: Any, small: bool) -> st.SearchStrategy[Any]:
    if hint is Any:
        return _JSON
    if hint is Answer:
        return _ANSWER
    if hint is WorkPlan:
        marks = {name: st.floats(0, 1) for name in ("pass_mark", "gold_pass")}
        checks = {name: st.floats(0, 0.25) for name in ("control_share", "repeat_share")}
        return records(WorkPlan, random_share=st.floats(0.01, 1), **marks, **checks)
    if issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    plain = {
        str: _TEXT,
        int: _INT32 if small else st.integers(-(2**63), 2**63 - 1),
        bool: st.booleans(),
        float: _FLOAT,
        datetime: st.datetimes(timezones=st.just(UTC)),
    }
    return plain[hint] if hint in plain else records(hint)


def records(kind: type[Any], **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    hints = typing.get_type_hints(kind)
    made = {field.name: values(hints[field.name], field.name in _SMALL) for field in fields(kind)}
    return st.builds(kind, **(made | fixed))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ws(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> typing.Iterator[Workspace]:
    config = WorkspaceConfig()
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_server").fresh("trivox_store")
        config = WorkspaceConfig(database=url)
    with Workspace.create(tmp_path_factory.mktemp("round") / "ws", config) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_sql(ws: Workspace, kind: type[Any], data: st.DataObject) -> None:
    try:
        with ws.records.transaction():
            record = data.draw(records(kind))
            _without_references(ws)
            assert ws.records.add(record) == 1
            assert ws.records.get(kind, record.id) == record
            raise _Undo
    except _Undo:
        pass


class _Undo(Exception):
    """Takes back what an example added."""


def _without_references(ws: Workspace) -> None:
    """References are checked at the end of the transaction, which never comes."""
    connection = ws.records._open.get()
    assert connection is not None
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    else:  # a superuser may do without
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")


_ROLLOUTS = records(
    Rollout,
    project=st.just("default"),
    round=st.sampled_from([None, "rd_1"]),
    branch=st.just(Branch.REALTIME),
    tokens=st.lists(_INT32).map(tuple),
    codes=st.lists(st.tuples(_INT32, _INT32)).map(tuple),
)
_SCORES = records(
    Score,
    project=st.just("default"),
    round=st.just("rd_1"),
    value=_FLOAT,
    failure=st.none(),
).flatmap(
    lambda score: (
        st.just(score)
        | st.builds(
            replace,
            st.just(score),
            value=st.none(),
            failure=st.builds(Failure, st.text(), st.text()),
        )
    )
)


@given(st.lists(_ROLLOUTS, min_size=1, max_size=3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_rollouts(ws: Workspace, rollouts: list[Rollout]) -> None:
    ws.tables.write(rollouts, branch=Branch.REALTIME, round="rd_1", part="0")
    assert ws.tables.read(Rollout) == rollouts


@given(st.lists(_SCORES, min_size=1, max_size=3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_scores(ws: Workspace, scores: list[Score]) -> None:
    ws.tables.write(scores, branch=Branch.TTS, round="rd_1", part="0")
    assert ws.tables.read(Score) == scores


@pytest.mark.parametrize("kind", SCHEMAS, ids=lambda kind: kind.__name__)
def test_parquet_has_every_field(kind: type[Any]) -> None:
    assert SCHEMAS[kind].names == [field.name for field in fields(kind)]


def test_times_come_back_in_utc(ws: Workspace) -> None:
    noon_in_tokyo = datetime(2030, 1, 2, 12, tzinfo=timezone(timedelta(hours=9)))
    ws.records.add(Project("tokyo", "tokyo", noon_in_tokyo))
    back = ws.records.get(Project, "tokyo").created_at
    assert back == noon_in_tokyo
    assert back.isoformat() == "2030-01-02T03:00:00+00:00"


def test_every_kind_has_a_table() -> None:
    assert len(metadata().tables) == len(KINDS)
    assert "idempotency_key" in metadata().tables["judgement"].c
    assert Judgement in KINDS and Rollout not in KINDS


def test_nothing_temporary_is_left(ws: Workspace) -> None:
    assert not [path for path in Path(ws.root).rglob("*.tmp")]
