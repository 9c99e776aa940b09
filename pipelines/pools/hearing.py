"""The actor that scores items for a policy in training: one scorer at a time, values as the scorer gives them."""

from dataclasses import dataclass
from functools import lru_cache

from trivox.pipelines.pools.pool import PoolWorker
from trivox.platform.scoring import Item, ScorerInfo, Value
from trivox.reward_models.registry import build


@dataclass(frozen=True)
class HearUnit:
    """Items for the scorer of a name; without any the worker only says who that is."""

    scorer: str
    items: tuple[Item, ...]


class HearWorker(PoolWorker):
    """Scorers in memory, each built when it is first asked for. Nothing is normalised or composed here: that needs
    the items of a whole step."""

    def __init__(self) -> None:
        self._scorer = lru_cache(None)(build)

    def work(self, unit: HearUnit) -> tuple[ScorerInfo, list[Value]]:
        """One value for each item, in their order. Raises NotFound, MissingModel."""
        scorer = self._scorer(unit.scorer)
        return scorer.info, scorer.score(unit.items) if unit.items else []
