"""What people and programs do with rounds: the one service behind command line, dashboard and worker."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.production import check_speakable
from trivox.platform.errors import ConfigError, NotFound, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    PromptSet,
    Round,
    RoundStatus,
    Split,
    Stage,
    StageRun,
)
from trivox.platform.registry import resolve
from trivox.platform.store import Workspace

ENDED = (RoundStatus.DONE, RoundStatus.CANCELLED)


def enqueue(ws: Workspace, config: RoundConfig) -> Round:
    """The round of this configuration, queued unless it is there already: its id follows from what it is.

    Raises NotFound for a policy or prompt set that is not there, UnspeakableText for prompts that the policy
    cannot say: before anything is written.
    """
    round_ = _new(ws, config)
    existing = ws.records.find(Round, id=round_.id)
    if existing:
        return existing[0]
    ctx = RoundContext.of(ws, round_)
    for split in (Split.TRAIN, Split.TEST):
        check_speakable(ctx, ctx.split(split))
    ws.records.add(round_)
    return round_


def start(ws: Workspace, config: RoundConfig) -> Round:
    """The round of this configuration, ready to be worked on: one that failed is queued again."""
    round_ = enqueue(ws, config)
    return retry(ws, round_) if round_.status is RoundStatus.FAILED else round_


def find_round(ws: Workspace, name: str) -> Round:
    """By id, by a unique beginning or end of an id, or "last"; raises NotFound, or UsageError for several."""
    rounds = ws.records.find(Round, project=ws.project)
    if name == "last" and rounds:
        return rounds[-1]
    found = [one for one in rounds if one.id.startswith(name) or one.id.endswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"round {name!r} may be {', '.join(one.id for one in found)}: give more of it"
        )
    known = ", ".join(one.id for one in rounds[-5:]) or "none yet"
    raise NotFound(f"round {name!r} is not there; the last ones: {known}")


def retry(ws: Workspace, round_: Round) -> Round:
    """Queue a failed round again: finished stages stay. Raises UsageError for a round that has not failed."""
    with ws.records.transaction():
        current = ws.records.get(Round, round_.id)
        if current.status is not RoundStatus.FAILED:
            raise UsageError(
                f"round {current.id} is {current.status.value}: only a failed one is tried again"
            )
        return _changed(ws, current, status=RoundStatus.QUEUED, error=None)


def cancel(ws: Workspace, round_: Round) -> Round:
    """End a round for good; what it made stays. Raises UsageError for one that has ended or is running."""
    with ws.records.transaction():
        current = ws.records.get(Round, round_.id)
        if current.status in (*ENDED, RoundStatus.RUNNING):
            raise UsageError(
                f"round {current.id} is {current.status.value}: it cannot be cancelled"
            )
        return _changed(ws, current, status=RoundStatus.CANCELLED)


def manifests(ws: Workspace, round_: Round) -> dict[Stage, StageRun]:
    """The finished stages of a round, in the order in which they ran."""
    return {one.stage: one for one in ws.records.find(StageRun, round=round_.id)}


def _changed(ws: Workspace, round_: Round, **changes: Any) -> Round:
    changed = replace(round_, updated_at=datetime.now(UTC), **changes)
    ws.records.replace(changed)
    return changed


def _new(ws: Workspace, config: RoundConfig) -> Round:
    policy = resolve(ws, config.policy)
    if policy.branch not in (None, config.branch):
        raise ConfigError(
            f"policy {policy.name} is of branch {policy.branch}, the round of {config.branch.value}"
        )
    prompts = find_prompt_set(ws, config.prompts)
    resolved = config.model_copy(update={"policy": policy.id, "prompts": prompts.id})
    stored = resolved.model_dump(mode="json")
    now = datetime.now(UTC)
    return Round(
        id=derived_id("round", ws.project, stored),
        project=ws.project,
        branch=config.branch,
        algorithm=config.algorithm,
        policy=policy.id,
        prompt_set=prompts.id,
        config=stored,
        seed=config.seed,
        stage=Stage.ROLLOUT,
        status=RoundStatus.QUEUED,
        created_at=now,
        updated_at=now,
    )


def find_prompt_set(ws: Workspace, reference: str) -> PromptSet:
    """By id, by `name@version`, or the newest version of `name`; raises NotFound with what there is."""
    sets = ws.records.find(PromptSet, project=ws.project)
    found = [one for one in sets if reference in (one.id, one.name, one.reference)]
    if found:
        return max(found, key=lambda one: one.version)
    known = (
        ", ".join(one.reference for one in sets) or "none: import some with `trivox data import`"
    )
    raise NotFound(f"prompt set {reference!r} is not in this workspace; there is {known}")
