"""The actor that listens: rollouts to scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trivox.pipelines.pools.pool import PoolWorker
from trivox.platform.records import FinishReason, Score, ScorerRole
from trivox.platform.scoring import Item, to_score
from trivox.platform.store import Workspace
from trivox.reward_models.registry import build


@dataclass(frozen=True)
class ScoringRequest:
    """A rollout to score; audio is an audio id, None where the rollout is empty."""

    rollout: str
    audio: str | None
    text: str
    language: str
    finish_reason: FinishReason


class ScoringWorker(PoolWorker):
    """Scorers in memory, each with the role that its scores are stored with."""

    def __init__(
        self, root: Path, scorers: Mapping[str, ScorerRole], project: str, round: str
    ) -> None:
        self.store = Workspace.open(root).audio
        self.scorers = [(build(name), role) for name, role in scorers.items()]
        self.project, self.round = project, round

    def work(self, unit: tuple[ScoringRequest, ...]) -> list[Score]:
        items = [self._item(request) for request in unit]
        return [
            to_score(value, scorer.info, item, project=self.project, round=self.round, role=role)
            for scorer, role in self.scorers
            for item, value in zip(items, scorer.score(items), strict=True)
        ]

    def _item(self, request: ScoringRequest) -> Item:
        samples, rate = self.store.read(request.audio) if request.audio else (None, None)
        return Item(
            request.rollout, samples, rate, request.text, request.language, request.finish_reason
        )
