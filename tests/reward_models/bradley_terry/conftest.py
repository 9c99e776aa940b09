"""Planted pairs on the tiny backbone of random weights."""

from pathlib import Path

import pytest

from tests.policy.conftest import write_hearing_backbone
from trivox.policy.vocabulary import TokenMap
from trivox.reward_models.bradley_terry.pairs import RewardPair
from trivox.reward_models.bradley_terry.planted import PlantedPair, planted_pairs, reward_pair
from trivox.reward_models.bradley_terry.training import RewardSettings, TrainedReward, train_reward


@pytest.fixture(scope="session")
def backbone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hearing_backbone(tmp_path_factory.mktemp("reward_backbone"))


@pytest.fixture(scope="session")
def tokens(backbone_folder: Path) -> TokenMap:
    return TokenMap.load(backbone_folder)


@pytest.fixture(scope="session")
def planted(tokens: TokenMap) -> list[PlantedPair]:
    return planted_pairs(tokens, 60, seed=3)


@pytest.fixture(scope="session")
def pairs(planted: list[PlantedPair]) -> list[RewardPair]:
    return [reward_pair(one) for one in planted]


@pytest.fixture(scope="session")
def settings() -> RewardSettings:
    """Small steps over few pairs: what is learned does not matter here."""
    return RewardSettings(
        epochs=2,
        batch_size=8,
        lora_rank=4,
        lora_alpha=8,
        learning_rate=0.01,
        margin_scale=0.2,
        label_smoothing=0.05,
        checkpoint_every=4,
        calibration=0.2,
        test=0.2,
    )


@pytest.fixture(scope="session")
def trained(
    backbone_folder: Path,
    pairs: list[RewardPair],
    settings: RewardSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainedReward:
    return train_reward(
        backbone_folder, pairs, settings, tmp_path_factory.mktemp("reward") / "model", seed=1
    )
