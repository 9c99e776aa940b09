"""Which models were trained on something: found by the rounds, sets and decisions that name it."""

import json
from collections.abc import Iterable, Sequence

from trivox.platform.records import (
    Decision,
    PolicyVersion,
    PromptSet,
    RewardModelVersion,
    Round,
    StageRun,
)
from trivox.platform.store import Workspace


def models_of(
    ws: Workspace,
    prompt_sets: Sequence[PromptSet],
    preference_sets: Iterable[str],
    rounds: set[str],
    runs: set[str],
) -> tuple[str, ...]:
    """Ids of policies and reward models that learned from any of the sets or rounds, or from a model that did.
    runs: that answered the prompts in training, by the ids of the policies that they make."""
    sets = {name for one in prompt_sets for name in (one.id, one.reference)}
    preferred = set(preference_sets)
    used = rounds | _rounds_on(ws, sets | {one.name for one in prompt_sets}, preferred)
    policies = ws.records.find(PolicyVersion, project=ws.project)
    names = sets | preferred
    decided = {
        one.subject
        for one in ws.records.find(Decision, project=ws.project)
        if _names(one.evidence, names)
    }
    tainted = {one.id for one in policies if one.round in used or one.id in decided | runs}
    grown = True
    while grown:
        below = {one.id for one in policies if {*one.parents, one.backbone} & tainted} - tainted
        tainted |= below
        grown = bool(below)
    rewards = ws.records.find(RewardModelVersion, project=ws.project)
    judged = {one.id for one in rewards if preferred & set(one.preference_sets)}
    return (*sorted(tainted), *sorted(judged))


def _rounds_on(ws: Workspace, prompt_sets: set[str], preference_sets: set[str]) -> set[str]:
    rounds = {
        one.id
        for one in ws.records.find(Round, project=ws.project)
        if one.prompt_set in prompt_sets or one.prompt_set.partition("@")[0] in prompt_sets
    }
    stages = ws.records.find(StageRun, project=ws.project)
    return rounds | {one.round for one in stages if _names(one.inputs, preference_sets)}


def _names(value: object, names: set[str]) -> bool:
    """Whether one of the names stands anywhere in a JSON value as a text of its own, or before an `@`."""
    held = json.dumps(value, default=str)
    return any(f'"{name}"' in held or f'"{name}@' in held for name in names)
