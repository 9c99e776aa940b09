"""Scoring rollouts through a Ray pool: shared by the stages that need scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivox.pipelines.pools.pool import WorkerPool
from trivox.pipelines.pools.scoring import ScoringRequest, ScoringWorker
from trivox.pipelines.pools.units import chunks
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.production import workers_for
from trivox.platform.hashing import derived_id
from trivox.platform.records import Rollout, Score, ScorerRole, Stage
from trivox.reward_models.composition import CompositionConfig


@dataclass(frozen=True)
class Listening:
    """What hears the rollouts of a round: scorers (name -> role) and a composition, total and parts. stage: whose
    work that is, where it is another's than the one that runs."""

    ctx: RoundContext
    scorers: Mapping[str, ScorerRole]
    composition: CompositionConfig | None = None
    stage: Stage | None = None

    @property
    def names(self) -> set[str]:
        """Scores by these tell that a rollout is done."""
        return {*self.scorers} | ({self.composition.total} if self.composition else set())

    def unscored(self, ids: Sequence[str]) -> list[str]:
        """Those of the rollouts that not all have heard, in their order."""
        done, names = {(one.rollout, one.scorer) for one in self.ctx.scores()}, self.names
        return [id for id in ids if any((id, name) not in done for name in names)]

    def pool(self, units: int) -> WorkerPool:
        settings, round_ = self.ctx.config.score, self.ctx.round
        arguments = (self.ctx.ws.root, dict(self.scorers), round_.project, round_.id)
        workers, wants = (
            workers_for(self.ctx, settings.workers, units),
            settings.resources.resources,
        )
        return WorkerPool(ScoringWorker, workers, *arguments, self.composition, resources=wants)

    def unit(self, rollouts: Sequence[Rollout]) -> tuple[ScoringRequest, ...]:
        return tuple(ScoringRequest(self.ctx.prompt(one.prompt), one) for one in rollouts)

    def keep(
        self, unit: tuple[ScoringRequest, ...], scores: Sequence[Score], seconds: float
    ) -> None:
        """Store the scores of a unit, as one part; raises Stopped and BudgetSpent after it."""
        ctx, made = self.ctx, [one.rollout.id for one in unit]
        part = f"scores-{derived_id('part', sorted(self.names), made)}"
        ctx.book_unit(part, seconds, ctx.config.score.resources.resources, self.stage)
        ctx.ws.tables.write(scores, branch=ctx.round.branch, round=ctx.round.id, part=part)
        ctx.go_on()


def score(
    ctx: RoundContext,
    rollouts: Sequence[Rollout],
    scorers: Mapping[str, ScorerRole],
    label: str,
    composition: CompositionConfig | None = None,
) -> list[Score]:
    """Scores of the rollouts by the scorers (name -> role) and by a composition, total and parts; what is stored
    already is not scored again."""
    listening, by_id = Listening(ctx, scorers, composition), {one.id: one for one in rollouts}
    missing = [by_id[id] for id in listening.unscored([*by_id])]
    if missing:
        units = [listening.unit(batch) for batch in chunks(missing, ctx.config.score.unit)]
        with listening.pool(len(units)) as pool:
            for index, scores in pool.map(units, label):
                listening.keep(units[index], scores, pool.seconds[index])
    names = listening.names | ({*composition.scorers} if composition is not None else set())
    return [one for one in ctx.scores() if one.rollout in by_id and one.scorer in names]
