"""PPO and GRPO find the known best policy of small tasks."""

from pathlib import Path

import numpy as np
import pytest

from tests.policy.trainers.rl.tasks import bandit, job_of, length_control
from trivox.policy.trainers.rl.run import train_grpo, train_ppo
from trivox.policy.trainers.rl.settings import GRPOSettings, PolicyGradientSettings, PPOSettings
from trivox.policy.trainers.rl.sources import RewardFunction
from trivox.policy.vocabulary import TokenMap

COMMON = {"prompts": 4, "samples": 16, "minibatch_turns": 64, "kl_coefficient": 0.0}
ONE = COMMON | {"max_tokens": 1}
SIX = COMMON | {"max_tokens": 16, "learning_rate": 3e-3, "inner_epochs": 2, "steps": 100}
BANDIT: list[PolicyGradientSettings] = [
    GRPOSettings(**ONE, steps=40, learning_rate=2e-2),
    PPOSettings(
        **ONE,
        steps=60,
        learning_rate=3e-3,
        inner_epochs=2,
        critic_warmup=2,
        entropy_coefficient=0.03,
    ),
]
LENGTH: list[PolicyGradientSettings] = [
    GRPOSettings(**SIX, normalisation="dr_grpo"),
    PPOSettings(**SIX, critic_warmup=3),
]


def reached(metrics: list[dict[str, float]]) -> float:
    """The highest mean over five steps in a row, of 320 answers; the learning rate stays high to the end."""
    rewards = np.array([one["reward"] for one in metrics])
    return float(np.convolve(rewards, np.full(5, 1 / 5), "valid").max())


def learned(
    backbone: Path,
    folder: Path,
    reward: RewardFunction,
    settings: PolicyGradientSettings,
    seed: int,
) -> float:
    job = job_of(backbone, folder, reward, settings, seed)
    if isinstance(settings, PPOSettings):
        return reached(train_ppo(job, settings).metrics)
    assert isinstance(settings, GRPOSettings)
    return reached(train_grpo(job, settings).metrics)


def name_of(settings: PolicyGradientSettings) -> str:
    return type(settings).__name__.removesuffix("Settings")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("settings", BANDIT, ids=name_of)
def test_the_best_arm_is_found(
    settings: PolicyGradientSettings, seed: int, backbone: Path, tokens: TokenMap, tmp_path: Path
) -> None:
    """At least 95 % of the optimum, 1, within 40 (GRPO) and 60 (PPO) steps."""
    assert learned(backbone, tmp_path, bandit(tokens), settings, seed) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("settings", LENGTH, ids=name_of)
def test_a_length_is_learned(
    settings: PolicyGradientSettings, seed: int, backbone: Path, tmp_path: Path
) -> None:
    """At least 95 % of the optimum, 1, within 100 steps, for an end that has to come after six letters."""
    assert learned(backbone, tmp_path, length_control, settings, seed) >= 0.95
