"""Preference sets as pairs of tokens: what was said to which prompt, and which was better."""

from collections.abc import Sequence

from trivox.pipelines.updates.asking import Asker
from trivox.platform.errors import ConfigError
from trivox.platform.records import (
    Branch,
    Preference,
    PreferenceSet,
    Prompt,
    Rollout,
    Sampling,
)
from trivox.platform.store import Workspace
from trivox.policy.trainers.dpo import TokenPair


def find_preferences(ws: Workspace, ids: Sequence[str]) -> list[PreferenceSet]:
    """Raises NotFound, and ConfigError that names a set without a preference."""
    found = [ws.records.get(PreferenceSet, id_) for id_ in ids]
    for one in found:
        if not one.preferences:
            dropped = ", ".join(f"{count} {why}" for why, count in one.dropped.items()) or "nothing"
            raise ConfigError(
                f"preference set {one.id} is empty (dropped: {dropped}): label more comparisons or lower the "
                "margin"
            )
    return found


def token_pairs(asker: Asker, sets: Sequence[PreferenceSet], branch: Branch) -> list[TokenPair]:
    """The preferences in order, with their margins, and their confidence as weight.

    Raises ConfigError, naming set and preference, for a rollout that is not there or has no tokens, for one of
    another branch, and for two answers of the same tokens.
    """
    said = _rollouts(asker.ws, sets)
    asked: dict[str, tuple[list[int], tuple[object, ...]]] = {}
    pairs = []
    for one, preference in _each(sets):
        chosen, rejected = (
            _checked(said.get(rollout), rollout, one, preference, branch)
            for rollout in (preference.chosen, preference.rejected)
        )
        if chosen.tokens == rejected.tokens:
            raise ConfigError(
                f"preference {preference.id} of set {one.id}: chosen {chosen.id} and rejected {rejected.id} "
                "have the "
                "same tokens: leave it out"
            )
        if chosen.prompt not in asked:
            made = asker.request(asker.ws.records.get(Prompt, chosen.prompt), Sampling())
            asked[chosen.prompt] = made.prompt, made.audio
        prompt, audio = asked[chosen.prompt]
        pairs.append(
            TokenPair(
                prompt,
                list(chosen.tokens),
                list(rejected.tokens),
                preference.margin,
                preference.confidence,
                audio,  # type: ignore[arg-type]
            )
        )
    return pairs


def _each(sets: Sequence[PreferenceSet]) -> list[tuple[PreferenceSet, Preference]]:
    return [(one, preference) for one in sets for preference in one.preferences]


def _rollouts(ws: Workspace, sets: Sequence[PreferenceSet]) -> dict[str, Rollout]:
    rounds = dict.fromkeys(one.round for one in sets)
    found = [rollout for round_ in rounds for rollout in ws.tables.read(Rollout, round=round_)]
    wanted = {
        id_ for one in sets for each in one.preferences for id_ in (each.chosen, each.rejected)
    }
    return {rollout.id: rollout for rollout in found if rollout.id in wanted}


def _checked(
    rollout: Rollout | None, id_: str, of: PreferenceSet, preference: Preference, branch: Branch
) -> Rollout:
    where = f"preference {preference.id} of set {of.id}: rollout {id_}"
    if rollout is None:
        raise ConfigError(f"{where} is not in the workspace: import it, or leave the set out")
    if rollout.branch is not branch:
        raise ConfigError(
            f"{where} is of branch {rollout.branch.value} and {branch.value} is trained: name another set"
        )
    if not rollout.tokens:
        raise ConfigError(
            f"{where} has no tokens, it is of {rollout.producer}: train on rollouts of a policy"
        )
    return rollout
