"""Which stages a round has."""

from trivox.pipelines.rounds.config import RoundConfig
from trivox.platform.records import Stage


def stages_of(config: RoundConfig) -> list[Stage]:
    """In the order in which they run."""
    if config.by_rewards:
        return [Stage.TRAIN, Stage.EVALUATE, Stage.PUBLISH]
    return [one for one in Stage if one is not Stage.TRAIN_REWARD or config.trains_reward]
