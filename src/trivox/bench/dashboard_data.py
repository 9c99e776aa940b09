"""What the dashboards are measured on: seeded rounds with rollouts, scores and judgements, made once and kept.

Made round by round, each file whole or not at all: what was broken off goes on where it stopped.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from pyarrow import parquet

from trivox.platform import records as kinds
from trivox.platform.progress import progress
from trivox.platform.records import (
    Branch,
    Campaign,
    Evaluation,
    Judgement,
    Person,
    PolicyStatus,
    PolicyVersion,
    Pool,
    Prompt,
    PromptItem,
    PromptSet,
    Role,
    RoleGrant,
    Round,
    RoundStatus,
    Split,
    Stage,
    StageRun,
    Task,
    TaskLease,
    TaskState,
)
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically
from trivox.platform.store.parquet import ROLLOUT, SCORE
from trivox.platform.store.schema import table_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CANDIDATES, VOTES = 4, 2
SCORERS = (
    ("mos", "reward", "higher", "MOS"),
    ("wer", "reward", "lower", "share"),
    ("speaker", "reward", "higher", "cosine"),
    ("style", "reward", "higher", "share"),
    ("silence", "gate", "higher", "passed"),
    ("end", "gate", "higher", "passed"),
    ("pitch", "watcher", "higher", "semitones"),
    ("other-mos", "evaluator", "higher", "MOS"),
)
FAILED_SHARE = 0.001


@dataclass(frozen=True)
class Size:
    """Of the whole: rounds, rollouts of each, judgements of each. Scores are 8 for each rollout."""

    rounds: int
    rollouts: int
    judgements: int

    @property
    def name(self) -> str:
        return f"{self.rounds}x{self.rollouts}x{self.judgements}"


FULL = Size(200, 50_000, 5_000)
"""10 million rollouts, 80 million scores, 1 million judgements."""
SMALL = Size(40, 12_500, 1_250)
"""A twentieth."""


def filled(root: Path, size: Size) -> Path:
    """The workspace at root, made or gone on with."""
    if not (root / "trivox.toml").is_file():
        Workspace.create(root).close()
    with Workspace.open(root) as ws:
        _around(ws, size)
        done = {one.id for one in ws.records.find(Round)}
        for number in progress(range(size.rounds), "rounds"):
            if round_id(number) not in done:
                _round(ws, size, number)
    return root


def round_id(number: int) -> str:
    return f"round_{number:05}"


def branch_of(number: int) -> Branch:
    return list(Branch)[number % 3]


def _around(ws: Workspace, size: Size) -> None:
    """Prompts, people and the first version."""
    prompts = [Prompt.of(Branch.TTS, ("en",), text=f"sentence {n}") for n in range(200)]
    items = [PromptItem(one.id, Split.TRAIN, one.id, "CC0-1.0", "bench") for one in prompts]
    people = [
        Person(f"p{n:03}", f"Person {n}", Pool.STAFF, NOW, pay_rate=15.0, pay_currency="EUR")
        for n in range(300)
    ]
    ws.records.add(
        *prompts, PromptSet("ps", ws.project, "bench", 1, tuple(items)), *people,
        RoleGrant("g0", ws.project, "p000", Role.RESEARCHER, NOW),
        PolicyVersion("base", ws.project, "base", None, {}, None, "none", "0", None, PolicyStatus.PROMOTED, NOW),
    )  # fmt: skip


def _round(ws: Workspace, size: Size, number: int) -> None:
    """One round: its Parquet, then its rows in one transaction, its record among them."""
    rng, id_, branch = np.random.default_rng(number), round_id(number), branch_of(number)
    ids = [f"ro{number:05}-{n:06}" for n in range(size.rollouts)]
    quality = rng.normal(size=size.rollouts).astype(np.float64)
    prompts = [f"pr{n // CANDIDATES:06}" for n in range(size.rollouts)]
    _write(ws, "rollout", branch, id_, _rollouts(ws, id_, branch, ids, prompts, rng))
    _write(ws, "score", branch, id_, _scores(ws, id_, ids, quality, rng))
    with ws.records.transaction(durable=False):
        ws.records.add(*_records(ws, number, id_, branch))
        _judge(ws, size, number, id_, ids, prompts, quality, rng)


def _write(ws: Workspace, kind: str, branch: Branch, round_: str, table: pa.Table) -> None:
    about = {"schema_version": str(kinds.SCHEMA_VERSION), "kind": kind.capitalize()}
    content = pa.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata(about), content, compression="zstd")
    folder = ws.root / ws.config.tables / kind / f"project={ws.project}" / f"branch={branch.value}"
    write_atomically(folder / f"round={round_}" / "all.parquet", memoryview(content.getvalue()))


def _table(schema: pa.Schema, count: int, columns: dict[str, Any]) -> pa.Table:
    """The columns; of others one value again and again, or null."""
    plain = {pa.string(): "", pa.int64(): 0}
    arrays = []
    for field in schema:
        given = columns.get(field.name)
        if given is None and field.nullable:
            arrays.append(pa.array([None] * count, field.type))
        elif given is None:
            empty: Any = [] if pa.types.is_list(field.type) else plain.get(field.type)
            arrays.append(pa.array([empty], field.type).take(pa.array(np.zeros(count, np.int32))))
        elif isinstance(given, pa.Array):
            arrays.append(given.cast(field.type))
        else:
            arrays.append(pa.array(given, field.type))
    return pa.table(arrays, schema=schema)


def _rollouts(
    ws: Workspace,
    round_: str,
    branch: Branch,
    ids: list[str],
    prompts: list[str],
    rng: np.random.Generator,
) -> pa.Table:
    count = len(ids)
    lengths = rng.integers(20, 120, count).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    tokens = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.zeros(offsets[-1], np.int32)))
    sampling = pa.array(
        [{"temperature": 0.7, "top_k": 0, "top_p": 1.0, "max_tokens": 128}],
        ROLLOUT.field("sampling").type,
    )
    zeros = pa.array(np.zeros(count, np.int32))
    columns = {
        "id": ids, "project": _same(ws.project, count), "round": _same(round_, count),
        "branch": _same(branch.value, count),
        "prompt": prompts, "producer": _same("base", count), "sampling": sampling.take(zeros), "tokens": tokens,
        "finish_reason": pa.array(np.where(rng.random(count) < 0.02, "length", "end")),
    }  # fmt: skip
    return _table(ROLLOUT, count, columns)


def _same(value: str, count: int) -> pa.Array:
    return pa.array([value]).take(pa.array(np.zeros(count, np.int32)))


def _scores(
    ws: Workspace, round_: str, ids: list[str], quality: np.ndarray, rng: np.random.Generator
) -> pa.Table:
    parts = [_of_scorer(ws, round_, pa.array(ids), quality, rng, one) for one in SCORERS]
    return pa.concat_tables(parts)


def _of_scorer(
    ws: Workspace,
    round_: str,
    ids: pa.Array,
    quality: np.ndarray,
    rng: np.random.Generator,
    told: tuple[str, ...],
) -> pa.Table:
    name, role, way, unit = told
    count = len(ids)
    sign = -1 if way == "lower" else 1
    value = np.round(sign * quality + rng.normal(size=count), 2)
    if role == "gate":
        value = (rng.random(count) > 0.01).astype(float)
    failed = rng.random(count) < FAILED_SHARE
    kind = SCORE.field("failure").type
    cause = {"kind": "timeout", "message": "took too long"}
    failure = pa.array([cause if one else None for one in failed], kind)
    columns = {
        "id": pc.binary_join_element_wise(ids, _same(name, count), "-"), "project": _same(ws.project, count),
        "round": _same(round_, count), "rollout": ids, "scope": _same("episode", count),
        "component": _same(name, count), "scorer": _same(name, count), "family": _same(name, count),
        "role": _same(role, count), "unit": _same(unit, count), "direction": _same(way, count),
        "value": pa.array(value, mask=failed), "failure": failure,
    }  # fmt: skip
    return _table(SCORE, count, columns)


def _records(ws: Workspace, number: int, id_: str, branch: Branch) -> list[Any]:
    at = NOW + timedelta(hours=number)
    parent = f"v{number - 3:05}" if number >= 3 else "base"
    version = PolicyVersion(
        f"v{number:05}", ws.project, f"version-{number}", branch, {parent: 1.0}, "base", "none", "0", id_,
        PolicyStatus.PROMOTED, at,
    )  # fmt: skip
    steps = [
        {
            "step": step,
            "loss": 1 / (step + 1),
            "kl": 0.01 * step,
            "reward": 0.1 * step,
            "entropy": 1.0,
            "length": 60.0,
        }
        for step in range(100)
    ]
    wins = 55 + number % 10
    rate = {
        "rate": wins / 100,
        "low": wins / 100 - 0.1,
        "high": wins / 100 + 0.1,
        "wins": wins,
        "losses": 100 - wins,
        "ties": 0,
    }
    results = {"win_rate": rate, "wer_after": 0.1, "quality_after": 3.5}
    return [
        Round(id_, ws.project, branch, "grpo", parent, "ps", {}, number, Stage.PUBLISH, RoundStatus.DONE, at, at),
        StageRun(
            f"{id_}:train", ws.project, id_, Stage.TRAIN, {}, {"metrics": steps}, "bench", number, at,
            at + timedelta(minutes=5),
        ),
        version,
        Evaluation(
            f"e{number:05}", ws.project, version.id, parent, "bench@1", {"other-mos": "other"}, False, results, (),
            id_, at,
        ),
        Campaign(f"c{number:05}", ws.project, f"campaign {number}", branch, "?", 1, ("en",), VOTES, at, round=id_),
    ]  # fmt: skip


def _judge(
    ws: Workspace, size: Size, number: int, id_: str, ids: list[str], prompts: list[str], quality: np.ndarray,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Comparisons and two people's votes on each, which follow the quality with noise."""
    wanted = size.judgements // VOTES
    firsts = rng.choice(size.rollouts // 2, wanted, replace=False) * 2
    with ws.records.statements(write=True) as connection:
        _insert(connection, Task, _tasks(ws, number, id_, ids, prompts, firsts))
        _insert(connection, Judgement, _votes(ws, number, ids, quality, firsts, rng))
        _insert(connection, TaskState, _states(ws, number, firsts))
        _insert(connection, TaskLease, _leases(ws, number, ids, firsts))


def _insert(connection: sa.Connection, kind: type[Any], rows: Iterator[dict[str, Any]]) -> None:
    """Rows whose JSON is written already."""
    given = list(rows)
    names = list(given[0])
    marks = ", ".join(f":{name}" for name in names)
    columns = ", ".join(f'"{name}"' for name in names)
    connection.execute(
        sa.text(f"INSERT INTO {table_of(kind).name} ({columns}) VALUES ({marks})"), given
    )


def _tasks(
    ws: Workspace, number: int, id_: str, ids: list[str], prompts: list[str], firsts: np.ndarray
) -> Iterator[dict[str, Any]]:
    for place, first in enumerate(firsts):
        yield {
            "id": f"t{number:05}-{place:05}", "project": ws.project, "campaign": f"c{number:05}",
            "kind": "compare",
            "prompt": prompts[first], "items": json.dumps([ids[first], ids[first + 1]]), "question": "overall@1",
            "language": "en", "overlap": VOTES, "scope": "episode", "round": id_,
        }  # fmt: skip


def _states(ws: Workspace, number: int, firsts: np.ndarray) -> Iterator[dict[str, Any]]:
    for place in range(len(firsts)):
        id_ = f"t{number:05}-{place:05}"
        yield {
            "id": id_, "project": ws.project, "campaign": f"c{number:05}", "pair": id_, "language": "en",
            "wanted": VOTES, "taken": VOTES, "answered": VOTES, "priority": 0, "information": 0.5,
            "shuffle": 0.0, "expert": False, "closed": True,
        }  # fmt: skip


def _leases(
    ws: Workspace, number: int, ids: list[str], firsts: np.ndarray
) -> Iterator[dict[str, Any]]:
    """One in twenty is a check with a known answer."""
    for place, first in enumerate(firsts):
        for vote in range(VOTES):
            end = NOW + timedelta(hours=number, seconds=place)
            shown = json.dumps([ids[first], ids[first + 1]])
            gold = place % 20 == 0
            yield {
                "id": f"l{number:05}-{place:05}-{vote}", "project": ws.project, "campaign": f"c{number:05}",
                "task": f"t{number:05}-{place:05}", "person": _person(place, vote), "slot": vote,
                "purpose": "gold" if gold else "judge", "status": "answered",
                "pair": f"t{number:05}-{place:05}", "presentation": shown, "clips": "[]", "guideline_version": 1,
                "opened_at": _time(end - timedelta(seconds=10 + place % 20)), "expires_at": _time(end),
                "closed_at": _time(end), "last_report": 0, "judgement": f"j{number:05}-{place:05}-{vote}",
                "right": place % 3 > 0 if gold else None,
            }  # fmt: skip


def _person(place: int, vote: int) -> str:
    return f"p{(place + 150 * vote) % 300:03}"


def _time(at: datetime) -> str:
    """As SQLite keeps it."""
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"


def _votes(
    ws: Workspace,
    number: int,
    ids: list[str],
    quality: np.ndarray,
    firsts: np.ndarray,
    rng: np.random.Generator,
) -> Iterator[dict[str, Any]]:
    heard = quality[firsts] - quality[firsts + 1]
    for place, first in enumerate(firsts):
        items = [ids[first], ids[first + 1]]
        for vote in range(VOTES):
            said = int(np.clip(round(heard[place] + rng.normal()), -3, 3))
            answer = (
                {"kind": "comparison", "comparison": said}
                if said
                else {"kind": "tie", "tie": "both_good"}
            )
            name = f"j{number:05}-{place:05}-{vote}"
            yield {
                "id": name, "project": ws.project, "task": f"t{number:05}-{place:05}", "judge_kind": "human",
                "judge": f"human:{_person(place, vote)}", "answer": json.dumps(answer),
                "presentation": json.dumps(items if (place + vote) % 2 else items[::-1]), "idempotency_key": name,
                "created_at": _time(NOW + timedelta(hours=number, seconds=place)),
                "reasons": "[]",
                "spans": "[]", "heard_s": "{}", "taken_s": 10.0 + place % 20, "purpose": "judge", "gains_db": "{}",
            }  # fmt: skip
