"""Groups of rows that belong together, and the split each group falls in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import Split

Key: TypeAlias = tuple[int, str]
"""(kind, value): rows that share a key share a group; a NAMED key gives the group its name."""
NAMED, TEXT, AUDIO = 0, 1, 2


@dataclass(frozen=True)
class SplitPlan:
    """How groups without a split of their own are divided.

    test_share, validation_share: of the groups, on average; at least one group where there are several.
    Raises ConfigError for shares outside 0..1 or above 1 together.
    """

    test_share: float = 0.1
    validation_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (self.test_share, self.validation_share)
        if not (all(0 <= share <= 1 for share in shares) and sum(shares) <= 1):
            raise ConfigError(
                f"test share {shares[0]:g} and validation share {shares[1]:g}: give shares of 0 to 1"
                " that are at most 1 together"
            )


def connected_groups(rows: Sequence[Sequence[Key]]) -> list[str]:
    """The group of each row: rows are in one when a chain of shared keys joins them."""
    parents: dict[Key, Key] = {}
    for keys in rows:
        for key in keys:
            first, second = _root(parents, keys[0]), _root(parents, key)
            # The smallest key is the root, so that names do not depend on the order of rows.
            parents[max(first, second)] = min(first, second)
    return [_name(_root(parents, keys[0])) for keys in rows]


def _root(parents: dict[Key, Key], key: Key) -> Key:
    parents.setdefault(key, key)
    while parents[key] != key:
        parents[key] = parents[parents[key]]
        key = parents[key]
    return key


def _name(root: Key) -> str:
    kind, value = root
    return value if kind == NAMED else derived_id("gr", kind, value)


def assign(groups: Sequence[str], wanted: Mapping[str, Split], plan: SplitPlan) -> dict[str, Split]:
    """The split of each group: the wanted one, else by a hash of seed and group.

    So a group stays where it is when others are added. A split with a share above 0 that came out empty
    takes one group from train, as long as train keeps one.
    """
    places = {group: _place(group, plan.seed) for group in groups}
    assigned = {group: wanted.get(group) or _by_place(places[group], plan) for group in places}
    free = sorted((g for g in places if g not in wanted), key=lambda g: (places[g], g))
    shares = {Split.TEST: plan.test_share, Split.VALIDATION: plan.validation_share}
    for split, share in shares.items():
        candidates = [g for g in free if assigned[g] == Split.TRAIN]
        if share > 0 and split not in assigned.values() and len(candidates) > 1:
            assigned[candidates[0]] = split
    held = [g for g in free if assigned[g] != Split.TRAIN]
    if sum(shares.values()) < 1 and Split.TRAIN not in assigned.values() and len(held) > 1:
        assigned[held[-1]] = Split.TRAIN
    return assigned


def _place(group: str, seed: int) -> float:
    """0..1, uniform over groups."""
    return derived_seed("split", seed, group) / 2**63


def _by_place(place: float, plan: SplitPlan) -> Split:
    if place < plan.test_share:
        return Split.TEST
    held_out = plan.test_share + plan.validation_share
    return Split.VALIDATION if place < held_out else Split.TRAIN
