"""Judgements and rollouts for the benches of the store: as many as wanted, the same each time."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trivox.platform.records import (
    SCHEMA_VERSION,
    Branch,
    Campaign,
    Judgement,
    Rollout,
    Task,
    TaskKind,
)
from trivox.platform.store import Workspace
from trivox.platform.store.columns import schema_of
from trivox.platform.store.config import WorkspaceConfig
from trivox.platform.store.parquet import ROLLOUT

START = datetime(2030, 1, 1, tzinfo=UTC)
TASKS = 10_000
ROUNDS = 20
PRODUCERS = 8


def with_tasks(root: Path, config: WorkspaceConfig | None = None) -> Workspace:
    """A workspace with a campaign of TASKS comparisons."""
    ws = Workspace.create(root, config)
    ws.records.add(Campaign("ca", ws.project, "bench", Branch.TTS, "listen", 1, ("en",), 1, START))
    ws.records.add(
        *(
            Task(
                f"ta_{n:05}",
                ws.project,
                "ca",
                TaskKind.COMPARE,
                f"pr_{n:05}",
                _pair(n),
                "q@1",
                "en",
                1,
            )
            for n in range(TASKS)
        )
    )
    return ws


def judgements(rows: int, size: int, first: int = 0) -> Iterator[pa.RecordBatch]:
    """Comparisons with random answers and hashed ids, size at a time."""
    for begin in range(first, first + rows, size):
        yield _judgements(begin, min(begin + size, first + rows))


def _judgements(begin: int, end: int) -> pa.RecordBatch:
    numbers, rng = range(begin, end), np.random.default_rng(begin)
    count = end - begin
    pairs = [_pair(n % TASKS) for n in numbers]
    listened = np.round(rng.uniform(0.5, 9, (count, 2)), 3).tolist()
    values: dict[str, Any] = dict.fromkeys(schema_of(Judgement).names)
    values |= {
        "id": [_hashed("ju", n) for n in numbers],
        "project": ["default"] * count,
        "task": [f"ta_{n % TASKS:05}" for n in numbers],
        "judge_kind": ["human"] * count,
        "judge": [f"pe_{n % 50}" for n in numbers],
        "answer": [_answer(int(one)) for one in rng.choice([-3, -2, -1, 1, 2, 3], count)],
        "presentation": [json.dumps(pair) for pair in pairs],
        "idempotency_key": [_hashed("key", n) for n in numbers],
        "created_at": (np.datetime64("2030-01-01", "us") + np.arange(begin, end) * 1_000_000),
        "heard_s": [
            json.dumps(dict(zip(p, s, strict=True))) for p, s in zip(pairs, listened, strict=True)
        ],
        "taken_s": rng.uniform(2, 40, count).tolist(),
        "guideline_version": [1] * count,
        "purpose": ["judge"] * count,
    }
    values |= {name: ["[]"] * count for name in ("reasons", "spans")} | {"gains_db": ["{}"] * count}
    schema = schema_of(Judgement)
    nothing = [None] * count
    arrays = [
        pa.array(nothing if values[f.name] is None else values[f.name], f.type) for f in schema
    ]
    return pa.record_batch(arrays, schema=schema)


def rollouts(begin: int, end: int, round_: str) -> pa.Table:
    """Short rollouts of one round, in the layout of the store."""
    numbers, rng = range(begin, end), np.random.default_rng(begin)
    count = end - begin
    sampling = {"temperature": 0.8, "top_k": 0, "top_p": 1.0, "max_tokens": 64}
    values: dict[str, Any] = {
        "id": [_hashed("ro", n) for n in numbers],
        "project": ["default"] * count,
        "round": [round_] * count,
        "branch": [Branch.TTS.value] * count,
        "prompt": [f"pr_{n % TASKS:05}" for n in numbers],
        "producer": [f"po_{n}" for n in rng.integers(0, PRODUCERS, count)],
        "seed": rng.integers(0, 2**62, count),
        "index": [n % 8 for n in numbers],
        "sampling": [sampling] * count,
        "engine": ["local"] * count,
        "dtype": ["float32"] * count,
        "tokens": [[n % 97, n % 89, 2] for n in numbers],
        "logprobs": [[-0.5, -0.25, -0.125]] * count,
        "finish_reason": rng.choice(["end", "length"], count).tolist(),
    }
    for field in ROLLOUT:
        if field.name not in values:
            empty: list[str] | None = [] if pa.types.is_list(field.type) else None
            values[field.name] = [empty] * count
    arrays = [pa.array(values[field.name], field.type) for field in ROLLOUT]
    about = {"schema_version": str(SCHEMA_VERSION), "kind": Rollout.__name__}
    return pa.Table.from_arrays(arrays, schema=ROLLOUT.with_metadata(about))


def _pair(number: int) -> tuple[str, str]:
    return f"ro_{number:05}_0", f"ro_{number:05}_1"


def _hashed(prefix: str, number: int) -> str:
    return f"{prefix}_{hashlib.sha256(f'{prefix}{number}'.encode()).hexdigest()[:24]}"


def _answer(strength: int) -> str:
    empty = dict.fromkeys(("tie", "ratings", "ranking", "check", "transcript", "abstention"))
    return json.dumps({"kind": "comparison", "comparison": strength} | empty)
