"""Training of the blocks: stage A touches nothing else, stage B does, a stopped run goes on."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.policy.tiny_models import lm_folder
from trivox.pipelines.training.mtp import MTPBatch, MTPSettings, train_mtp
from trivox.platform.errors import WorkError
from trivox.policy.mtp.loss import HorizonLoss

SETTINGS = MTPSettings(depth=2, steps=30, learning_rate=1e-2, warm_up=2, bf16=False)


def lm_of(folder: Path) -> PreTrainedModel:
    lm: PreTrainedModel = AutoModelForCausalLM.from_pretrained(lm_folder(folder, "Llama"))
    return lm


def batch_of(lm: PreTrainedModel, step: int) -> MTPBatch:
    """Numbers that count up from another start each time: what comes two ahead can be known."""
    starts = torch.arange(4)[:, None] * 7 + step % 5 + 10
    ids = (starts + torch.arange(12)) % 60
    labels = ids.clone()
    labels[:, :3] = -100
    return MTPBatch(lm.get_input_embeddings()(ids), torch.ones_like(ids), labels)


def trained(
    lm: PreTrainedModel, settings: MTPSettings, checkpoint: Path
) -> tuple[dict[str, torch.Tensor], list[HorizonLoss]]:
    losses = list[HorizonLoss]()
    blocks = train_mtp(
        lm,
        lambda step: batch_of(lm, step),
        settings,
        checkpoint,
        lambda done, total, loss: losses.append(loss),
    )
    return blocks.state_dict(), losses


def test_stage_a_teaches_the_blocks_and_leaves_the_model(tmp_path: Path) -> None:
    lm = lm_of(tmp_path / "lm")
    before = {name: value.clone() for name, value in lm.state_dict().items()}
    _, losses = trained(lm, SETTINGS, tmp_path / "mtp.pt")
    assert all(torch.equal(value, lm.state_dict()[name]) for name, value in before.items())
    for first, last in zip(losses[0].by_horizon, losses[-1].by_horizon, strict=True):
        assert last < 0.7 * first


def test_stage_b_changes_the_model_too(tmp_path: Path) -> None:
    lm = lm_of(tmp_path / "lm")
    before = lm.model.layers[0].mlp.up_proj.weight.clone()
    settings = SETTINGS.model_copy(update={"steps": 2, "joint_steps": 3})
    _, losses = trained(lm, settings, tmp_path / "mtp.pt")
    assert not torch.equal(before, lm.model.layers[0].mlp.up_proj.weight)
    assert len(losses) == 5


def test_a_stopped_run_ends_where_a_whole_one_does(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"steps": 6, "checkpoint_every": 2})
    whole, _ = trained(lm_of(tmp_path / "lm"), settings, tmp_path / "whole.pt")

    class Stopped(Exception):
        pass

    lm, seen = lm_of(tmp_path / "lm"), list[int]()

    def stopping(done: int, total: int, loss: HorizonLoss) -> None:
        seen.append(done)
        if done == 5:
            raise Stopped

    with pytest.raises(Stopped):
        train_mtp(lm, lambda s: batch_of(lm, s), settings, tmp_path / "parts.pt", stopping)
    resumed, losses = trained(lm_of(tmp_path / "lm"), settings, tmp_path / "parts.pt")
    assert len(losses) == 2  # from the checkpoint after 4
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    lm = lm_of(tmp_path / "lm")
    with torch.no_grad():
        lm.lm_head.weight.fill_(float("nan"))
    with pytest.raises(WorkError, match="the loss became nan"):
        trained(lm, SETTINGS, tmp_path / "mtp.pt")
