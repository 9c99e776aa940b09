"""A backbone folder: what must be in it, and what its hashes depend on."""

import shutil
from pathlib import Path

import pytest
import torch

from trivox.platform.errors import NotFound
from trivox.policy.backbone import Backbone, backbone_hash, locate


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
    with pytest.raises(NotFound, match=f"{name} is missing"):
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
    packaged = locate("package:trivox-nano-v1", tmp_path)
    assert packaged.parts[-3:] == ("policy", "checkpoints", "trivox-nano-v1")


def test_no_dropout_in_training_mode_either(backbone: Backbone) -> None:
    """The recipe trains with attention dropout, which the saved config repeats."""
    ids = torch.tensor([[4, 6, 9, 10, 7, 40, 60]])
    with torch.no_grad():
        expected = backbone.lm(ids).logits
        assert torch.equal(backbone.lm.train()(ids).logits, expected)
