"""Runs of DPO that are broken off, and references that move."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trivox.platform.errors import ConfigError
from trivox.policy.backbone import Backbone, backbone_hash
from trivox.policy.resident import ADAPTER_WEIGHTS
from trivox.policy.trainers.dpo import DPOSettings, TokenPair, TrainedAdapter, train_dpo


class Broken(Exception):
    """The machine is gone."""


def broken_at(step: int) -> Any:
    def on_step(done: int, total: int) -> None:
        if done == step:
            raise Broken

    return on_step


def test_a_checkpoint_that_was_cut_short_is_named(
    backbone_folder: Path, pairs: Sequence[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    changed = settings.model_copy(update={"checkpoint_every": 2})
    with pytest.raises(Broken):
        train_dpo(backbone_folder, pairs, changed, tmp_path, 3, on_step=broken_at(3))
    cut = tmp_path / "checkpoint-2" / ADAPTER_WEIGHTS
    cut.write_bytes(cut.read_bytes()[:-10])
    with pytest.raises(ConfigError, match=f"{ADAPTER_WEIGHTS} was changed or cut short"):
        train_dpo(backbone_folder, pairs, changed, tmp_path, 3)
    assert cut.exists() and not (tmp_path / ADAPTER_WEIGHTS).exists()


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("moves", [0, 2])
def test_a_run_that_was_broken_off_ends_as_one_that_was_not(
    start: bool,
    moves: int,
    backbone_folder: Path,
    pairs: Sequence[TokenPair],
    settings: DPOSettings,
    adapters: list[TrainedAdapter],
    tmp_path: Path,
) -> None:
    """In its third of four steps, after the checkpoint of the second: the same bits, and figures of every step. So
    too where the reference is a copy of the start, and where it has moved."""
    changed = settings.model_copy(update={"checkpoint_every": 2, "reference_every": moves})
    begin = adapters[0].folder if start else None

    def train(folder: str, **more: Any) -> TrainedAdapter:
        return train_dpo(backbone_folder, pairs, changed, tmp_path / folder, 3, begin, **more)

    whole = train("whole")
    with pytest.raises(Broken):
        train("cut", on_step=broken_at(3))
    assert [one.name for one in (tmp_path / "cut").glob("checkpoint-*")] == ["checkpoint-2"]
    seen = list[int]()
    resumed = train("cut", on_figures=lambda done, total, figures: seen.append(done))
    assert seen == [3, 4]
    assert resumed.weights_hash == whole.weights_hash
    shown = [[one["loss"] for one in made.metrics] for made in (whole, resumed)]
    assert shown[0] == shown[1] and len(shown[0]) == 4
    assert not list((tmp_path / "cut").glob("checkpoint-*"))


def test_checkpoints_of_another_run_are_refused(
    backbone_folder: Path, pairs: Sequence[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    changed = settings.model_copy(update={"checkpoint_every": 1})
    with pytest.raises(Broken):
        train_dpo(backbone_folder, pairs, changed, tmp_path, 3, on_step=broken_at(2))
    with pytest.raises(ConfigError, match="holds checkpoints of run"):
        train_dpo(backbone_folder, pairs, changed, tmp_path, 4)


def test_a_reference_that_moves(
    backbone_folder: Path, pairs: Sequence[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    """Moved after every step, the policy is its reference at each, so that every margin is 0 and every loss ln 2
    but for what the supervised term adds; moved never, the margin grows."""
    plain = settings.model_copy(update={"sft_weight": 0.0})
    stays = train_dpo(backbone_folder, pairs, plain, tmp_path / "stays", 3)
    moving = plain.model_copy(update={"reference_every": 1})
    moves = train_dpo(backbone_folder, pairs, moving, tmp_path / "moves", 3)
    assert stays.metrics[-1]["rewards/margins"] > 0.01
    for one in moves.metrics:
        assert one["rewards/margins"] == pytest.approx(0, abs=1e-5)
        assert one["loss"] == pytest.approx(0.693147, abs=1e-4)
    trained = [load_file(tmp_path / name / ADAPTER_WEIGHTS) for name in ("stays", "moves")]
    assert any(not torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
    with pytest.raises(ConfigError, match="the reference moves every 1 steps"):
        train_dpo(
            backbone_folder, pairs, moving, tmp_path / "no", 3, reference_cache=tmp_path / "cache"
        )


def test_rows_of_tokens_train_too(
    backbone_folder: Path, pairs: Sequence[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    """At the start nothing has moved from the reference, which is the backbone with the adapter off; then it
    does."""
    changed = settings.model_copy(update={"train_tokens": True})
    made = train_dpo(backbone_folder, pairs, changed, tmp_path, 3)
    assert made.metrics[0]["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert made.metrics[-1]["rewards/margins"] > 0.01
    rows = next(v for n, v in load_file(tmp_path / ADAPTER_WEIGHTS).items() if "embed_tokens" in n)
    before = Backbone.load(backbone_folder).lm.get_input_embeddings().weight
    assert rows.shape == before.shape and not torch.equal(rows, before)


@pytest.mark.parametrize("kept", [False, True])
def test_all_weights(
    kept: bool,
    backbone_folder: Path,
    pairs: Sequence[TokenPair],
    settings: DPOSettings,
    tmp_path: Path,
) -> None:
    """A whole backbone comes out, the first loss is that of a policy which is its reference (log 2), and a run
    that was broken off ends in the same bits: its reference is the start, not the checkpoint."""
    changed = settings.model_copy(
        update={"lora_rank": 0, "learning_rate": 1e-3, "sft_weight": 0.0, "checkpoint_every": 2}
    )

    def train(folder: str, **more: Any) -> TrainedAdapter:
        cache = tmp_path / f"{folder}-references" if kept else None
        return train_dpo(
            backbone_folder, pairs, changed, tmp_path / folder, 3, reference_cache=cache, **more
        )

    whole = train("whole")
    with pytest.raises(Broken):
        train("cut", on_step=broken_at(3))
    resumed = train("cut")
    assert resumed.weights_hash == whole.weights_hash == backbone_hash(tmp_path / "whole")
    assert whole.metrics[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert whole.metrics[-1]["rewards/margins"] > 0.01
    shown = [[one["loss"] for one in made.metrics] for made in (whole, resumed)]
    assert shown[0] == shown[1]
    before = load_file(backbone_folder / "model.safetensors")
    after = load_file(whole.folder / "model.safetensors")
    assert before.keys() == after.keys()
    assert not any(torch.equal(weight, after[name]) for name, weight in before.items())


def test_all_weights_start_from_a_backbone_and_have_one_reference(
    backbone_folder: Path,
    pairs: Sequence[TokenPair],
    adapters: list[TrainedAdapter],
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="DPO: lora_rank 0 trains all weights and start"):
        train_dpo(
            backbone_folder, pairs, DPOSettings(lora_rank=0), tmp_path / "a", 0, adapters[0].folder
        )
    with pytest.raises(ValueError, match="moves with an adapter alone"):
        DPOSettings(lora_rank=0, reference_every=2)
    assert not (tmp_path / "a").exists()


def test_several_processes_are_refused(
    backbone_folder: Path,
    pairs: Sequence[TokenPair],
    settings: DPOSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As torchrun or accelerate launch them: they would write one folder."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="launched as 2 processes"):
        train_dpo(backbone_folder, pairs, settings, tmp_path / "a", 0)
    assert not (tmp_path / "a").exists()
