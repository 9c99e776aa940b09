"""Preferences as the reward model learns them, and the splits in which no prompt is twice."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import content_hash, derived_seed
from trivox.platform.records import Branch
from trivox.policy.backbone import Backbone
from trivox.policy.rows import Row
from trivox.policy.trainers.dpo import TokenPair
from trivox.policy.trainers.sft import fault_of

_DRAWS = 1 << 20


@dataclass(frozen=True)
class RewardPair:
    """tokens: both replies in tokens, with margin (1 to 3, 0 where nobody said) and weight, how sure the label is,
    above 0. group: pairs of one never fall in two splits: the prompt. tie: judged equal, and chosen and rejected
    are in any order."""

    id: str
    group: str
    branch: Branch
    tokens: TokenPair
    tie: bool = False

    @property
    def rows(self) -> tuple[Row, Row]:
        """Chosen, rejected."""
        chosen, rejected = (
            Row(self.tokens.prompt, side, [True] * len(side), self.tokens.audio)
            for side in (self.tokens.chosen, self.tokens.rejected)
        )
        return chosen, rejected


@dataclass(frozen=True)
class Splits:
    """What the weights, the temperature and the figures are made from: no group is in two of them."""

    train: list[RewardPair]
    calibration: list[RewardPair]
    test: list[RewardPair]

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(getattr(self, name)) for name in ("train", "calibration", "test")}


def split_pairs(pairs: Sequence[RewardPair], calibration: float, test: float, seed: int) -> Splits:
    """By a hash of seed and group, so that a pair stays where it is when others are added.

    calibration, test: shares of the groups. Raises ConfigError for a split without a decided pair.
    """
    made = Splits([], [], [])
    for pair in pairs:
        place = derived_seed("reward split", seed, pair.group) % _DRAWS / _DRAWS
        side = made.test if place < test else made.calibration
        (made.train if place >= test + calibration else side).append(pair)
    for name in made.counts:
        if all(pair.tie for pair in getattr(made, name)):
            raise ConfigError(
                f"{len(pairs)} pairs of {len({one.group for one in pairs})} prompts: split {name!r} has "
                f"{made.counts[name]} and none with a preferred side: label more prompts, or change the shares"
            )
    return made


def check_pairs(backbone: Backbone, pairs: Sequence[RewardPair]) -> None:
    """Raises ConfigError for no pairs, for ties alone, and for pairs that cannot be trained on, each counted and
    the first named: nothing is cut or left out in silence."""
    if not pairs:
        raise ConfigError("reward: there are no preferences: label comparisons first")
    if all(pair.tie for pair in pairs):
        raise ConfigError(
            f"reward: all {len(pairs)} pairs are ties and none says which is better: label more"
        )
    if twice := [name for name, n in Counter(pair.id for pair in pairs).items() if n > 1]:
        raise ConfigError(f"reward: pair {twice[0]} is given twice: give each once")
    faults = [(pair, fault) for pair in pairs if (fault := _fault(backbone, pair))]
    if faults:
        pair, fault = faults[0]
        raise ConfigError(
            f"reward: {len(faults)} of {len(pairs)} pairs cannot be trained on; the first, {pair.id}: {fault}"
        )


def _fault(backbone: Backbone, pair: RewardPair) -> str | None:
    told = pair.tokens
    if not (math.isfinite(told.weight) and told.weight > 0):
        return f"has weight {told.weight}: weights are above 0"
    if not (math.isfinite(told.margin) and told.margin >= 0):
        return f"has margin {told.margin}: margins are 0 or more"
    if told.chosen == told.rejected:
        return "has the same tokens on both sides: leave it out"
    return next(filter(None, (fault_of(backbone, row) for row in pair.rows)), None)


def fingerprint(pairs: Sequence[RewardPair]) -> str:
    """sha256 of all that is learned from, for a run's name."""
    told = [
        [
            pair.id, pair.group, pair.branch.value, pair.tie, pair.tokens.prompt, pair.tokens.chosen,
            pair.tokens.rejected, pair.tokens.margin, pair.tokens.weight,
            [sha256(clip.tobytes()).hexdigest() for clip in pair.tokens.audio],
        ]
        for pair in pairs
    ]  # fmt: skip
    return content_hash([content_hash(one) for one in told])
