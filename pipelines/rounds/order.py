"""Which stages a round has."""

from trivox.pipelines.rounds.config import RoundConfig
from trivox.platform.records import Stage


def stages_of(config: RoundConfig) -> list[Stage]:
    """In the order in which they run."""
    return [one for one in Stage if one is not Stage.TRAIN_REWARD or config.trains_reward]
