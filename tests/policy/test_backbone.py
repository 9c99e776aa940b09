"""A backbone folder: what must be in it, and what its hashes depend on."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from trivox.platform.errors import BrokenAudio, ConfigError, NotFound
from trivox.policy.backbone import Backbone, backbone_hash, locate
from trivox.policy.modeling import TrivoxForCausalLM
from trivox.policy.vocabulary import TokenMap


@pytest.fixture
def copy(backbone_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(backbone_folder, tmp_path / "copy"))


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "token_map.json",
        "codec/model.safetensors",
        "codec/config.json",
    ],
)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(NotFound, match=name.replace("/", r"\S*\W+") + " is missing"):
        Backbone.load(copy)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        Backbone.load(tmp_path / "nowhere")


def test_loaded(backbone: Backbone) -> None:
    assert not backbone.lm.training
    assert backbone.lm.dtype == torch.float32
    assert backbone.position_limit == 128
    assert backbone.codec.spec.codebook_sizes == backbone.tokens.codebook_sizes


def test_hash_is_of_both_weights_and_not_of_the_place(backbone_folder: Path, copy: Path) -> None:
    before = backbone_hash(backbone_folder)
    assert backbone_hash(copy) == before
    for name in ("model.safetensors", "codec/model.safetensors"):
        original = (copy / name).read_bytes()
        (copy / name).write_bytes(original + b" ")
        assert backbone_hash(copy) != before, name
        (copy / name).write_bytes(original)


def test_locate(tmp_path: Path) -> None:
    assert locate("artefacts/one", tmp_path) == tmp_path / "artefacts" / "one"
    packaged = locate("package:trivox-nano-v2", tmp_path)
    assert packaged.parts[-3:] == ("policy", "checkpoints", "trivox-nano-v2")


def test_no_dropout_in_training_mode_either(backbone: Backbone) -> None:
    """The recipe trains with attention dropout, which the saved config repeats."""
    ids = torch.tensor([[4, 6, 9, 10, 7, 40, 60]])
    with torch.no_grad():
        expected = backbone.lm(ids).logits
        assert torch.equal(backbone.lm.train()(ids).logits, expected)


def test_a_backbone_that_hears(hearing: Backbone) -> None:
    assert isinstance(hearing.lm, TrivoxForCausalLM) and hearing.hears
    assert (hearing.hearing_rate, hearing.position_limit) == (16_000, 128)
    features = hearing.features(np.ones(16_000, np.float32))
    assert features.shape == (100, 64) and features.dtype == np.float32
    assert hearing.embeddings(features) == 13
    with pytest.raises(BrokenAudio, match="at least 1 sample"):
        hearing.features(np.zeros(0, np.float32))


def test_a_backbone_that_does_not(hearing_folder: Path, backbone: Backbone) -> None:
    """A plain LM, and a hearing one loaded without its encoder."""
    deaf = Backbone.load(hearing_folder, encoder=False)
    for one in (deaf, backbone):
        assert not one.hears
        with pytest.raises(ConfigError, match="does not hear"):
            one.features(np.ones(16_000, np.float32))
        with pytest.raises(ConfigError, match="no audio encoder"):
            one.embeddings(np.ones((1, 64), np.float32))


def test_features_of_nano_need_no_settings(hearing_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(hearing_folder, tmp_path / "copy"))
    (copy / "processor_config.json").unlink()
    assert Backbone.load(copy).hearing_rate == 16_000


def test_sharded_weights(backbone_folder: Path, backbone: Backbone, copy: Path) -> None:
    """The same logits from several files; each file counts in the hash, and none may be missing."""
    (copy / "model.safetensors").unlink()
    backbone.lm.save_pretrained(copy, max_shard_size="20KB")
    index = json.loads((copy / "model.safetensors.index.json").read_text())
    shards = sorted(set(index["weight_map"].values()))
    assert len(shards) > 1
    ids = torch.tensor([[4, 6, 9, 10]])
    assert torch.equal(Backbone.load(copy).lm(ids).logits, backbone.lm(ids).logits)
    before = backbone_hash(copy)
    (copy / shards[-1]).write_bytes((copy / shards[-1]).read_bytes() + b" ")
    assert backbone_hash(copy) != before
    (copy / shards[0]).unlink()
    with pytest.raises(NotFound, match=f"{shards[0]} is missing"):
        Backbone.load(copy)


def test_a_model_that_does_not_fit_its_token_map(
    hearing_folder: Path, tmp_path: Path, tokens: TokenMap
) -> None:
    copy = Path(shutil.copytree(hearing_folder, tmp_path / "copy"))
    rows = tokens.vocab_size
    dataclasses.replace(tokens, vocab_size=rows + 32).save(copy)
    with pytest.raises(
        ConfigError, match=f"its model has {rows} tokens and its token map {rows + 32}"
    ):
        Backbone.load(copy)
    dataclasses.replace(tokens, audio=tokens.audio + 1).save(copy)
    with pytest.raises(ConfigError, match="takes token 8 for audio and its token map 9"):
        Backbone.load(copy)


def test_threads(backbone_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for a small model; what torch had at first for a large one."""
    found: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    monkeypatch.setattr("trivox.policy.backbone._THREADS", 7)
    Backbone.load(backbone_folder)
    monkeypatch.setattr("trivox.policy.backbone._SMALL", 1000)
    Backbone.load(backbone_folder)
    assert found == [1, 7]
