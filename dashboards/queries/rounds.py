"""Rounds for researchers: how far each is, what its training's steps were like, how two differ, what watchers
said."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from trivox.annotation.waiting import waiting_tasks
from trivox.dashboards.queries.figures import Figure, View
from trivox.dashboards.queries.names import damage_notes
from trivox.dashboards.queries.source import Source
from trivox.pipelines.rounds.finding import manifests
from trivox.platform.records import (
    AuditEntry,
    Decision,
    PolicyVersion,
    Round,
    RoundStatus,
    Stage,
    StageRun,
)
from trivox.platform.store.metrics import Metrics
from trivox.platform.store.schema import table_of

POINTS = 400
"""Steps of one line that are drawn; more are thinned evenly."""
LAST = 4
STAGES = {
    "stage": pl.String, "state": pl.String, "started": pl.String, "seconds": pl.Float64, "done": pl.Int64,
    "of": pl.Int64, "made": pl.String,
}  # fmt: skip
EVENTS = {"at": pl.String, "who": pl.String, "what": pl.String}
CURVES = {"round": pl.String, "step": pl.Int64, "figure": pl.String, "value": pl.Float64}
WATCHED = {
    "round": pl.String, "watcher": pl.String, "said": pl.String, "mean": pl.Float64, "p05": pl.Float64,
    "p95": pl.Float64, "scores": pl.Int64, "failures": pl.Int64,
}  # fmt: skip
FIRST_FIGURES = ("reward", "kl", "entropy", "length", "loss", "learning_rate", "rewards/margins")
"""Shown before anybody picks others, where a run has them."""
MOVING = (RoundStatus.QUEUED, RoundStatus.RUNNING, RoundStatus.WAITING)


def rounds_of(source: Source, branch: str | None = None) -> list[Round]:
    """The newest first."""
    found = source.known("rounds", lambda: source.ws.records.find(Round, project=source.ws.project))
    return [one for one in reversed(found) if branch in (None, one.branch.value)]


def chosen_round(source: Source, branch: str | None, name: str | None) -> Round | None:
    """The round of that id; the newest of the branch for None or one that is not there."""
    every = rounds_of(source, branch)
    named = [one for one in every if one.id == name]
    found = named or every
    return found[0] if found else None


def rounds(source: Source, branch: str | None = None, round_: str | None = None) -> View:
    """One round, and the last ones' curves beside it."""
    one = chosen_round(source, branch, round_)
    if one is None:
        return View(tables={"stages": pl.DataFrame(schema=STAGES)}, notes=damage_notes(source))
    return source.known(("round", branch, one.id), lambda: _view(source, branch, one))


def _view(source: Source, branch: str | None, one: Round) -> View:
    compared = [one.id, *(other.id for other in rounds_of(source, branch) if other.id != one.id)]
    shown = tuple(compared[:LAST])
    return View(
        {
            "waiting": Figure("Comparisons that wait", _waiting(source, one), note=one.status.value),
            "seconds": Figure("Time so far", _seconds(source, one), "s", note="in finished stages"),
            "rollouts": Figure("Rollouts stored", _stored(source, one.id)),
        },
        {
            "stages": _stages(source, one),
            "events": _events(source, one),
            "curves": curves(source, shown),
            "watchers": _watchers(source, shown),
            "made": _made_versions(source, one),
        },
        damage_notes(source),
    )  # fmt: skip


def _waiting(source: Source, one: Round) -> int:
    return len(waiting_tasks(source.ws, one.id)) if one.status is RoundStatus.WAITING else 0


def _seconds(source: Source, one: Round) -> float:
    runs = manifests(source.ws, one).values()
    return float(sum((run.finished_at - run.started_at).total_seconds() for run in runs))


def _stored(source: Source, round_: str) -> int:
    return int(source.rollups.rollouts.table.filter(pl.col("round") == round_)["rollouts"].sum())


