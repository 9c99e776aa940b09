"""Blows against a round at work, by real signals to real processes, and what a round must be afterwards."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from trivox.bench.servers import Postgres
from trivox.platform.records import (
    Judgement,
    PolicyVersion,
    PreferenceSet,
    Rollout,
    Round,
    RoundStatus,
    Score,
    Stage,
    Task,
)
from trivox.platform.store import Workspace

CONFIG = """
[rollout]
prompts = 3
candidates = 2
slots = 2
workers = 2
max_tokens = 96
[score]
rewards = ["whisper-tiny-wer"]
gates = ["duration", "silence", "end"]
workers = 2
unit = 2
[label]
judges = "simulated"
[aggregate]
min_margin = 0.0
min_confidence = 0.5
[train]
epochs = 1
batch_size = 2
[evaluate]
prompts = 2
"""
"""Judges are simulated, and labelled so: what is tried here is that nothing of them is lost."""

POOLED = (Stage.ROLLOUT, Stage.SCORE, Stage.EVALUATE)
ANY = (*POOLED, Stage.COMPARE, Stage.TRAIN)
BLOWS: dict[str, tuple[Stage, ...]] = {
    "driver": ANY,
    "rollout worker": (Stage.ROLLOUT, Stage.EVALUATE),
    "scoring worker": (Stage.SCORE, Stage.EVALUATE),
    "database connection": ANY,
    "disk": ANY,
    "node": POOLED,
}
"""What is struck -> the stages in which it is."""
FULL_AT = 64
"""Bytes that a file may have when the disk is full."""
TRIES = 6
PATIENCE_S = 600.0


@dataclass
class Strike:
    """One blow at a random point of a round; fell: what was struck, empty while nothing was."""

    seed: int
    fell: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return list(BLOWS)[self.seed % len(BLOWS)]

    @property
    def stage(self) -> Stage:
        return Random(self.seed).choice(BLOWS[self.kind])

    @property
    def delay_s(self) -> float:
        return Random(self.seed + 1000).uniform(0.0, 1.0)


@dataclass(frozen=True)
class Ground:
    """Where rounds are struck: the three-node cluster, with a way to lose a node, and the database server."""

    address: str
    lose_node: Callable[[], str]
    database: Postgres | None


def driver(root: Path, config: Path, ground: Ground) -> "subprocess.Popen[bytes]":
    """A process that works on the round, as a person starts it."""
    arguments = ["round", "run", "--config", str(config), "--workspace", str(root), "--no-serve"]
    environment = os.environ | {"RAY_ADDRESS": ground.address}
    with (root.parent / f"{root.name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "trivox.cli", *arguments],
            stdout=log,
            stderr=log,
            env=environment,
        )


def played(root: Path, config: Path, ground: Ground, strike: Strike | None) -> dict[str, Any]:
    """The round worked on by one driver after the other until it is done, struck once; what it is then."""
    for _ in range(TRIES):
        running = driver(root, config, ground)
        try:
            if strike is not None and not strike.fell:
                _struck(root, running, ground, strike)
            running.wait(PATIENCE_S)
        finally:
            running.kill()
            running.wait()
        with Workspace.open(root) as ws:
            (round_,) = ws.records.find(Round) or [None]
            if round_ is not None and round_.status is RoundStatus.DONE:
                return fingerprint(ws, round_)
    told = (root.parent / f"{root.name}.log").read_text(errors="replace")[-3000:]
    raise AssertionError(f"not done after {TRIES} drivers: {strike}\n{told}")


def _struck(root: Path, running: "subprocess.Popen[bytes]", ground: Ground, strike: Strike) -> None:
    """Wait for the stage, then for some more, then strike; not at all when the round ended before."""
    with Workspace.open(root) as ws:
        while running.poll() is None and not _at(ws, strike.stage):
            time.sleep(0.02)
        time.sleep(strike.delay_s)
        while running.poll() is None and not strike.fell:
            what = _strike(ws, running.pid, ground, strike.kind)
            strike.fell += [what] if what else []
            time.sleep(0.05)


def _at(ws: Workspace, stage: Stage) -> bool:
    order = list(Stage)
    found = ws.records.find(Round)
    return bool(found) and order.index(found[0].stage) >= order.index(stage)


def _strike(ws: Workspace, pid: int, ground: Ground, kind: str) -> str | None:
    if kind == "driver":
        os.kill(pid, signal.SIGKILL)
        return f"driver {pid}"
    if kind == "node":
        return ground.lose_node()
    if kind == "disk":
        # Every write of the driver that would make a file longer fails from now on, as on a disk that is full.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_AT, FULL_AT))
        return "disk full"
    if kind == "database connection":
        return _cut(ws, ground)
    actor = next(iter(actors()), None)
    if actor is None:
        return None
    os.kill(actor, signal.SIGKILL)
    return f"{kind} {actor}"


def _cut(ws: Workspace, ground: Ground) -> str:
    """End every session of the round's database but our own."""
    assert ground.database is not None
    with ws.records.statements(write=False) as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
    return "connections"


def actors() -> list[int]:
    """Processes that are actors of a pool."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"ray::_Host"):
            found.append(int(folder.name))
    return sorted(found)


def fingerprint(ws: Workspace, round_: Round) -> dict[str, Any]:
    """Everything that a round made, by id. Raises AssertionError for what is there twice."""
    rollouts = ws.tables.read(Rollout, round=round_.id)
    scores = ws.tables.read(Score, round=round_.id)
    tasks = ws.records.find(Task, round=round_.id)
    judgements = ws.records.find(Judgement)
    for made in (rollouts, scores, tasks, judgements):
        ids = [one.id for one in made]
        assert len(ids) == len(set(ids)), f"{type(made[0]).__name__}s are there twice"
    for one in rollouts:
        assert one.audio is None or len(ws.audio.read(one.audio)[0])  # read and verified
    return {
        "round": round_.id,
        "rollouts": {one.id: (one.tokens, one.logprobs, one.audio, one.seed) for one in rollouts},
        "scores": {one.id: (one.value, one.failure) for one in scores},
        "tasks": {one.id: one.items for one in tasks},
        "judgements": {one.id: (one.task, one.judge_kind, one.answer) for one in judgements},
        "preferences": ws.records.find(PreferenceSet, round=round_.id),
        "weights": [one.artefact_hash for one in ws.records.find(PolicyVersion, round=round_.id)],
    }


def fresh(template: Path, root: Path) -> Path:
    """A workspace of one's own, on SQLite."""
    shutil.copytree(template, root)
    return root
