"""Runs: repeatable, resumable, honest about their log-probabilities, stopped by watchers, safe from bad
rewards."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.policy.conftest import write_backbone
from tests.policy.trainers.rl.tasks import (
    SMALL,
    Answers,
    asks_of,
    job_of,
    length_control,
    stopped,
)
from trivox.platform.errors import ConfigError, WorkError
from trivox.platform.records import Failure, FinishReason
from trivox.policy.backbone import Backbone
from trivox.policy.engine import InProcessEngine
from trivox.policy.resident import ResidentPolicy
from trivox.policy.rows import Row
from trivox.policy.trainers.common import lora_config
from trivox.policy.trainers.rl.agreement import OTHER_ENGINE, Bounds, calibrated, compare
from trivox.policy.trainers.rl.algorithms import GRPO
from trivox.policy.trainers.rl.episodes import Episode, PolicyTurn, batch_of
from trivox.policy.trainers.rl.kl import KLController
from trivox.policy.trainers.rl.logprobs import said
from trivox.policy.trainers.rl.run import Job, train_grpo, train_ppo
from trivox.policy.trainers.rl.settings import GRPOSettings, PPOSettings
from trivox.policy.trainers.rl.sources import Reward, SingleTurn
from trivox.policy.trainers.rl.watchers import Bound, Guard, TextWatcher, WatcherStop, repetition
from trivox.policy.vocabulary import TokenMap

GRPO_SMALL = GRPOSettings(**SMALL)
PPO_SMALL = PPOSettings(**SMALL, critic_warmup=1)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


@pytest.mark.parametrize("kind", ["grpo", "ppo"])
def test_a_stopped_run_ends_as_if_it_had_not_stopped(
    kind: str, backbone: Path, tmp_path: Path
) -> None:
    """Stopped in its third step, after the checkpoint of the second."""
    train: Any = train_grpo if kind == "grpo" else train_ppo
    settings: Any = GRPO_SMALL if kind == "grpo" else PPO_SMALL
    whole = train(job_of(backbone, tmp_path / "whole", length_control, settings), settings)
    stopped(train, backbone, tmp_path / "cut", settings)
    assert [p.name for p in (tmp_path / "cut").glob("checkpoint-*")] == ["checkpoint-2"]
    resumed = train(job_of(backbone, tmp_path / "cut", length_control, settings), settings)
    assert resumed.weights_hash == whole.weights_hash
    timeless = [
        [{k: v for k, v in one.items() if not k.endswith("_s")} for one in run.metrics]
        for run in (whole, resumed)
    ]
    assert timeless[0] == timeless[1]
    assert not list((tmp_path / "cut").glob("checkpoint-*"))


def test_who_stops_at_a_checkpoint_keeps_it(backbone: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int, figures: dict[str, float]) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_grpo(job_of(backbone, tmp_path, length_control, GRPO_SMALL, on_step=stop), GRPO_SMALL)
    assert [one.name for one in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]


@pytest.mark.parametrize("file", ["state.pt", "trainer_state.json"])
@pytest.mark.parametrize("kind", ["grpo", "ppo"])
def test_a_checkpoint_that_was_cut_short_is_named(
    kind: str, file: str, backbone: Path, tmp_path: Path
) -> None:
    """Nothing is deleted or overwritten; deleted by hand, the run begins again and ends the same."""
    train: Any = train_grpo if kind == "grpo" else train_ppo
    settings: Any = GRPO_SMALL if kind == "grpo" else PPO_SMALL
    stopped(train, backbone, tmp_path, settings)
    cut = tmp_path / "checkpoint-2" / file
    cut.write_bytes(cut.read_bytes()[:-10])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(
        ConfigError, match=f"checkpoint-2/{file} was changed or cut short: its sha256"
    ):
        train(job_of(backbone, tmp_path, length_control, settings), settings)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_another_run_is_not_gone_on_with(backbone: Path, tmp_path: Path) -> None:
    stopped(train_grpo, backbone, tmp_path, GRPO_SMALL)
    other = GRPO_SMALL.model_copy(update={"learning_rate": 2e-3})
    with pytest.raises(ConfigError, match="holds checkpoints of run"):
        train_grpo(job_of(backbone, tmp_path, length_control, other), other)


def test_the_adapter_loads_and_off_is_the_backbone(backbone: Path, tmp_path: Path) -> None:
    """Trained weights differ from nothing; with the adapter off, every logit is the backbone's, bit for bit."""
    train_grpo(job_of(backbone, tmp_path, length_control, GRPO_SMALL), GRPO_SMALL)
    assert any(
        bool(value.any()) for name, value in weights_of(tmp_path).items() if "lora_B" in name
    )
    ids = torch.tensor([[3, 17, 6, 20, 21]])
    wanted = logits_of(Backbone.load(backbone).lm, ids)
    policy = ResidentPolicy(backbone)
    with policy.using(tmp_path) as speaker:
        assert not torch.equal(logits_of(speaker.engine.model, ids), wanted)
    with policy.using(None) as speaker:
        assert torch.equal(logits_of(speaker.engine.model, ids), wanted)


