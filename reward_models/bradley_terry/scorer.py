"""A trained reward model as a scorer, alone or several as one that knows where they disagree."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import content_hash
from trivox.platform.records import Branch, Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.policy.rows import Row
from trivox.reward_models.bradley_terry.learned import load_learned, weights_hash
from trivox.reward_models.bradley_terry.reading import branch_of, row_of

FAMILY = "trivox-backbone"
"""That of all judges on the shared backbone: they share its weights."""
VERSION = "1"


class BradleyTerryScorer:
    """Calibrated reward in logits, 0 for what is usual in its data: of two replies to a prompt one is better with
    sigmoid of the difference. uncertainty: what the data leave open of the head (Laplace), in logits."""

    def __init__(self, folder: Path, backbone_folder: Path) -> None:
        """Raises as `load_learned`."""
        self.learned, self.scale = load_learned(folder, backbone_folder)
        self.info = _info(f"bt-{folder.name}", weights_hash(folder))

    def score(self, items: Sequence[Item]) -> list[Value]:
        read = [row_of(self.learned.backbone, item) for item in items]
        rows = {place: row for place, row in enumerate(read) if isinstance(row, Row)}
        branches = [branch_of(items[place]) for place in rows]
        found = dict(zip(rows, self.score_rows(list(rows.values()), branches), strict=True))
        return [found[at] if isinstance(one, Row) else one for at, one in enumerate(read)]

    def score_rows(self, rows: Sequence[Row], branches: Sequence[Branch]) -> list[Value]:
        """Of rows that are tokens already."""
        values: list[Value | None] = [None] * len(rows)
        for branch in dict.fromkeys(branches):
            places = [at for at, one in enumerate(branches) if one is branch]
            readings = self.learned.read([rows[at] for at in places])
            told = self.scale.values(readings, branch), self.scale.widths(readings, branch)
            for at, value, width in zip(places, *told, strict=True):
                values[at] = _value(float(value), float(width))
        return [one for one in values if one is not None]


class RewardEnsemble:
    """The mean of several reward models; uncertainty: their disagreement and their own widths together."""

    def __init__(self, members: Sequence[BradleyTerryScorer]) -> None:
        """Raises ConfigError for fewer than two."""
        if len(members) < 2:
            raise ConfigError(f"an ensemble of {len(members)}: give at least 2 reward models")
        self.members = tuple(members)
        together = content_hash(sorted(one.info.weights_hash for one in members))
        self.info = _info("bt-ensemble", together)

    def score(self, items: Sequence[Item]) -> list[Value]:
        each = [member.score(items) for member in self.members]
        return [combined(values) for values in zip(*each, strict=True)]


def combined(values: Sequence[Value]) -> Value:
    """Mean and total deviation of members' values; a failure of one is a failure of all.

    By hand: values 1 and 3 of widths 0.6 and 0.8: mean 2, variance of means 1, mean variance 0.5: sqrt(1.5).
    """
    if broken := [one.failure for one in values if one.failure is not None]:
        return Value(None, failure=broken[0])
    means = np.array([one.value for one in values])
    own = np.array([one.uncertainty or 0.0 for one in values])
    width = float(np.sqrt(means.var() + (own**2).mean()))
    return Value(float(means.mean()), width, evidence=f"members {means.round(4).tolist()}")


def _info(name: str, weights: str) -> ScorerInfo:
    return ScorerInfo(name, VERSION, weights, FAMILY, "preference", "logits", Direction.HIGHER)


def _value(value: float, width: float) -> Value:
    if not (np.isfinite(value) and np.isfinite(width)):
        return failed(FailureKind.SCORER_ERROR, f"the reward came out as {value}: train it again")
    return Value(value, width)
