"""The actor that listens: rollouts to scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from trivox.pipelines.pools.pool import PoolWorker
from trivox.platform.personas.registry import resolve
from trivox.platform.records import Persona, Prompt, Rollout, Score, ScorerRole
from trivox.platform.scoring import Item, to_score
from trivox.platform.store import Workspace
from trivox.reward_models.cache import CachedScorer, ScoreFile
from trivox.reward_models.composition import Composition, CompositionConfig
from trivox.reward_models.items import item_of
from trivox.reward_models.registry import build


@dataclass(frozen=True)
class ScoringRequest:
    """A rollout to score, and what it answers."""

    prompt: Prompt
    rollout: Rollout


class ScoringWorker(PoolWorker):
    """Scorers in memory, each with the role that its scores are stored with. What was scored before, by content,
    is taken from the workspace's cache."""

    def __init__(
        self,
        root: Path,
        scorers: Mapping[str, ScorerRole],
        project: str,
        round: str,
        composition: CompositionConfig | None = None,
    ) -> None:
        self.ws, cache = Workspace.open(root), ScoreFile.of(root)
        once = lru_cache(None)(
            build
        )  # a scorer that is asked for alone and composed is in memory once
        self.scorers = [(CachedScorer(once(name), cache), role) for name, role in scorers.items()]
        self.composition = Composition.of(composition, cache, once) if composition else None
        self.project, self.round = project, round

    def work(self, unit: tuple[ScoringRequest, ...]) -> list[Score]:
        items = [self._item(request) for request in unit]
        scores = [
            to_score(value, scorer.info, item, project=self.project, round=self.round, role=role)
            for scorer, role in self.scorers
            for item, value in zip(items, scorer.score(items), strict=True)
        ]
        return [*scores, *self._composed(items, {one.scorer for one in scores})]

    def _composed(self, items: Sequence[Item], known: set[str]) -> list[Score]:
        """Total and parts of each item, without those scorers that were asked alone; of a scorer that is gate and
        component the component."""
        if self.composition is None:
            return []
        found: dict[tuple[str, str], Score] = {}
        for item, one in zip(items, self.composition.score(items), strict=True):
            for score in self.composition.to_scores(
                item, one, project=self.project, round=self.round
            ):
                if score.scorer not in known:
                    found[item.rollout, score.scorer] = score
        return [*found.values()]

    def _item(self, request: ScoringRequest) -> Item:
        named = request.prompt.persona
        persona = resolve(self.ws, Persona, named) if named else None
        return item_of(request.prompt, request.rollout, self.ws.audio, persona=persona)
