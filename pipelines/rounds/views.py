"""Rounds as people look at them: what one would make, how far it is, how two differ, where all of it came from.

Plain frozen dataclasses of JSON values and times: command line, REST API and dashboard show the same.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from trivox.annotation.waiting import waiting_tasks
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.finding import manifests
from trivox.pipelines.rounds.order import stages_of
from trivox.pipelines.rounds.owner import is_dead
from trivox.pipelines.rounds.updating import recipe_of
from trivox.platform.records import (
    CostEntry,
    Decision,
    Evaluation,
    Judgement,
    PolicyVersion,
    PreferenceSet,
    PromptSet,
    Round,
    RoundStatus,
    Split,
    Stage,
    StageRun,
    Task,
)
from trivox.platform.registry import lineage
from trivox.platform.store import Workspace

SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Plan:
    """exists: the same round is there already. work: what its stages would make, at most, in pieces."""

    round: str
    exists: bool
    branch: str
    algorithm: str
    policy: str
    prompt_set: str
    seed: int
    judges: str
    stages: tuple[str, ...]
    work: dict[str, int]
    proxy_reason: str | None


@dataclass(frozen=True)
class StageState:
    """state: done, pending, or the round's own for the stage that it is at. seconds: how long it took. made: the
    counts and ids among its outputs; lists are told by their length."""

    stage: str
    state: str
    started_at: datetime | None = None
    seconds: float | None = None
    code_version: str | None = None
    made: dict[str, Any] | None = None


@dataclass(frozen=True)
class RoundState:
    """worker: who has it; alive: whether that process lives, None where that cannot be told from this machine.
    waiting: comparisons without an answer. costs: kind -> quantity by unit."""

    round: str
    status: str
    stage: str
    branch: str
    algorithm: str
    seed: int
    policy: str
    prompt_set: str
    loop: str | None
    worker: str | None
    alive: bool | None
    lease_until: datetime | None
    error: str | None
    code_version: str | None
    created_at: datetime
    updated_at: datetime
    waiting: int
    stages: tuple[StageState, ...]
    costs: dict[str, dict[str, float]]


@dataclass(frozen=True)
class RoundDiff:
    """config: key -> (one's, other's) value, where they differ; made: the same of what the stages made."""

    one: str
    other: str
    config: dict[str, tuple[Any, Any]]
    made: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Lineage:
    """policies: the version that the round began from, then its ancestors; rollouts: candidates that it made, None
    before it made any; judgements: by kind of judge; rounds: those that began from what this one published."""

    round: str
    loop: str | None
    policies: tuple[str, ...]
    prompt_set: str
    prompts: int
    rollouts: int | None
    judgements: dict[str, int]
    preference_sets: tuple[str, ...]
    candidates: tuple[str, ...]
    evaluations: tuple[str, ...]
    decisions: tuple[str, ...]
    code_versions: dict[str, str]
    rounds: tuple[str, ...]


def plan_of(ws: Workspace, round_: Round, exists: bool) -> Plan:
    ctx = RoundContext.of(ws, round_)
    config = ctx.config
    return Plan(
        round=round_.id,
        exists=exists,
        branch=round_.branch.value,
        algorithm=round_.algorithm,
        policy=ctx.policy.name,
        prompt_set=ctx.prompt_set.reference,
        seed=round_.seed,
        judges=config.label.judges,
        stages=tuple(stage.value for stage in stages_of(config)),
        work=_work(ctx),
        proxy_reason=config.proxy_reason(),
    )


def _work(ctx: RoundContext) -> dict[str, int]:
    config = ctx.config
    if config.by_rewards:
        settings = recipe_of(config).gradient
        each = settings.prompts * settings.samples
        return {"steps": settings.steps, "rollouts": settings.steps * each}
    prompts = min(config.rollout.prompts, len(ctx.prompt_set.prompts(Split.TRAIN)))
    held = min(config.evaluate.prompts, len(ctx.prompt_set.prompts(Split.TEST)))
    made = config.rollout.candidates
    pairs = min(config.compare.pairs_per_prompt, made * (made - 1) // 2)
    watching = len(config.evaluate.evaluators) + (config.evaluate.monitor is not None)
    return {
        "prompts": prompts,
        "rollouts": prompts * made,
        "scores": prompts
        * made
        * (len(config.score.scorers) + (config.score.composition is not None)),
        "comparisons": prompts * pairs,
        "judgements": prompts * pairs * config.compare.overlap,
        "held_out_prompts": held,
        "held_out_rollouts": 2 * held,
        "held_out_scores": 2 * held * watching,
    }


def state_of(ws: Workspace, round_: Round) -> RoundState:
    done = manifests(ws, round_)
    return RoundState(
        round=round_.id,
        status=round_.status.value,
        stage=round_.stage.value,
        branch=round_.branch.value,
        algorithm=round_.algorithm,
        seed=round_.seed,
        policy=ws.records.get(PolicyVersion, round_.policy).name,
        prompt_set=ws.records.get(PromptSet, round_.prompt_set).reference,
        loop=round_.loop,
        worker=round_.worker,
        alive=_alive(round_),
        lease_until=round_.lease_until,
        error=round_.error,
        code_version=round_.code_version,
        created_at=round_.created_at,
        updated_at=round_.updated_at,
        waiting=len(waiting_tasks(ws, round_.id)) if round_.status is RoundStatus.WAITING else 0,
        stages=tuple(_stage_states(round_, done)),
        costs=_costs(ws, round_),
    )


def _alive(round_: Round) -> bool | None:
    """False is certain; that it lives is only as certain as its lease."""
    if round_.worker is None:
        return None
    return False if is_dead(round_.worker) else None


def _stage_states(round_: Round, done: Mapping[Stage, StageRun]) -> list[StageState]:
    names = [*Stage] if Stage.TRAIN_REWARD in done else _stages(round_)
    states = []
    for stage in names:
        run = done.get(stage)
        if run is None:
            state = round_.status.value if stage is round_.stage else "pending"
            states.append(StageState(stage.value, state))
            continue
        seconds = (run.finished_at - run.started_at).total_seconds()
        states.append(
            StageState(
                stage.value, "done", run.started_at, seconds, run.code_version, _counts(run.outputs)
            )
        )
    return states


def _stages(round_: Round) -> list[Stage]:
    """Also of a round whose configuration this version does not know."""
    if round_.algorithm != "dpo":
        return [Stage.TRAIN, Stage.EVALUATE, Stage.PUBLISH]
    trains = round_.config.get("train_reward") is not None
    return [stage for stage in Stage if trains or stage is not Stage.TRAIN_REWARD]


def _counts(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: len(value) if isinstance(value, list) else value
        for name, value in outputs.items()
        if isinstance(value, (*SCALARS, list))
    }


def _costs(ws: Workspace, round_: Round) -> dict[str, dict[str, float]]:
    costs: dict[str, dict[str, float]] = {}
    for one in ws.records.find(CostEntry, round=round_.id):
        kind = costs.setdefault(one.kind, {})
        kind[one.unit] = kind.get(one.unit, 0.0) + one.quantity
    return costs


def difference(ws: Workspace, one: Round, other: Round) -> RoundDiff:
    sides = [flat(side.config) for side in (one, other)]
    made = [
        flat({s.value: _counts(run.outputs) | _results(run) for s, run in manifests(ws, r).items()})
        for r in (one, other)
    ]
    return RoundDiff(one.id, other.id, _unequal(*sides), _unequal(*made))


def _results(run: StageRun) -> dict[str, Any]:
    return {name: value for name, value in run.outputs.items() if isinstance(value, dict)}


def _unequal(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = [*one, *(name for name in other if name not in one)]
    both = {name: (one.get(name), other.get(name)) for name in names}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        inner = isinstance(value, Mapping)
        found |= flat(value, f"{prefix}{name}.") if inner else {prefix + name: value}
    return found


def lineage_of(ws: Workspace, round_: Round) -> Lineage:
    find, tasks = ws.records.find, {one.id for one in ws.records.find(Task, round=round_.id)}
    begun = ws.records.get(PolicyVersion, round_.policy)
    prompts = ws.records.get(PromptSet, round_.prompt_set)
    candidates = find(PolicyVersion, round=round_.id)
    made = {one.id for one in candidates}
    runs = manifests(ws, round_)
    judged = Counter(
        one.judge_kind.value for one in find(Judgement, project=ws.project) if one.task in tasks
    )
    return Lineage(
        round=round_.id,
        loop=round_.loop,
        policies=tuple(one.name for one in lineage(ws, begun)),
        prompt_set=prompts.reference,
        prompts=len({prompt.prompt for prompt in prompts.items}),
        rollouts=_counts(runs[Stage.ROLLOUT].outputs).get("rollouts")
        if Stage.ROLLOUT in runs
        else None,
        judgements=dict(judged),
        preference_sets=tuple(one.id for one in find(PreferenceSet, round=round_.id)),
        candidates=tuple(f"{one.name} ({one.status.value})" for one in candidates),
        evaluations=tuple(one.id for one in find(Evaluation, round=round_.id)),
        decisions=tuple(
            f"{one.kind}: {one.reason}" for c in candidates for one in find(Decision, subject=c.id)
        ),
        code_versions={stage.value: run.code_version for stage, run in runs.items()},
        rounds=tuple(one.id for one in find(Round, project=ws.project) if one.policy in made),
    )
