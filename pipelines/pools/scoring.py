"""The actor that listens: rollouts to scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trivox.pipelines.pools.pool import PoolWorker
from trivox.platform.personas.registry import resolve
from trivox.platform.records import Persona, Prompt, Rollout, Score, ScorerRole
from trivox.platform.scoring import Item, to_score
from trivox.platform.store import Workspace
from trivox.reward_models.cache import CachedScorer, ScoreFile
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
        self, root: Path, scorers: Mapping[str, ScorerRole], project: str, round: str
    ) -> None:
        self.ws, cache = Workspace.open(root), ScoreFile.of(root)
        self.scorers = [(CachedScorer(build(name), cache), role) for name, role in scorers.items()]
        self.project, self.round = project, round

    def work(self, unit: tuple[ScoringRequest, ...]) -> list[Score]:
        items = [self._item(request) for request in unit]
        return [
            to_score(value, scorer.info, item, project=self.project, round=self.round, role=role)
            for scorer, role in self.scorers
            for item, value in zip(items, scorer.score(items), strict=True)
        ]

    def _item(self, request: ScoringRequest) -> Item:
        named = request.prompt.persona
        persona = resolve(self.ws, Persona, named) if named else None
        return item_of(request.prompt, request.rollout, self.ws.audio, persona=persona)
