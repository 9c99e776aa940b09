"""All weights trained: the reference is a copy of those it began with, and a whole backbone comes out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.policy.conftest import write_hearing_backbone
from tests.policy.trainers.rl.tasks import SMALL, job_of, length_control, stopped
from trivox.platform.errors import ConfigError, WorkError
from trivox.policy.backbone import Backbone, backbone_hash
from trivox.policy.trainers.rl.reference import FrozenCopy
from trivox.policy.trainers.rl.run import Run, grpo, train_grpo, train_ppo
from trivox.policy.trainers.rl.settings import GRPOSettings, PPOSettings

GRPO_FULL = GRPOSettings(**SMALL, lora_rank=0)
PPO_FULL = PPOSettings(**SMALL, lora_rank=0, critic_warmup=1)


@pytest.mark.parametrize("kind", ["grpo", "ppo"])
def test_a_stopped_run_ends_as_if_it_had_not_stopped(
    kind: str, backbone: Path, tmp_path: Path
) -> None:
    """To the same backbone, with the KL to the same reference, which is 0 in the first step: the policy is it."""
    train: Any = train_grpo if kind == "grpo" else train_ppo
    settings: Any = GRPO_FULL if kind == "grpo" else PPO_FULL
    whole = train(job_of(backbone, tmp_path / "whole", length_control, settings), settings)
    stopped(train, backbone, tmp_path / "cut", settings)
    resumed = train(job_of(backbone, tmp_path / "cut", length_control, settings), settings)
    assert resumed.weights_hash == whole.weights_hash == backbone_hash(tmp_path / "whole")
    shown = [[one["kl"] for one in run.metrics] for run in (whole, resumed)]
    assert shown[0] == shown[1] and shown[0][0] == 0 and shown[0][-1] != 0
    assert not list((tmp_path / "cut").glob("checkpoint-*"))


def test_a_whole_backbone_is_written(tmp_path: Path) -> None:
    """Every matrix of the language model has moved, nothing of what hears has, and it loads."""
    folder = write_hearing_backbone(tmp_path / "start")
    made = train_grpo(job_of(folder, tmp_path / "made", length_control, GRPO_FULL), GRPO_FULL)
    assert made.weights_hash == backbone_hash(tmp_path / "made") != backbone_hash(folder)
    before, after = (load_file(one / "model.safetensors") for one in (folder, made.folder))
    assert before.keys() == after.keys()
    for name, weight in before.items():
        hears = ".encoder." in name or ".adapter." in name
        assert torch.equal(weight, after[name]) == hears, name
    assert Backbone.load(made.folder).hears


def test_the_reference_is_the_start_and_stays_it(backbone: Path, tmp_path: Path) -> None:
    """After an update its weights are the backbone's, bit for bit; one that something changed stops the run."""
    run = Run(job_of(backbone, tmp_path, length_control, GRPO_FULL), GRPO_FULL, grpo(GRPO_FULL))
    run.step(0)
    start = Backbone.load(backbone).lm.state_dict()
    assert isinstance(run.reference, FrozenCopy)
    kept = run.reference.lm.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in start.items())
    now = run.model.state_dict()
    assert any(not torch.equal(now[name], weight) for name, weight in start.items())
    run.reference.check()
    with torch.no_grad():
        next(run.reference.lm.parameters()).view(-1)[0] += 1
    with pytest.raises(WorkError, match="the reference had weights"):
        run.reference.check()


def test_only_what_trains_is_copied(tmp_path: Path) -> None:
    """Encoder and audio adapter are the policy's own: a copy would only cost memory."""
    folder = write_hearing_backbone(tmp_path / "start")
    run = Run(job_of(folder, tmp_path, length_control, GRPO_FULL), GRPO_FULL, grpo(GRPO_FULL))
    assert isinstance(run.reference, FrozenCopy)
    ours = dict(run.model.named_parameters())
    for name, weight in run.reference.lm.named_parameters():
        hears = ".encoder." in name or ".adapter." in name
        assert (weight.data_ptr() == ours[name].data_ptr()) == hears, name


def test_an_adapter_is_no_start(backbone: Path, tmp_path: Path) -> None:
    job = job_of(backbone, tmp_path / "run", length_control, GRPO_FULL, start=tmp_path)
    with pytest.raises(ConfigError, match="GRPO: lora_rank 0 trains all weights and start"):
        train_grpo(job, GRPO_FULL)
    assert not (tmp_path / "run").exists()
