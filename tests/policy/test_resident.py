"""One backbone in memory, adapters swapped in place: nothing of one may stay in the other."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.records import Sampling
from trivox.policy.backbone import Backbone, backbone_hash
from trivox.policy.resident import BACKBONE_HASH_FILE, ResidentPolicy
from trivox.policy.trainers.dpo import DPOSettings, TokenPair, TrainedAdapter, train_dpo

PROMPT = torch.tensor([[4, 6, 17, 18, 7, 16, 17, 50, 70]])
SAMPLING = Sampling(max_tokens=20)


@pytest.fixture
def policy(backbone_folder: Path) -> ResidentPolicy:
    return ResidentPolicy(backbone_folder, slots=4)


def logits(policy: ResidentPolicy, adapter: Path | None) -> Tensor:
    with policy.using(adapter) as speaker, torch.no_grad():
        return speaker.engine.model(PROMPT).logits


def test_adapter_off_is_the_backbone_exactly(
    policy: ResidentPolicy, backbone: Backbone, adapters: list[TrainedAdapter]
) -> None:
    with torch.no_grad():
        bare = backbone.lm(PROMPT).logits
    assert torch.equal(logits(policy, None), bare)
    assert not torch.equal(logits(policy, adapters[0].folder), bare)
    assert torch.equal(logits(policy, None), bare)


def test_swapping_back_and_forth(policy: ResidentPolicy, adapters: list[TrainedAdapter]) -> None:
    one, two = (adapter.folder for adapter in adapters)
    order = [one, two, None, two, one, None, one]
    seen: dict[Path | None, Tensor] = {}
    for adapter in order:
        found = logits(policy, adapter)
        assert torch.equal(found, seen.setdefault(adapter, found))
    assert not torch.equal(seen[one], seen[two])


def test_an_adapter_answers_the_same_in_a_fresh_policy(
    policy: ResidentPolicy, backbone_folder: Path, adapters: list[TrainedAdapter]
) -> None:
    logits(policy, adapters[0].folder)
    fresh = ResidentPolicy(backbone_folder)
    second = adapters[1].folder
    assert torch.equal(logits(policy, second), logits(fresh, second))


def test_adapter_of_another_backbone(
    policy: ResidentPolicy, backbone_folder: Path, adapters: list[TrainedAdapter], tmp_path: Path
) -> None:
    strange = Path(shutil.copytree(adapters[0].folder, tmp_path / "strange"))
    (strange / BACKBONE_HASH_FILE).write_text("f" * 64 + "\n")
    own = backbone_hash(backbone_folder)[:12]
    with pytest.raises(ConfigError, match=rf"{'f' * 12}, this one is {own}"), policy.using(strange):
        pass


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "backbone.sha256"])
def test_folder_that_is_no_adapter(
    policy: ResidentPolicy, adapters: list[TrainedAdapter], tmp_path: Path, name: str
) -> None:
    torn = Path(shutil.copytree(adapters[0].folder, tmp_path / "torn"))
    (torn / name).unlink()
    with pytest.raises(NotFound, match=f"{name} is missing"), policy.using(torn):
        pass


def test_speaks(policy: ResidentPolicy) -> None:
    with policy.using(None) as speaker:
        spoken = speaker.speak(["turn on", "A!", "b"], [1, 2, 3], SAMPLING)
        again = speaker.speak(["turn on", "A!", "b"], [1, 2, 3], SAMPLING)
    for one, same in zip(spoken, again, strict=True):
        assert one.codes.shape == (len(one.codes), 2)
        assert len(one.samples) == 640 * len(one.codes)
        said = [t for t in one.generation.tokens if t >= policy.backbone.tokens.audio_offsets[0]]
        assert len(one.codes) == len(said) // 2
        np.testing.assert_array_equal(one.samples, same.samples)


def test_a_backbone_that_does_not_hear_says_so(policy: ResidentPolicy) -> None:
    with policy.using(None) as speaker, pytest.raises(ConfigError, match="does not hear"):
        speaker.transcribe([np.zeros(1, np.float32)])


def test_an_adapter_of_a_backbone_that_hears(
    hearing_folder: Path, pairs: list[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    """It changes what is heard, and leaves nothing behind."""
    adapter = train_dpo(hearing_folder, pairs, settings, tmp_path / "adapter", 1).folder
    policy, wave = ResidentPolicy(hearing_folder), [np.ones(4000, np.float32)]

    def logprobs(folder: Path | None) -> list[float]:
        with policy.using(folder) as speaker:
            return speaker.transcribe(wave, Sampling(max_tokens=3))[0].generation.logprobs

    before, adapted, after = logprobs(None), logprobs(adapter), logprobs(None)
    assert before == after != adapted
