"""One module for each stage, each with `run(ctx) -> Outcome | Waiting`; running twice makes the same things."""

from collections.abc import Callable

from trivox.pipelines.rounds.context import Outcome, RoundContext, Waiting
from trivox.pipelines.rounds.stages import (
    aggregate,
    compare,
    evaluate,
    label,
    publish,
    rollout,
    score,
    train,
    train_reward,
)
from trivox.platform.records import Stage

STAGES: dict[Stage, Callable[[RoundContext], Outcome | Waiting]] = {
    Stage.ROLLOUT: rollout.run,
    Stage.SCORE: score.run,
    Stage.COMPARE: compare.run,
    Stage.LABEL: label.run,
    Stage.AGGREGATE: aggregate.run,
    Stage.TRAIN_REWARD: train_reward.run,
    Stage.TRAIN: train.run,
    Stage.EVALUATE: evaluate.run,
    Stage.PUBLISH: publish.run,
}
"""In the order in which they run."""