def test_rows_of_tokens_train_too_and_off_is_the_backbone(backbone: Path, tmp_path: Path) -> None:
    """Rows and head in full beside LoRA; stopped and resumed to the same bits; off, the backbone's logits."""
    settings = GRPO_SMALL.model_copy(update={"train_tokens": True})
    whole = train_grpo(job_of(backbone, tmp_path / "whole", length_control, settings), settings)
    stopped(train_grpo, backbone, tmp_path / "cut", settings)
    again = train_grpo(job_of(backbone, tmp_path / "cut", length_control, settings), settings)
    assert again.weights_hash == whole.weights_hash
    lm = Backbone.load(backbone).lm
    rows = next(v for n, v in weights_of(tmp_path / "whole").items() if "embed_tokens" in n)
    assert not torch.equal(rows, lm.get_input_embeddings().weight)
    ids = torch.tensor([[3, 17, 6, 20, 21]])
    wanted, policy = logits_of(lm, ids), ResidentPolicy(backbone)
    with policy.using(tmp_path / "whole") as speaker:
        assert not torch.equal(logits_of(speaker.engine.model, ids), wanted)
    with policy.using(None) as speaker:
        assert torch.equal(logits_of(speaker.engine.model, ids), wanted)


@torch.no_grad()
def logits_of(lm: Any, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = lm(ids).logits
    return logits


def rolled(backbone: Path, temperature: float = 0.7) -> tuple[Any, list[PolicyTurn], int]:
    """A model and what it said to four prompts."""
    loaded = Backbone.load(backbone)
    tokens = loaded.tokens
    engine = InProcessEngine(loaded.lm, tokens.eos, tokens.pad, 8)
    source = SingleTurn(asks_of(tokens), length_control, 4, 2, temperature, 12, 0)
    turns = [turn for episode in source.episodes(engine, 0) for turn in episode.turns]
    return loaded.lm, turns, tokens.pad


def test_the_trainer_finds_the_log_probabilities_of_the_rollouts(backbone: Path) -> None:
    """Under constraint and temperature, within rounding, in whatever company and padding."""
    lm, turns, pad = rolled(backbone)
    batch = batch_of(turns, range(len(turns)), pad)
    with torch.no_grad():
        together = said(lm, batch).logprobs
        alone = [said(lm, batch_of([turn], [0], pad)).logprobs[0] for turn in turns]
    found = compare(batch, together, Bounds(exact=1e-4))
    assert found.worst < 1e-4 and found.masked == 0
    torch.testing.assert_close(
        found.weights[batch.chosen], torch.ones(int(batch.chosen.sum())), atol=1e-4, rtol=0
    )
    for row, one in zip(together, alone, strict=True):
        torch.testing.assert_close(row[: len(one)], one, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mutant", ["weights", "tokens", "temperature", "mask"])
def test_other_weights_tokens_or_masks_are_found(mutant: str, backbone: Path) -> None:
    lm, turns, pad = rolled(backbone)
    if mutant == "weights":
        with torch.no_grad():
            lm.lm_head.weight.mul_(1.05)
    if mutant == "tokens":
        wrong = [17 if token != 17 else 18 for token in turns[0].completion[:-1]]
        turns[0] = replace(turns[0], completion=[*wrong, turns[0].completion[-1]])
    if mutant == "temperature":
        turns = [replace(turn, temperature=1.0) for turn in turns]
    batch = batch_of(turns, range(len(turns)), pad)
    if mutant == "mask":
        batch = replace(batch, choices=torch.ones_like(batch.choices))
    with torch.no_grad():
        recomputed = said(lm, batch).logprobs
    with pytest.raises(WorkError, match=r"the rollout reported .* than the policy"):
        compare(batch, recomputed, Bounds(exact=1e-3))


def test_another_engine_is_held_to_its_own_rounding() -> None:
    """The first step is .05 nats off at most: later four times that is allowed, and it is not calibrated again; in
    this process nothing is."""
    first = calibrated(OTHER_ENGINE, 0.05)
    assert first.exact == pytest.approx(0.2) and calibrated(first, 3.0) == first
    assert calibrated(Bounds(exact=1e-3), 3.0).exact == 1e-3
    assert calibrated(OTHER_ENGINE, 0.0).exact == 1e-3


def test_an_engine_of_other_weights_is_not_calibrated(backbone: Path) -> None:
    """Every log-probability .3 nats off: more than an engine's own rounding gives; .2 off is taken, and the bound
    of the later steps is four times that."""
    lm, turns, pad = rolled(backbone)
    batch = batch_of(turns, range(len(turns)), pad)
    with torch.no_grad():
        recomputed = said(lm, batch).logprobs
    exact = replace(batch, generated=recomputed.double())
    with pytest.raises(
        WorkError, match=r"0\.3 nats apart on average of \d+ actions, more than 0\.25"
    ):
        compare(replace(exact, generated=exact.generated - 0.3), recomputed, OTHER_ENGINE)
    found = compare(replace(exact, generated=exact.generated - 0.2), recomputed, OTHER_ENGINE)
    assert calibrated(OTHER_ENGINE, found.worst).exact == pytest.approx(0.8)


def test_another_engine_may_draw(backbone: Path, tmp_path: Path) -> None:
    """One that is handed the model as it is at each step; what it calibrated is kept by checkpoints."""
    made = list[Any]()

    def engine(model: Any) -> InProcessEngine:
        made.append(model)
        tokens = TokenMap.load(backbone)
        return InProcessEngine(model, tokens.eos, tokens.pad, 4)

    job = job_of(backbone, tmp_path, length_control, GRPO_SMALL, engine=engine)
    assert train_grpo(job, GRPO_SMALL).steps == 4 and len(made) == 4


def test_recomputed_activations_change_nothing(backbone: Path, tmp_path: Path) -> None:
    kept = train_grpo(job_of(backbone, tmp_path / "a", length_control, GRPO_SMALL), GRPO_SMALL)
    less = GRPO_SMALL.model_copy(update={"recompute": True})
    again = train_grpo(job_of(backbone, tmp_path / "b", length_control, less), less)
    assert again.weights_hash == kept.weights_hash


class Counting:
    """A probe that counts how often it was asked (a FAKE)."""

    def __init__(self) -> None:
        self.count = 0

    def probe(self, step: int, engine: Any, figures: Any) -> dict[str, float]:
        assert engine.generate([]) == [] and "reward" in figures
        self.count += 1
        return {"asked": float(self.count)}

    def state(self) -> dict[str, Any]:
        return {"count": self.count}

    def restore(self, state: Any) -> None:
        self.count = state["count"]


def test_a_backbone_in_bfloat16(backbone: Path, tmp_path: Path) -> None:
    """As on a GPU: what trains is in float32, rollout and training differ by more than fp32 rounds, and the bound
    that the first step calibrates lets the run end."""
    loaded = Backbone.load(backbone)
    torch.nn.Module.to(loaded.lm, torch.bfloat16)
    settings = GRPO_SMALL.model_copy(update={"recompute": True, "steps": 2})
    made = train_grpo(job_of(backbone, tmp_path, length_control, settings, loaded=loaded), settings)
    assert {weight.dtype for weight in weights_of(tmp_path).values()} == {torch.float32}
    assert loaded.lm.dtype == torch.bfloat16
    assert made.steps == 2 and made.metrics[0]["logprob_gap"] > 1e-6


def test_what_probes_know_survives_a_stop(backbone: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int, figures: dict[str, float]) -> None:
        if done == 3:
            raise KeyboardInterrupt

    given: dict[str, Any] = {"bounds": [Bound("asked", high=4.0, patience=1)]}
    job = job_of(
        backbone, tmp_path, length_control, GRPO_SMALL, probes=[Counting()], on_step=stop, **given
    )
    with pytest.raises(KeyboardInterrupt):
        train_grpo(job, GRPO_SMALL)
    again = job_of(backbone, tmp_path, length_control, GRPO_SMALL, probes=[Counting()], **given)
    made = train_grpo(again, GRPO_SMALL)
    assert [one["asked"] for one in made.metrics] == [1.0, 2.0, 3.0, 4.0]


def test_truncated_importance_weights_by_hand(turn: PolicyTurn, tokens: TokenMap) -> None:
    """Differences 0, ln 4 and -ln 20 nats: weights 1, 2 (capped) and 0, for 1/20 is below a tenth."""
    batch = batch_of([turn], [0], tokens.pad)
    moved = batch.generated + torch.tensor([[1.0, 4.0, 0.05]]).double().log()
    found = compare(batch, moved, Bounds(exact=None, cap=2.0, floor=0.1))
    torch.testing.assert_close(found.weights, torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64))
    assert found.masked == pytest.approx(1 / 3)


@pytest.fixture
def turn(tokens: TokenMap) -> PolicyTurn:
    """ "ab" and the end, each said to have been drawn with a log-probability of -1."""
    completion = [*tokens.text_ids("ab"), tokens.eos]
    constraint = asks_of(tokens)[0].constraint
    prompt = [tokens.asr, tokens.text]
    return PolicyTurn(prompt, completion, [-1.0] * 3, constraint, 1.0, FinishReason.END)


def test_a_completion_that_its_constraint_forbids(turn: PolicyTurn, tokens: TokenMap) -> None:
    audio = tokens.audio_offsets[0]
    with pytest.raises(WorkError, match="turn 0: token .* is not among the"):
        batch_of([replace(turn, completion=[audio, audio, tokens.eos])], [0], tokens.pad)


def test_failed_rewards_are_left_out_and_counted(backbone: Path, tmp_path: Path) -> None:
    """A third of the answers has no reward; a step without any stops."""

    def reward(answers: Answers) -> list[Reward]:
        failed = Reward(None, failure=Failure("scorer_error", "out of memory"))
        return [failed if i % 3 == 0 else one for i, one in enumerate(length_control(answers))]

    made = train_grpo(job_of(backbone, tmp_path / "a", reward, GRPO_SMALL), GRPO_SMALL)
    assert [one["failed"] for one in made.metrics] == [2.0] * 4

    def broken(answers: Answers) -> list[Reward]:
        return [Reward(None, failure=Failure("scorer_error", "out of memory")) for _ in answers]

    with pytest.raises(
        WorkError, match="no episode of 6 has a reward .scorer_error: out of memory"
    ):
        train_grpo(job_of(backbone, tmp_path / "b", broken, GRPO_SMALL), GRPO_SMALL)
    assert not list((tmp_path / "b").glob("adapter*"))


def test_a_reward_that_is_no_number_stops(backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="a scorer that has no value has to return a failure"):
        train_grpo(
            job_of(backbone, tmp_path, lambda a: [Reward(float("nan")) for _ in a], GRPO_SMALL),
            GRPO_SMALL,
        )
    with pytest.raises(ConfigError, match="value None and failure None"):
        Reward(None)
    with pytest.raises(ConfigError, match="5 values for 6 answers"):
        train_grpo(
            job_of(backbone, tmp_path, lambda a: length_control(a)[:-1], GRPO_SMALL), GRPO_SMALL
        )


@pytest.mark.slow
def test_a_reward_that_can_be_exploited_is_caught(backbone: Path, tmp_path: Path) -> None:
    """Longer is better, says the reward: the watcher of length stops the run and says why."""
    settings = GRPOSettings(
        **SMALL
        | {"steps": 60, "prompts": 4, "samples": 8, "minibatch_turns": 32, "max_tokens": 40}
        | {"learning_rate": 5e-3, "kl_coefficient": 0.0}
    )
    job = job_of(
        backbone,
        tmp_path,
        lambda answers: [Reward(len(said.tokens) / 40) for _, said in answers],
        settings,
        bounds=[Bound("length", high=1.5, patience=3, relative=True)],
    )
    with pytest.raises(WatcherStop, match="watcher length: .* at step .* outside at most"):
        train_grpo(job, settings)
    assert not (tmp_path / "adapter_model.safetensors").exists()


def test_a_bound_on_nothing_is_told_and_no_number_lies_outside() -> None:
    guard = Guard([Bound("lenght", high=1.0)])
    with pytest.raises(ConfigError, match="'lenght' and the first step has none .* kl, length"):
        guard.check(0, {"kl": 0.1, "length": 3.0})
    Guard([Bound("pitch_spread", low=1.0)]).check(0, {"kl": 0.1})  # nothing that sounds
    nan = Guard([Bound("kl", high=1.0, patience=2)])
    nan.check(0, {"kl": float("nan")})
    with pytest.raises(WatcherStop, match="watcher kl: nan at step 1"):
        nan.check(1, {"kl": float("nan")})


def test_the_guard_by_hand() -> None:
    """Three steps outside one after the other stop; one inside begins anew. Relative: the mean of the first three
    is 10, so 15 is the bound."""
    guard = Guard([Bound("kl", high=1.0)])
    for value in (2.0, 2.0, 0.5, 2.0, 2.0):
        guard.check(0, {"kl": value})
    kept = Guard([Bound("kl", high=1.0)])
    kept.restore(guard.state())
    with pytest.raises(WatcherStop, match="watcher kl: 2 at step 6, 3 steps outside at most 1"):
        kept.check(6, {"kl": 2.0})
    longer = Guard([Bound("length", high=1.5, relative=True)])
    for value in (9.0, 10.0, 11.0, 16.0, 16.0):
        longer.check(0, {"length": value})
    with pytest.raises(WatcherStop, match="at most 15"):
        longer.check(5, {"length": 16.0})


def test_repetition_by_hand() -> None:
    """abcabcabc has the 4-grams abca bcab cabc abca bcab cabc: three of six stood before."""
    assert repetition([1, 2, 3] * 3) == pytest.approx(0.5)
    assert repetition([1, 2, 3]) == 0.0


def test_what_the_text_watcher_sees(turn: PolicyTurn) -> None:
    cut = replace(
        turn, completion=turn.completion[:2], logprobs=[-1.0] * 2, finish_reason=FinishReason.LENGTH
    )
    seen = TextWatcher().watch(0, [Episode("a", (turn,), (1.0,)), Episode("b", (cut,), (0.0,))])
    assert seen == {"length": 2.5, "end_rate": 0.5, "repetition": 0.0}


def test_groups_by_pass_rate(turn: PolicyTurn) -> None:
    """Solved by none, by half, by all: with bounds 0.1 to 0.9 the half is kept."""
    settings = GRPOSettings(pass_rate=(0.1, 0.9))
    episodes = [
        Episode(prompt, (turn,), (reward,))
        for prompt, rewards in (("none", (0, 0)), ("half", (0, 1)), ("all", (1, 1)))
        for reward in map(float, rewards)
    ]
    kept = GRPO(settings, KLController(0.0)).kept(episodes)
    assert [one.prompt for one in kept] == ["half", "half"]


def test_rehearsal_keeps_what_was_learned(backbone: Path, tmp_path: Path, tokens: TokenMap) -> None:
    """Half of the updates are supervised; the loss of their rows is logged and falls."""
    row = Row([tokens.asr, tokens.text], [*tokens.text_ids("ab"), tokens.eos], [True] * 3)
    settings = GRPO_SMALL.model_copy(update={"rehearsal_share": 0.5, "learning_rate": 5e-3})
    made = train_grpo(
        job_of(backbone, tmp_path, length_control, settings, rehearsal=[row] * 4), settings
    )
    losses = [one["rehearsal_loss"] for one in made.metrics if "rehearsal_loss" in one]
    assert len(losses) == 4 and losses[-1] < losses[0]
    with pytest.raises(ConfigError, match="rehearsal_share is 0.5 and there are no rows"):
        train_grpo(job_of(backbone, tmp_path, length_control, settings), settings)


def test_episodes_that_were_cut_may_be_left_out(backbone: Path, tmp_path: Path) -> None:
    settings = GRPO_SMALL.model_copy(update={"truncated": "mask", "max_tokens": 2})
    made = train_grpo(job_of(backbone, tmp_path, length_control, settings), settings)
    assert all(one["left_out"] + one["end_rate"] * 6 == pytest.approx(6) for one in made.metrics)


def test_several_turns_are_one_sequence_of_actions(
    backbone: Path, tmp_path: Path, tokens: TokenMap
) -> None:
    """An episode of two turns, rewarded in the second alone: the first turn's actions get an advantage too."""

    class TwoTurns:
        def episodes(self, engine: Any, step: int) -> list[Episode]:
            inner = SingleTurn(asks_of(tokens), length_control, 2, 4, 1.0, 6, step)
            made = inner.episodes(engine, step)
            return [
                Episode("d", (a.turns[0], b.turns[0]), (0.0, b.total))
                for a, b in zip(made[::2], made[1::2], strict=True)
            ]

    settings = PPO_SMALL.model_copy(update={"critic_warmup": 0})
    made = train_ppo(Job(backbone, TwoTurns(), tmp_path, 0, "two"), settings)
    assert all(one["clip_share"] >= 0 and one["episodes"] == 4 for one in made.metrics)
    assert any(bool(v.any()) for n, v in weights_of(tmp_path).items() if "lora_B" in n)


def test_an_adapter_of_another_backbone(backbone: Path, tmp_path: Path) -> None:
    other = write_backbone(tmp_path / "other", seed=1)
    train_grpo(job_of(other, tmp_path / "a", length_control, GRPO_SMALL), GRPO_SMALL)
    with pytest.raises(ConfigError, match="was trained on backbone"):
        train_grpo(
            job_of(backbone, tmp_path / "b", length_control, GRPO_SMALL, start=tmp_path / "a"),
            GRPO_SMALL,
        )
    further = train_grpo(
        job_of(other, tmp_path / "c", length_control, GRPO_SMALL, start=tmp_path / "a"), GRPO_SMALL
    )
    assert further.steps == 4


def test_one_answer_is_no_group(backbone: Path, tmp_path: Path) -> None:
    settings = GRPO_SMALL.model_copy(update={"samples": 1})
    with pytest.raises(ConfigError, match="samples is 1: give at least 2"):
        train_grpo(job_of(backbone, tmp_path, length_control, settings), settings)
    with pytest.raises(ConfigError, match="there are no prompts"):
        SingleTurn([], length_control, 1, 2, 1.0, 4, 0)


def test_lora_covers_the_language_model_alone(backbone: Path) -> None:
    config = lora_config(Backbone.load(backbone).lm, 4, 8)
    assert config.lora_dropout == 0.0
