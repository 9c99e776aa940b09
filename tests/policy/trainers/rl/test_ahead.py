"""Rollouts ahead of the update: side by side with rewards, at a staleness that is known, stored and corrected."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.policy.trainers.rl.tasks import (
    SMALL,
    Answers,
    asks_of,
    job_of,
    length_control,
    stopped,
)
from trivox.platform.errors import ConfigError
from trivox.platform.records import DecodingStatistics, FinishReason
from trivox.policy.engine import Generation, Request
from trivox.policy.trainers.rl.ahead import Ahead, ahead_of
from trivox.policy.trainers.rl.episodes import Episode
from trivox.policy.trainers.rl.run import train_grpo, train_ppo
from trivox.policy.trainers.rl.settings import GRPOSettings, PPOSettings
from trivox.policy.trainers.rl.sources import Reward, SingleTurn
from trivox.policy.vocabulary import TokenMap

AHEAD: dict[str, Any] = SMALL | {"learning_rate": 1e-2, "staleness": 1}


class Says:
    """An engine that answers everything with the number of its call."""

    def __init__(self) -> None:
        self.calls = 0
        self.second = threading.Event()

    def generate(self, requests: list[Request]) -> list[Generation]:
        self.calls += 1
        if self.calls == 2:
            self.second.set()
        said = Generation([self.calls], [0.0], FinishReason.END, DecodingStatistics(1))
        return [said for _ in requests]


def source_of(tokens: TokenMap, reward: Any = length_control) -> SingleTurn:
    return SingleTurn(asks_of(tokens), reward, 2, 2, 1.0, 4, 0)


def drawn_at(made: list[Episode]) -> set[tuple[int, int]]:
    """(call of the engine, staleness)."""
    return {(one.turns[0].completion[0], one.staleness) for one in made}


def test_the_next_answers_are_drawn_while_these_are_rewarded(tokens: TokenMap) -> None:
    """The reward waits for the second draw: one after the other it would wait in vain."""
    engine = Says()

    def reward(answers: Answers) -> list[Reward]:
        assert engine.second.wait(60)
        return [Reward(0.0) for _ in answers]

    source = Ahead(source_of(tokens, reward), steps=3)
    # Drawn in calls 1, 2, 3; the last step draws nothing further.
    found = [drawn_at(source.episodes(engine, step)) for step in range(3)]  # type: ignore[arg-type]
    assert found == [{(1, 0)}, {(2, 1)}, {(3, 1)}]
    assert engine.calls == 3


def test_what_is_drawn_ahead_outlives_a_stop(tokens: TokenMap) -> None:
    whole, cut = Ahead(source_of(tokens), 3), Ahead(source_of(tokens), 3)
    whole.episodes(Says(), 0)  # type: ignore[arg-type]
    cut.restore(json.loads(json.dumps(whole.state())))
    assert drawn_at(cut.episodes(Says(), 1)) == {(2, 1)}  # type: ignore[arg-type]
    for step in (1, 2):
        whole.episodes(Says(), step)  # type: ignore[arg-type]
    done = Ahead(source_of(tokens), 3)
    done.restore(json.loads(json.dumps(whole.state())))
    assert done.state() == whole.state() == {"step": None, "said": []}


def test_a_reward_that_fails_is_not_swallowed(tokens: TokenMap) -> None:
    def broken(answers: Answers) -> list[Reward]:
        raise ZeroDivisionError("of the scorer")

    with pytest.raises(ZeroDivisionError, match="of the scorer"):
        Ahead(source_of(tokens, broken), 2).episodes(Says(), 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["grpo", "ppo"])
def test_a_run_ahead_says_so_and_resumes_to_the_same_weights(
    kind: str, backbone: Path, tmp_path: Path
) -> None:
    train: Any = train_grpo if kind == "grpo" else train_ppo
    settings: Any = GRPOSettings(**AHEAD) if kind == "grpo" else PPOSettings(**AHEAD)
    whole = train(job_of(backbone, tmp_path / "whole", length_control, settings), settings)
    assert [(one["staleness"], one["stale"]) for one in whole.metrics] == [(0, 0)] + [(1, 0)] * 3
    # Fresh answers agree to rounding; stale ones are of other weights, and that stops nothing.
    gaps = [one["logprob_gap"] for one in whole.metrics]
    assert gaps[0] < 1e-4 and (kind == "ppo" or max(gaps[1:]) > 1e-3)
    stopped(train, backbone, tmp_path / "cut", settings)
    resumed = train(job_of(backbone, tmp_path / "cut", length_control, settings), settings)
    assert resumed.weights_hash == whole.weights_hash


def test_what_is_older_than_allowed_is_left_out_and_counted(
    backbone: Path, tmp_path: Path, tokens: TokenMap
) -> None:
    """A source of its own may be later than the run allows."""
    from dataclasses import replace

    from trivox.policy.trainers.rl.run import Job

    class Late:
        def episodes(self, engine: Any, step: int) -> list[Episode]:
            made = source_of(tokens).episodes(engine, step)
            return [replace(one, staleness=index % 2) for index, one in enumerate(made)]

    settings = GRPOSettings(**AHEAD | {"steps": 1, "staleness": 0})
    made = train_grpo(Job(backbone, Late(), tmp_path, 0, "late"), settings)
    assert made.metrics[0]["stale"] == made.metrics[0]["left_out"] == 2
    assert made.metrics[0]["staleness"] == 0.5


def test_dialogues_cannot_be_ahead() -> None:
    class Dialogues:
        def episodes(self, engine: Any, step: int) -> list[Episode]:
            return []

    with pytest.raises(ConfigError, match="rewarded turn by turn"):
        ahead_of(Dialogues(), 2)
