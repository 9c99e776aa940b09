"""The losses of PPO and GRPO as wholes, and the critic, by numbers worked out by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.policy.trainers.rl.tasks import SMALL, job_of, length_control
from trivox.platform.errors import WorkError
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.branches.realtime import realtime_constraint
from trivox.policy.engine import InProcessEngine, Request
from trivox.policy.trainers.rl.agreement import IN_PROCESS
from trivox.policy.trainers.rl.algorithms import GRPO, PPO
from trivox.policy.trainers.rl.critic import ValueHead, with_gae
from trivox.policy.trainers.rl.episodes import Episode, PolicyTurn
from trivox.policy.trainers.rl.kl import KLController
from trivox.policy.trainers.rl.logprobs import Said
from trivox.policy.trainers.rl.minibatches import Minibatch, minibatches
from trivox.policy.trainers.rl.reference import FrozenCopy
from trivox.policy.trainers.rl.run import train_ppo
from trivox.policy.trainers.rl.settings import GRPOSettings, PPOSettings

WIDTH = 4


def row(*values: float) -> Tensor:
    return torch.tensor([values], dtype=torch.float32)


def part(learned: list[bool], **known: Tensor) -> Minibatch:
    """One turn whose tokens were all chosen, each with probability 1/2 before and by the reference."""
    size = len(learned)
    batch: Any = SimpleNamespace(
        chosen=torch.ones(1, size, dtype=torch.bool),
        numbers=torch.tensor([0]),
        episodes=torch.tensor([0]),
    )
    agreement: Any = SimpleNamespace(weights=1.0)
    half, none = torch.full((1, size), 0.5).log(), torch.zeros(1, size)
    told = {"values": none, "advantages": none, "returns": none} | known
    mask = torch.tensor([learned])
    return Minibatch(
        batch,
        (0,),
        mask,
        half,
        half,
        told["values"],
        agreement,
        told["advantages"],
        told["returns"],
    )


def now(*probabilities: float) -> Said:
    size = len(probabilities)
    return Said(row(*probabilities).log(), torch.zeros(1, size), torch.zeros(1, size, WIDTH))


def test_ppo_loss_by_hand() -> None:
    """Probabilities 0.5 -> 0.6, 0.4, 0.3: ratios 1.2, 0.8, 0.6; advantages 1, 2, -1; clipped to 0.8 .. 1.2.

    Objectives 1.2, 1.6 and min(-0.6, -0.8) = -0.8: policy loss -(1.2 + 1.6 - 0.8) / 3 = -0.6667. The critic says 1
    (its level), returns are 1.5, 1, 0: value loss 0.5 (0.25 + 0 + 1) / 3 = 0.2083. Sum -0.4583. One ratio of three
    has left its range.
    """
    critic = ValueHead(WIDTH)
    critic.level[0] = 1.0
    one = part([True] * 3, values=row(1, 1, 1), advantages=row(1, 2, -1), returns=row(1.5, 1, 0))
    loss, figures = PPO(PPOSettings(critic_warmup=0), KLController(0.02), critic).loss(
        one, now(0.6, 0.4, 0.3), step=0
    )
    assert loss.item() == pytest.approx(-2 / 3 + 1.25 / 6, abs=1e-6)
    assert figures["clip_share"] == pytest.approx(1 / 3)


def test_ppo_warms_its_critic_up_alone() -> None:
    """Before the warm-up ends the loss is the value loss: values 0, returns 0.1, so 0.5 * 0.01."""
    one = part([True], advantages=row(5.0), returns=row(0.1))
    warming = PPO(PPOSettings(critic_warmup=1), KLController(0.02), ValueHead(WIDTH))
    assert warming.loss(one, now(0.9), step=0)[0].item() == pytest.approx(0.005)


def test_grpo_loss_by_hand() -> None:
    """The ratios and advantages of PPO's test: -0.6667, and 0.1 times the mean of k3 = r - 1 - log r with
    r = 0.5 / p: 5/6: 0.01565; 5/4: 0.02686; 5/3: 0.15584; mean 0.06612. Sum -0.66006."""
    one = part([True] * 3, advantages=row(1, 2, -1))
    loss, figures = GRPO(GRPOSettings(normalisation="dapo"), KLController(0.1)).loss(
        one, now(0.6, 0.4, 0.3), step=0
    )
    assert loss.item() == pytest.approx(-2 / 3 + 0.1 * 0.066117, abs=1e-5)
    assert figures["clip_share"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("hold", [0.0, 2.0])
def test_words_alone_are_learned_and_the_rest_is_held(hold: float) -> None:
    """The second token is a sound: its advantage of 9 counts nothing. Words: -(1.2 - 0.8) / 2 = -0.2. What holds
    the sound is its k3 alone, 1.25 - 1 - ln 1.25 = 0.026856, times the coefficient."""
    settings = PPOSettings(critic_warmup=0, learns="words", hold_coefficient=hold)
    one = part([True, False, True], advantages=row(1, 9, -1))
    loss, _ = PPO(settings, KLController(0.02), ValueHead(WIDTH)).loss(one, now(0.6, 0.4, 0.3), 0)
    assert loss.item() == pytest.approx(-0.2 + hold * 0.026856, abs=1e-5)


def test_levels_are_the_mean_returns_of_each_turn() -> None:
    """First turns return 2 and 4, a second one 1: levels 3 and 1, and 0 for a third that nobody had. Another first
    turn returns 5: the second time half is replaced, 3 + (5 - 3) / 2 = 4."""
    critic, numbers = ValueHead(WIDTH), torch.tensor([0, 1, 2])
    first = part([True, True], returns=row(2, 4))
    second = part([True], returns=row(1))
    second.batch.numbers[0] = 1
    critic.settle([first, second])
    torch.testing.assert_close(
        critic(torch.zeros(3, 1, WIDTH), numbers)[:, 0], torch.tensor([3.0, 1, 0])
    )
    critic.settle([part([True], returns=row(5))])
    assert critic.level[:2].tolist() == [4.0, 1.0]


@pytest.mark.parametrize(("learned", "returns"), [(None, [0.5, 1.0]), (1.0, [1.0, 1.0])])
def test_the_critic_may_learn_from_returns_of_its_own_lambda(
    learned: float | None, returns: list[float]
) -> None:
    """Two actions, reward 1 at the end, values 0, lambda 0.5: advantages 0.5 and 1 either way. The critic learns
    the same, or with a lambda of 1 what was truly returned."""
    settings = PPOSettings(decay=0.5, value_decay=learned, whiten=False)
    completion: Any = SimpleNamespace(completion=[1, 2])
    episode: Any = SimpleNamespace(turns=(completion,), rewards=(1.0,))
    (made,) = with_gae([part([True, True])], [episode], settings, kl_coefficient=0.0)
    assert made.advantages[0].tolist() == [0.5, 1.0]
    assert made.returns[0].tolist() == returns


def test_words_are_what_is_no_sound(backbone: Any) -> None:
    """Of a spoken reply the text and the end are learned, no audio token; the second turn has number 1."""
    loaded = Backbone.load(backbone)
    tokens, constraint = loaded.tokens, realtime_constraint(loaded.tokens)
    prompt = [tokens.realtime, tokens.user, *tokens.text_ids("ab"), tokens.assistant]
    engine = InProcessEngine(loaded.lm, tokens.eos, tokens.pad, 2)
    asked = [Request(prompt, constraint, Sampling(1.0, max_tokens=24), seed) for seed in (0, 1)]
    turns = tuple(
        PolicyTurn(prompt, one.tokens, one.logprobs, constraint, 1.0, FinishReason.LENGTH)
        for one in engine.generate(asked)
    )
    words = ~torch.tensor([tokens.is_audio(index) for index in range(tokens.vocab_size)])
    (made,) = minibatches(
        loaded.lm, FrozenCopy(loaded.lm), None, [Episode("d", turns, (0.0, 1.0))], 8, tokens.pad,
        IN_PROCESS, np.random.default_rng(0), words,
    )  # fmt: skip
    said = made.batch.tokens[made.learned].tolist()
    sounds = made.batch.tokens[made.batch.chosen & ~made.learned].tolist()
    assert said and not any(map(tokens.is_audio, said))
    assert sounds and all(map(tokens.is_audio, sounds))
    assert sorted(made.batch.numbers.tolist()) == [0, 1]
    assert made.batch.numbers.tolist() == list(made.rows)


def test_nothing_but_sounds_teaches_no_words(backbone: Any, tmp_path: Any) -> None:
    """A token map that takes every letter for a sound: the run says so instead of dividing by nothing."""
    settings = PPOSettings(**SMALL, learns="words")
    job = job_of(backbone, tmp_path, length_control, settings)
    loaded = Backbone.load(backbone)
    object.__setattr__(loaded.tokens, "audio_offsets", (0,))
    object.__setattr__(loaded.tokens, "codebook_sizes", (loaded.tokens.vocab_size,))
    with pytest.raises(WorkError, match="no token of the step is a word"):
        train_ppo(type(job)(**{**vars(job), "loaded": loaded}), settings)
