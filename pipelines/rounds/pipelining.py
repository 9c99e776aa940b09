"""Rolling out and scoring side by side: what is finished is heard while the rest is still being said.

The policy does not change within a round, so nothing is stale: only the order of the work differs, and ids, parts
and scores are those of one stage after the other.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from trivox.pipelines.pools.cluster import Resources, lacking
from trivox.pipelines.pools.pool import NoRoom, PoolMap, together
from trivox.pipelines.pools.rollouts import RolloutRequest
from trivox.pipelines.pools.units import chunks
from trivox.pipelines.rounds.config import RolloutSection, ScoreSection
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.listening import Listening
from trivox.pipelines.rounds.production import (
    Missing,
    keep_rollouts,
    letters,
    missing_of,
    rollout_pool,
    rollout_units,
    workers_for,
)
from trivox.platform.progress import say
from trivox.platform.records import Rollout, Stage


def produce_scored(ctx: RoundContext, requests: Sequence[RolloutRequest]) -> None:
    """Make the rollouts of the round that are missing, score those that have no scores, store both as they come.

    Leaves the rest to the two stages, one after the other, where no rollout is missing, where Ray has no room for
    both pools (it was begun for another round, say), and where it loses it. Raises as the two stages.
    """
    missing = missing_of(ctx, [(ctx.policy, requests)])
    score = ctx.config.score
    listening = Listening(ctx, score.roles, score.composition, Stage.SCORE)
    pending = Pending.of(ctx, listening, [one.id for one in requests])
    if not missing or not pending.chunks or not _has_room(ctx, len(missing), len(pending.chunks)):
        return
    try:
        _side_by_side(ctx, missing, listening, pending)
    except NoRoom as error:
        say(f"{error}; what is left is made and scored one after the other")


def _side_by_side(
    ctx: RoundContext, missing: Missing, listening: Listening, pending: "Pending"
) -> None:
    with ExitStack() as speaking, ExitStack() as hearing:
        mouths = speaking.enter_context(rollout_pool(ctx, len(missing)))  # who makes has room first
        ears = hearing.enter_context(listening.pool(len(pending.chunks)))
        units = rollout_units(ctx, missing, ctx.config.rollout.sampling)
        said = mouths.begin(units, "rollout", size=letters)
        heard = ears.begin([], "score", later=len(pending.chunks))
        pending.hand_on(heard, listening)
        for one, index, result in together(said, heard):
            if one is said:
                keep_rollouts(ctx, units[index], result, mouths.seconds[index])
                pending.rollouts |= {made.id: made for made in result.rollouts}
                pending.hand_on(heard, listening)
                if not said.left:
                    speaking.close()  # its room is the scorers' now
            else:
                listening.keep(heard.units[index], result, ears.seconds[index])


def _has_room(ctx: RoundContext, rollouts: int, scores: int) -> bool:
    """Whether Ray holds both pools, for so many units of each; where not, says so. Scorers without work could
    otherwise sit where those belong that make it."""
    import ray

    pools = [_pool(ctx, ctx.config.rollout, rollouts), _pool(ctx, ctx.config.score, scores)]
    resources: Any = ray.cluster_resources
    there = resources()
    short = lacking(pools, there)
    if short:
        told = ", ".join(f"{n:g} {name} of {there.get(name, 0.0):g}" for name, n in short.items())
        say(
            f"score.pipelined: both pools together want {told}: scores follow the rollouts; give Ray more room, "
            "or the round fewer workers"
        )
    return not short


def _pool(
    ctx: RoundContext, asked: RolloutSection | ScoreSection, units: int
) -> tuple[int, Resources]:
    """How many workers there are to be, and what each takes."""
    return workers_for(ctx, asked.workers, units), asked.resources.resources


@dataclass
class Pending:
    """Units of scoring in the order of the requests, by the ids of their rollouts, and the rollouts so far."""

    chunks: list[list[str]]
    rollouts: dict[str, Rollout] = field(default_factory=dict)

    @classmethod
    def of(cls, ctx: RoundContext, listening: Listening, ids: Sequence[str]) -> "Pending":
        unscored = listening.unscored(ids)
        return cls(
            chunks(unscored, ctx.config.score.unit), {one.id: one for one in ctx.rollouts(ids)}
        )

    def hand_on(self, heard: PoolMap, listening: Listening) -> None:
        """Units whose rollouts are all there."""
        ready = [chunk for chunk in self.chunks if all(id in self.rollouts for id in chunk)]
        self.chunks = [chunk for chunk in self.chunks if chunk not in ready]
        for chunk in ready:
            heard.add(listening.unit([self.rollouts[id] for id in chunk]))
