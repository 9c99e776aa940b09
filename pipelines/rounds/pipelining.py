"""Rolling out and scoring side by side: what is finished is heard while the rest is still being said.

The policy does not change within a round, so nothing is stale: only the order of the work differs, and ids, parts
and scores are those of one stage after the other.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from trivox.pipelines.pools.pool import PoolMap, together
from trivox.pipelines.pools.rollouts import RolloutRequest
from trivox.pipelines.rounds.context import RoundContext
from trivox.pipelines.rounds.listening import Listening
from trivox.pipelines.rounds.production import (
    chunks,
    keep_rollouts,
    letters,
    missing_of,
    rollout_pool,
    rollout_units,
)
from trivox.platform.records import Rollout


def produce_scored(ctx: RoundContext, requests: Sequence[RolloutRequest]) -> None:
    """Make the rollouts of the round that are missing, score those that have no scores, store both as they come.

    Does nothing where no rollout is missing: what is left to score is the next stage's. Raises as the two stages.
    """
    missing = missing_of(ctx, [(ctx.policy, requests)])
    listening = Listening(ctx, ctx.config.score.roles, ctx.config.score.composition)
    pending = Pending.of(ctx, listening, [one.id for one in requests])
    if not missing or not pending.chunks:
        return
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
