"""Where episodes come from: prompts answered once each, or whatever a higher floor makes of the engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_seed
from trivox.platform.records import Failure, Sampling
from trivox.policy.branches.constraint import Constraint
from trivox.policy.engine import Generation, Request, RolloutEngine
from trivox.policy.trainers.rl.episodes import Episode, PolicyTurn


class EpisodeSource(Protocol):
    """Makes and rewards the episodes of a step. The same engine weights and step give the same episodes."""

    def episodes(self, engine: RolloutEngine, step: int) -> list[Episode]: ...


@dataclass(frozen=True)
class Ask:
    """A prompt in tokens: id of the prompt, what may follow it, and the encoder features of its clips, float32
    [T, F] each."""

    id: str
    prompt: list[int]
    constraint: Constraint
    audio: tuple[npt.NDArray[np.float32], ...] = ()


@dataclass(frozen=True)
class Reward:
    """What an answer is worth, or why that is not known: never both."""

    value: float | None
    components: dict[str, float] = field(default_factory=dict)
    failure: Failure | None = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.failure is None):
            raise ConfigError(
                f"a reward has value {self.value} and failure {self.failure}: give exactly one"
            )


Answer = tuple[Ask, Generation]
RewardFunction = Callable[[Sequence[Answer]], Sequence[Reward]]


@dataclass(frozen=True)
class SingleTurn:
    """`prompts` of the asks in each step, drawn without repetition, each answered `samples` times.

    Raises ConfigError for no asks, or for rewards that are not as many as answers.
    """

    asks: Sequence[Ask]
    reward: RewardFunction
    prompts: int
    samples: int
    temperature: float
    max_tokens: int
    seed: int

    def __post_init__(self) -> None:
        if not self.asks:
            raise ConfigError("there are no prompts to learn from: give at least one")

    def episodes(self, engine: RolloutEngine, step: int) -> list[Episode]:
        return self.rewarded(self.answers(engine, step))

    def answers(self, engine: RolloutEngine, step: int) -> list[Answer]:
        """What the policy says to the prompts of a step; nobody has rewarded it yet."""
        asks = self.asked(step)
        sampling = Sampling(self.temperature, 0, 1.0, self.max_tokens)
        generations = engine.generate(
            [
                Request(
                    ask.prompt,
                    ask.constraint,
                    sampling,
                    derived_seed(self.seed, step, ask.id, number % self.samples),
                    ask.audio,
                )
                for number, ask in enumerate(asks)
            ]
        )
        return list(zip(asks, generations, strict=True))

    def rewarded(self, answers: Sequence[Answer]) -> list[Episode]:
        """The answers with what they are worth."""
        rewards = self.reward(answers)
        if len(rewards) != len(answers):
            raise ConfigError(
                f"the reward gave {len(rewards)} values for {len(answers)} answers: give one for each"
            )
        return [
            episode_of(ask, generation, reward, self.temperature)
            for (ask, generation), reward in zip(answers, rewards, strict=True)
        ]

    def asked(self, step: int) -> list[Ask]:
        """The prompts of a step, each as often as it is answered."""
        rng = np.random.default_rng([self.seed, step])
        count = min(self.prompts, len(self.asks))
        drawn = rng.choice(len(self.asks), count, replace=False)
        return [self.asks[i] for i in drawn for _ in range(self.samples)]


def episode_of(ask: Ask, said: Generation, reward: Reward, temperature: float) -> Episode:
    """One answer as an episode."""
    turn = PolicyTurn(
        ask.prompt,
        said.tokens,
        said.logprobs,
        ask.constraint,
        temperature,
        said.finish_reason,
        ask.audio,
    )
    rewards = () if reward.value is None else (reward.value,)
    return Episode(ask.id, (turn,), rewards, reward.components, reward.failure)
