"""One backbone in memory, adapters swapped in place: nothing of one may stay in the other."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from trivox.platform.errors import BrokenAudio, ConfigError, NotFound, UnspeakableText
from trivox.platform.records import Sampling
from trivox.platform.text.error_rate import error_counts
from trivox.policy.backbone import Backbone, backbone_hash
from trivox.policy.resident import BACKBONE_HASH_FILE, ResidentPolicy
from trivox.policy.trainers.dpo import TrainedAdapter

PROMPT = torch.tensor([[4, 6, 9, 10, 7, 40, 60, 41]])
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


def test_transcribes(policy: ResidentPolicy, backbone: Backbone) -> None:
    waves = [np.zeros(n, np.float32) for n in (0, 1, 16_000)]
    with policy.using(None) as speaker:
        heard = speaker.transcribe(waves, Sampling(temperature=0.0, max_tokens=10))
    assert len(heard) == 3
    for one in heard:
        assert one.text == backbone.tokens.read_text(one.generation.tokens)
        assert set(one.text) <= backbone.tokens.characters.keys()


def test_refusals(policy: ResidentPolicy) -> None:
    with policy.using(None) as speaker:
        with pytest.raises(UnspeakableText, match="'7'"):
            speaker.speak(["room 7"], [0], SAMPLING)
        # 128 positions less a quarter for the transcript and 3 marks: 93 frames of 40 ms.
        with pytest.raises(BrokenAudio, match=r"audio of 10.0 s: this policy hears 3.7 s at most"):
            speaker.transcribe([np.zeros(10 * 16_000, np.float32)])


def test_verified_speech_is_the_best_understood_of_its_takes(policy: ResidentPolicy) -> None:
    """One take is what `speak` says; of several none is understood better than the one that is kept."""
    with policy.using(None) as speaker:
        (first,) = speaker.speak(["turn on"], [3], SAMPLING)
        (only,) = speaker.speak_verified(["turn on"], [3], SAMPLING, takes=1)
        (best,) = speaker.speak_verified(["turn on"], [3], SAMPLING, takes=4)
        heard = [t.text for t in speaker.transcribe([first.samples, best.samples])]
    np.testing.assert_array_equal(first.samples, only.samples)
    errors = [error_counts("turn on", text, "en-US").errors for text in heard]
    assert errors[1] <= errors[0]
