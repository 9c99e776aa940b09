"""Rollouts of the next step while those of this one are rewarded: scorers and model then work side by side.

The price is that an answer was drawn by the policy of one update before the one that learns from it. That is its
staleness; it stands in each episode, and the truncated importance weight of `agreement` corrects the loss for it,
as in the decoupled objective of AReaL (Fu et al. 2025, section 5.2): the clipped ratio is to the policy before the
update, the weight is from that one to the policy that drew.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from trivox.platform.errors import ConfigError
from trivox.platform.records import DecodingStatistics, FinishReason
from trivox.policy.engine import Generation, RolloutEngine
from trivox.policy.trainers.rl.episodes import Episode
from trivox.policy.trainers.rl.sources import Answer, EpisodeSource, SingleTurn

NOTHING: dict[str, Any] = {"step": None, "said": []}


@dataclass
class Ahead:
    """An episode source of `steps` steps that is one step ahead with its answers, which a checkpoint keeps."""

    source: SingleTurn
    steps: int
    _step: int | None = None
    _answers: list[Answer] = field(default_factory=list)

    def episodes(self, engine: RolloutEngine, step: int) -> list[Episode]:
        """Those drawn in the step before, which is a staleness of 1; the first ones are drawn now, by the policy
        that learns from them. The next ones are drawn by the engine as it is now."""
        staleness = int(self._step == step)
        answers = self._answers if staleness else self.source.answers(engine, step)
        threads = torch.get_num_threads()  # OpenMP gives a new thread all cores, and other rounding
        with ThreadPoolExecutor(1, "rewards", torch.set_num_threads, (threads,)) as pool:
            rewarding = pool.submit(self.source.rewarded, answers)
            self._step = step + 1 if step + 1 < self.steps else None
            self._answers = [] if self._step is None else self.source.answers(engine, self._step)
            made = rewarding.result()
        return [replace(one, staleness=staleness) for one in made]

    def state(self) -> dict[str, Any]:
        if self._step is None:
            return NOTHING
        said = [
            {"tokens": one.tokens, "logprobs": one.logprobs, "finish": one.finish_reason.value}
            for _, one in self._answers
        ]
        return {"step": self._step, "said": said}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._step = state["step"]
        asks = [] if self._step is None else self.source.asked(self._step)
        said: Sequence[Mapping[str, Any]] = state["said"]
        self._answers = [(ask, _generation(one)) for ask, one in zip(asks, said, strict=True)]


def ahead_of(source: EpisodeSource, steps: int) -> Ahead:
    """Raises ConfigError for a source whose episodes are rewarded while they are made, as dialogues are."""
    if not isinstance(source, SingleTurn):
        raise ConfigError(
            "staleness is 1 and these episodes are rewarded turn by turn, as they are made: set staleness to 0"
        )
    return Ahead(source, steps)


def _generation(said: Mapping[str, Any]) -> Generation:
    """As far as rewards and updates look at it."""
    finish = FinishReason(said["finish"])
    return Generation(said["tokens"], said["logprobs"], finish, DecodingStatistics(0))
