"""Blows against a round at work, by real signals to real processes, and what a round must be afterwards."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

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
prompts = 2
candidates = 3
slots = 2
workers = 2
max_tokens = 64
[score]
rewards = ["whisper-tiny-wer"]
gates = ["silence"]
workers = 2
unit = 2
[label]
judges = "simulated"
mos_weight = 0.0
[aggregate]
min_margin = 0.0
min_confidence = 0.5
[train]
epochs = 1
batch_size = 2
[evaluate]
prompts = 2
evaluators = ["pocketsphinx-wer"]
"""
"""Judges are simulated, and labelled so: what is tried here is that nothing of them is lost."""

Point = tuple[Stage, int]
"""A stage, and how many parts (batches of rollouts or scores) the round has stored: at that point it is struck."""
SPEAKING: tuple[Point, ...] = (
    (Stage.ROLLOUT, 0),
    (Stage.ROLLOUT, 1),
    (Stage.EVALUATE, 5),
)
"""While rollout workers live, or will again: behind the first part of the evaluation they may be gone for good."""
SCORING: tuple[Point, ...] = ((Stage.SCORE, 2), (Stage.SCORE, 3), (Stage.EVALUATE, 7))
BETWEEN: tuple[Point, ...] = ((Stage.COMPARE, 5), (Stage.LABEL, 5), (Stage.TRAIN, 5))
ANY = (*SPEAKING, (Stage.EVALUATE, 6), *SCORING, *BETWEEN)
BLOWS: dict[str, tuple[Point, ...]] = {
    "driver": ANY,
    "rollout worker": SPEAKING,
    "scoring worker": SCORING,
    "database connection": ANY,
    "disk": ANY,
    "node": (*SPEAKING, *SCORING),
}
"""What is struck -> the points of a round at which it is."""
PARTS = 9
"""Of a whole round: 2 of rollouts, 3 of their scores, 2 of the evaluation's rollouts, 2 of their scores."""
WORKERS = {"rollout worker": "RolloutWorker", "scoring worker": "ScoringWorker"}
FULL_AT = 64
"""Bytes that a file may have when the disk is full."""
TRIES = 6
PATIENCE_S = 900.0


@dataclass
class Strike:
    """One blow at a random point of a round; fell: what was struck, empty while nothing was. drivers: how many
    processes worked on the round until it was done."""

    seed: int
    fell: list[str] = field(default_factory=list)
    drivers: int = 0

    @property
    def kind(self) -> str:
        return list(BLOWS)[self.seed % len(BLOWS)]

    @property
    def point(self) -> Point:
        return Random(f"point {self.seed}").choice(BLOWS[self.kind])

    @property
    def delay_s(self) -> float:
        return Random(f"delay {self.seed}").uniform(0.0, 1.0)

    def told(self) -> str:
        stage, parts = self.point
        where = f"{stage.value}, {parts} of {PARTS} parts, + {self.delay_s:.2f} s"
        return f"seed {self.seed}: {', '.join(self.fell)} ({where}); drivers {self.drivers}"


@dataclass(frozen=True)
class Actor:
    """A living worker of a pool."""

    kind: str
    pid: int
    node: str


@dataclass(frozen=True)
class Ground:
    """Where rounds are struck. actors: of the driver with that process id; lose_node: that node is gone from now
    on, False where it cannot be."""

    address: str
    actors: Callable[[int], list[Actor]]
    lose_node: Callable[[str], bool]


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
    for number in range(1, TRIES + 1):
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
                if strike is not None:
                    strike.drivers = number
                return fingerprint(ws, round_)
    told = (root.parent / f"{root.name}.log").read_text(errors="replace")[-3000:]
    raise AssertionError(f"not done after {TRIES} drivers: {strike}\n{told}")


def _struck(root: Path, running: "subprocess.Popen[bytes]", ground: Ground, strike: Strike) -> None:
    """Wait for the point, then for some more, then strike; not at all when the round ended before."""
    with Workspace.open(root) as ws:
        while running.poll() is None and not _at(ws, strike.point):
            time.sleep(0.02)
        time.sleep(strike.delay_s)
        while running.poll() is None and not strike.fell:
            what = _strike(ws, running.pid, ground, strike.kind)
            strike.fell += [what] if what else []
            time.sleep(0.05)


def _at(ws: Workspace, point: Point) -> bool:
    order = list(Stage)
    found = ws.records.find(Round)
    if not found or order.index(found[0].stage) < order.index(point[0]):
        return False
    return len(list(ws.root.rglob("*.parquet"))) >= point[1]


def _strike(ws: Workspace, pid: int, ground: Ground, kind: str) -> str | None:
    """What was struck; None where there is nothing yet."""
    if kind == "driver":
        os.kill(pid, signal.SIGKILL)
        return "driver"
    if kind == "disk":
        # Every write of the driver that would make a file longer fails from now on, as on a disk that is full.
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FULL_AT, FULL_AT))
        return "disk full"
    if kind == "database connection":
        return _cut(ws)
    return _strike_actor(ground, pid, kind)


def _strike_actor(ground: Ground, pid: int, kind: str) -> str | None:
    """One of the round's workers, or the whole node that it is on."""
    for one in ground.actors(pid):
        if kind == "node" and ground.lose_node(one.node):
            return f"node of a {one.kind}"
        if one.kind == WORKERS.get(kind):
            with suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGKILL)
                return kind
    return None


def _cut(ws: Workspace) -> str:
    """End every session of the round's database but our own."""
    with ws.records.statements(write=False) as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
    return "database connections"


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
