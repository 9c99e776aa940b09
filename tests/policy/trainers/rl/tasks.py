"""Small tasks whose best policy is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trivox.policy.branches.constraint import TextConstraint
from trivox.policy.engine import Generation
from trivox.policy.trainers.rl.run import Job
from trivox.policy.trainers.rl.settings import PolicyGradientSettings
from trivox.policy.trainers.rl.sources import Ask, Reward, RewardFunction, SingleTurn
from trivox.policy.vocabulary import TokenMap

Answers = Sequence[tuple[Ask, Generation]]
WANTED_LENGTH = 6
SMALL: dict[str, Any] = {
    "steps": 4,
    "prompts": 2,
    "samples": 3,
    "minibatch_turns": 4,
    "max_tokens": 8,
    "learning_rate": 1e-3,
    "checkpoint_every": 2,
}


def asks_of(tokens: TokenMap, texts: Sequence[str] = ("a", "b", "ab", "ba")) -> list[Ask]:
    constraint = TextConstraint(tokens)
    return [
        Ask(text, [tokens.asr, *tokens.text_ids(text), tokens.text], constraint) for text in texts
    ]


def bandit(tokens: TokenMap) -> RewardFunction:
    """One token is said: "x" is worth 1, "y" 0.5, all else nothing."""
    worth = {tokens.characters["x"]: 1.0, tokens.characters["y"]: 0.5}
    return lambda answers: [Reward(worth.get(said.tokens[0], 0.0)) for _, said in answers]


def length_control(answers: Answers) -> list[Reward]:
    """1 for an answer of six letters and an end, less a sixth for each letter more or fewer, 0 at least."""
    return [
        Reward(max(0.0, 1 - abs(len(said.tokens) - 1 - WANTED_LENGTH) / WANTED_LENGTH))
        for _, said in answers
    ]


def job_of(
    backbone: Path,
    folder: Path,
    reward: RewardFunction,
    settings: PolicyGradientSettings,
    seed: int = 0,
    **more: Any,
) -> Job:
    source = SingleTurn(
        asks_of(TokenMap.load(backbone)),
        reward,
        settings.prompts,
        settings.samples,
        settings.temperature,
        settings.max_tokens,
        seed,
    )
    return Job(backbone, source, folder, seed, name="task", **more)


def stopped(train: Any, backbone: Path, folder: Path, settings: PolicyGradientSettings) -> None:
    """A run on `length_control` that is broken off in its third step."""

    def stop(done: int, total: int, figures: dict[str, float]) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job_of(backbone, folder, length_control, settings, on_step=stop), settings)