def _stages(source: Source, one: Round) -> pl.DataFrame:
    """As RoundService.status tells them, without loading what a round works with."""
    runs, wanted, rows = manifests(source.ws, one), _wanted(one), []
    trains = one.config.get("train_reward") is not None or Stage.TRAIN_REWARD in runs
    for stage in [each for each in Stage if trains or each is not Stage.TRAIN_REWARD]:
        run = runs.get(stage)
        state = "done" if run else one.status.value if stage is one.stage else "pending"
        done, of = _progress(source, one, stage.value, wanted)
        began = f"{run.started_at:%m-%d %H:%M:%S}" if run else ""
        seconds = (run.finished_at - run.started_at).total_seconds() if run else None
        rows.append((stage.value, state, began, seconds, done, of, _told(run)))
    return pl.DataFrame(rows, schema=STAGES, orient="row")


def _told(run: StageRun | None) -> str:
    """What a stage made, in counts."""
    outputs = run.outputs if run else {}
    told = [
        f"{name} {len(value) if isinstance(value, list) else value}"
        for name, value in outputs.items()
        if isinstance(value, str | int | float | list)
    ]
    return ", ".join(told)[:300]


def _wanted(one: Round) -> dict[str, int]:
    """Pieces of work that the configuration asks for; {} where this version does not know it."""
    config = one.config
    try:
        prompts, candidates = config["rollout"]["prompts"], config["rollout"]["candidates"]
        scorers = len(config["score"]["rewards"]) + len(config["score"]["gates"])
        composed = config["score"].get("composition") is not None
    except (KeyError, TypeError):
        return {}
    wanted = {"rollout": prompts * candidates, "score": prompts * candidates * scorers}
    # A composition brings gates and scorers of its own; it is not read here, and no total is told.
    return {"rollout": wanted["rollout"]} if composed else wanted


def _progress(
    source: Source, one: Round, stage: str, wanted: dict[str, int]
) -> tuple[int | None, int | None]:
    """Pieces stored and asked for, of stages whose pieces are counted."""
    if stage == Stage.ROLLOUT.value:
        made = source.rollups.rollouts.table.filter(
            pl.col("round") == one.id, pl.col("producer") == one.policy
        )
        of = wanted.get(stage)
        stored = int(made["rollouts"].sum())
        return (stored if of is None else min(stored, of)), of
    if stage == Stage.SCORE.value:
        said = source.rollups.scores.table.filter(
            pl.col("round") == one.id, pl.col("role").is_in(["reward", "gate"])
        )
        return int(said["scores"].sum()), wanted.get(stage)
    if stage == Stage.LABEL.value:
        return _labelled(source, one.id)
    return None, None


def _labelled(source: Source, round_: str) -> tuple[int | None, int | None]:
    """Answers and answers wanted, of the round's questions."""
    from trivox.platform.records import Task

    task = table_of(Task).c
    query = sa.select(sa.func.sum(task.overlap)).where(
        task.round == round_, task.project == source.ws.project
    )
    with source.ws.records.statements(write=False) as connection:
        wanted = connection.scalar(query)
    if not wanted:
        return None, None
    given = source.rollups.days.table.filter(pl.col("round") == round_)["counted"].sum()
    return int(given), int(wanted)


def _events(source: Source, one: Round) -> pl.DataFrame:
    """The round's log: finished stages, what people said to it, decisions on what it made; the newest first."""
    rows = [(one.created_at, "", "the round was made")]
    if one.error:
        rows.append((one.updated_at, one.worker or "", f"error: {one.error}"))
    for run in source.ws.records.find(StageRun, round=one.id):
        took = (run.finished_at - run.started_at).total_seconds()
        rows.append(
            (
                run.finished_at,
                f"Trivox {run.code_version}",
                f"{run.stage.value} finished after {took:.1f} s",
            )
        )
    for entry in source.ws.records.find(
        AuditEntry, project=source.ws.project, kind="Round", object=one.id
    ):
        rows.append((entry.created_at, entry.actor, entry.action))
    for policy in source.ws.records.find(PolicyVersion, round=one.id):
        for made in source.ws.records.find(Decision, subject=policy.id):
            rows.append(
                (made.created_at, made.actor, f"{made.kind} of {policy.name}: {made.reason}")
            )
    told = [(f"{at:%Y-%m-%d %H:%M:%S}", who, what) for at, who, what in sorted(rows, reverse=True)]
    return pl.DataFrame(told, schema=EVENTS, orient="row")


