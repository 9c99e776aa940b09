"""The trainer on the tiny backbone: what it differentiates, what it keeps, and that a stop changes nothing."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trivox.platform.errors import ConfigError, NotFound, WorkError
from trivox.platform.records import Branch
from trivox.policy.backbone import Backbone, without_renaming_notices
from trivox.policy.resident import ADAPTER_WEIGHTS
from trivox.policy.rows import Row
from trivox.reward_models.bradley_terry import training
from trivox.reward_models.bradley_terry.learned import load_learned
from trivox.reward_models.bradley_terry.model import last_tokens
from trivox.reward_models.bradley_terry.pairs import RewardPair
from trivox.reward_models.bradley_terry.training import RewardSettings, TrainedReward, train_reward


def trainer_of(folder: Path, pairs: list[RewardPair], settings: RewardSettings, out: Path) -> Any:
    with without_renaming_notices():
        return training._trainer(
            Backbone.load(folder), pairs, settings, out, 0, lambda done, total: None
        )


def all_of(trainer: Any) -> Any:
    return trainer.data_collator([{"pair": n} for n in range(len(trainer.train_dataset))])


def test_padding_is_told_by_the_mask() -> None:
    """Padded right, padded left, not padded: the last real token, whatever its id."""
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0]])
    assert last_tokens(mask).tolist() == [1, 3, 3, 0]


def test_the_first_loss_is_that_of_the_formula(
    backbone_folder: Path, pairs: list[RewardPair], settings: RewardSettings, tmp_path: Path
) -> None:
    """One batch through the trainer against the likelihood written out, pair by pair, in numpy."""
    trainer = trainer_of(backbone_folder, pairs, settings, tmp_path)
    batch = all_of(trainer)
    trainer.model.train()
    with without_renaming_notices():
        loss = trainer.compute_loss(trainer.model, dict(batch)).item()
    rewards = trainer.model(**{k: v for k, v in batch.items() if "_" in k}).logits.detach()
    one, other = rewards.squeeze(-1).double().numpy().reshape(2, -1)
    total = weight = 0.0
    for pair, a, b in zip(pairs, one, other, strict=True):
        d = a - b - (0 if pair.tie else settings.margin_scale * pair.tokens.margin)
        logs = np.array([d / 2, -d / 2, 0.0])
        logp = logs - math.log(np.exp(logs).sum())
        eps = settings.label_smoothing
        own = -logp[2] if pair.tie else -(1 - eps) * logp[0] - eps * logp[1]
        total += pair.tokens.weight * (own + settings.centre * (a + b) ** 2)
        weight += pair.tokens.weight
    assert loss == pytest.approx(total / weight, rel=1e-4)


def test_adapter_head_and_tie_are_trained_and_nothing_else(
    backbone_folder: Path, pairs: list[RewardPair], settings: RewardSettings, tmp_path: Path
) -> None:
    trainer = trainer_of(backbone_folder, pairs, settings, tmp_path)
    for name, weight in trainer.model.named_parameters():
        if "lora_B" in name:  # where one factor is zero the other has no gradient
            weight.data.normal_(std=0.1)
    with without_renaming_notices():
        trainer.compute_loss(trainer.model, all_of(trainer)).backward()
    moved = {n for n, w in trainer.model.named_parameters() if w.grad is not None and w.grad.any()}
    lora = {n for n, _ in trainer.model.named_parameters() if "lora_" in n}
    head = {n for n in moved if ".score." in n}
    assert moved == lora | head and len(lora) == 2 * 7 * 2
    assert {name.rsplit(".", 1)[-1] for name in head} == {"weight", "tie"}
    assert not any("encoder" in name for name in moved)


def test_what_is_saved(trained: TrainedReward, settings: RewardSettings) -> None:
    weights = load_file(trained.folder / ADAPTER_WEIGHTS)
    assert {name.rsplit(".", 1)[-1] for name in weights if "score" in name} == {"weight", "tie"}
    told = json.loads((trained.folder / "reward.json").read_text())
    assert told["settings"] == settings.model_dump(mode="json") and told["ties"] == "davidson"
    assert told["pairs"] == trained.splits.counts and sum(told["pairs"].values()) == 60
    assert told["branches"] == ["asr", "realtime", "tts"]
    assert not list(trained.folder.glob("checkpoint-*"))
    assert trained.calibration.nll_after <= trained.calibration.nll_before


def test_what_is_loaded_gives_the_same_rewards(
    trained: TrainedReward, backbone_folder: Path
) -> None:
    learned, scale = load_learned(trained.folder, backbone_folder)
    again = learned.read_pairs(trained.splits.test)
    for before, after in zip(trained.test, again, strict=True):
        assert after.rewards == pytest.approx(before.rewards, abs=1e-5)
    assert scale.temperature == trained.calibration.temperature


def test_rewards_do_not_depend_on_neighbours_or_padding(
    trained: TrainedReward, backbone_folder: Path, pairs: list[RewardPair]
) -> None:
    """Within 1e-4 of the spread: alone, among longer ones, in any order."""
    learned, _ = load_learned(trained.folder, backbone_folder)
    rows: list[Row] = [row for pair in pairs[:20] for row in pair.rows]
    together = learned.read(rows).rewards
    alone = np.array([learned.read([row]).rewards[0] for row in rows])
    turned = learned.read(rows[::-1]).rewards[::-1]
    epsilon = 1e-4 * float(together.std())
    assert together == pytest.approx(alone, abs=epsilon)
    assert together == pytest.approx(turned, abs=epsilon)


def test_a_stopped_run_goes_on_to_the_same_weights(
    trained: TrainedReward,
    backbone_folder: Path,
    pairs: list[RewardPair],
    settings: RewardSettings,
    tmp_path: Path,
) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 6:
            raise Stop

    out = tmp_path / "model"
    with pytest.raises(Stop):
        train_reward(backbone_folder, pairs, settings, out, 1, on_step=stop)
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-4"]
    with pytest.raises(ConfigError, match="holds checkpoints of run"):
        train_reward(backbone_folder, pairs, settings, out, 2)
    resumed = train_reward(backbone_folder, pairs, settings, out, 1)
    assert resumed.weights_hash == trained.weights_hash


def test_one_branch_alone(
    backbone_folder: Path, pairs: list[RewardPair], settings: RewardSettings, tmp_path: Path
) -> None:
    only = settings.model_copy(update={"branches": (Branch.TTS,), "epochs": 1})
    many = [replace(one, group=one.id) for one in pairs]
    found = train_reward(backbone_folder, many, only, tmp_path / "tts", 2)
    assert {pair.branch for pair in found.splits.train} == {Branch.TTS}


def test_a_loss_that_is_not_finite_stops_the_run(
    backbone_folder: Path, pairs: list[RewardPair], settings: RewardSettings, tmp_path: Path
) -> None:
    wild = settings.model_copy(update={"learning_rate": 1e30, "epochs": 1})
    with pytest.raises(WorkError, match="lower the learning rate"):
        train_reward(backbone_folder, pairs, wild, tmp_path / "wild", 1)


def test_shares_that_leave_nothing(
    backbone_folder: Path, pairs: list[RewardPair], settings: RewardSettings, tmp_path: Path
) -> None:
    greedy = settings.model_copy(update={"test": 0.6, "calibration": 0.4})
    with pytest.raises(ConfigError, match="leave no prompt to train on"):
        train_reward(backbone_folder, pairs, greedy, tmp_path, 1)


def test_a_half_trained_folder_is_not_loaded(
    trained: TrainedReward, backbone_folder: Path, tmp_path: Path
) -> None:
    for name in (ADAPTER_WEIGHTS, "backbone.sha256", "adapter_config.json"):
        (tmp_path / name).write_bytes((trained.folder / name).read_bytes())
    with pytest.raises(NotFound, match=r"reward.json is missing: train it to the end"):
        load_learned(tmp_path, backbone_folder)
    (tmp_path / "backbone.sha256").write_text("0" * 64)
    with pytest.raises(ConfigError, match="was trained on backbone"):
        load_learned(tmp_path, backbone_folder)


def test_weights_count_only_when_asked_for(
    backbone_folder: Path, pairs: list[RewardPair], settings: RewardSettings, tmp_path: Path
) -> None:
    unsure = [replace(one, tokens=replace(one.tokens, weight=0.25)) for one in pairs[:2]]
    even = settings.model_copy(update={"confidence_weights": False})
    for given, wanted in ((settings, 0.25), (even, 1.0)):
        batch = all_of(trainer_of(backbone_folder, unsure, given, tmp_path))
        assert batch["weights"].tolist() == [wanted] * 2