def curves(source: Source, rounds: Sequence[str]) -> pl.DataFrame:
    """CURVES: the figures of every step of the rounds' training."""
    key = ("curves", tuple(rounds))
    return source.known(key, lambda: _curves(source, rounds))


def _curves(source: Source, rounds: Sequence[str]) -> pl.DataFrame:
    rows = [row for round_ in rounds for row in _steps(source, round_)]
    return pl.DataFrame(rows, schema=CURVES, orient="row")


def _steps(source: Source, round_: str) -> Iterator[tuple[str, int, str, float]]:
    """As written by the run while it trains, else from the manifest of its stage."""
    versions = source.ws.records.find(PolicyVersion, round=round_)
    steps = [step for one in versions for step in Metrics.of(source.ws).read(one.id)]
    if not steps:
        runs = source.ws.records.find(StageRun, round=round_, stage=Stage.TRAIN)
        steps = [step for run in runs for step in run.outputs.get("metrics", [])]
    every = max(1, -(-len(steps) // POINTS))
    for place, step in enumerate(steps):
        if place % every:
            continue
        number = int(step.get("step", place))
        for name, value in step.items():
            if name not in ("step", "epoch") and isinstance(value, int | float):
                yield round_, number, name, float(value)


def _watchers(source: Source, rounds: Sequence[str]) -> pl.DataFrame:
    """Scores with the role of a watcher or a gate, and runs that a watcher stopped."""
    rows: list[tuple[Any, ...]] = []
    scores = source.rollups.scores.table.filter(
        pl.col("round").is_in(list(rounds)), pl.col("role").is_in(["watcher", "gate"])
    )
    keys = ["round", "scorer", "role"]
    for (round_, scorer, role), found in scores.group_by(keys, maintain_order=True):
        told = found.filter(pl.col("failure").is_null()).to_dicts()
        failed = int(found.filter(pl.col("failure").is_not_null())["scores"].sum())
        one = told[0] if told else dict.fromkeys(("mean", "p05", "p95")) | {"scores": 0, "zeros": 0}
        said = f"{one['zeros']} did not pass" if role == "gate" else "watched"
        rows.append(
            (round_, scorer, said, one["mean"], one["p05"], one["p95"], one["scores"], failed)
        )
    for round_ in rounds:
        rows += _stops(source, round_)
    return pl.DataFrame(rows, schema=WATCHED, orient="row").sort("round", "watcher")


def _stops(source: Source, round_: str) -> Iterator[tuple[Any, ...]]:
    for policy in source.ws.records.find(PolicyVersion, round=round_):
        for made in source.ws.records.find(Decision, subject=policy.id, kind="stopped"):
            name = str(made.evidence.get("figure", made.actor))
            yield round_, name, f"stopped the run: {made.reason}", None, None, None, 0, 0


def _made_versions(source: Source, one: Round) -> pl.DataFrame:
    schema = {"version": pl.String, "status": pl.String, "id": pl.String}
    found = source.ws.records.find(PolicyVersion, round=one.id)
    rows = [(made.name, made.status.value, made.id) for made in found]
    return pl.DataFrame(rows, schema=schema, orient="row")


def difference(source: Source, one: str, other: str) -> View:
    """How two rounds were configured differently, and how what they made differs."""
    return source.known(("difference", one, other), lambda: _difference(source, one, other))


def _difference(source: Source, one: str, other: str) -> View:
    from trivox.pipelines.rounds.service import RoundService

    found = RoundService(source.ws).diff(one, other)
    schema = {"key": pl.String, "one": pl.String, "other": pl.String}
    tables = {}
    for name, pairs in (("config", found.config), ("made", found.made)):
        rows = [(key, str(mine), str(theirs)) for key, (mine, theirs) in pairs.items()]
        tables[name] = pl.DataFrame(rows, schema=schema, orient="row")
    return View(tables=tables)
