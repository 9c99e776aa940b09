"""The blocks: what each position has read, decoders of several kinds, and files."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from tests.policy.tiny_models import lm_folder
from trivox.platform.errors import ConfigError
from trivox.policy.backbone import Backbone
from trivox.policy.mtp.blocks import MTP_CONFIG, MTP_WEIGHTS, MTPBlocks
from trivox.policy.mtp.lean import LeanStep, lean_or_plain
from trivox.policy.mtp.window import RowsCache, Window


def woken(blocks: MTPBlocks) -> MTPBlocks:
    """With random weights, so that every part says something."""
    torch.manual_seed(3)
    for parameter in blocks.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim == 1 else 0.0, 0.3)
    return blocks.eval()


@pytest.mark.parametrize("name", ["Llama", "Qwen2", "Qwen3"])
def test_block_h_has_read_token_j_plus_h_and_none_after(tmp_path: Path, name: str) -> None:
    lm = AutoModelForCausalLM.from_pretrained(lm_folder(tmp_path, name)).eval()
    blocks = woken(MTPBlocks(lm, 3))
    hidden, embeds = torch.randn(1, 9, blocks.width), torch.randn(1, 9, blocks.width)
    before = blocks(hidden, embeds)
    changed = embeds.clone()
    changed[0, 6] += 1
    for ahead, (old, new) in enumerate(zip(before, blocks(hidden, changed), strict=True), start=1):
        differs = (old - new).abs().amax(-1)[0] > 1e-6
        assert not differs[: 6 - ahead].any()
        assert differs[6 - ahead]


@pytest.mark.parametrize(
    ("name", "changed"),
    [("Llama", {}), ("Qwen2", {}), ("Qwen3", {}), ("Qwen3", {"num_key_value_heads": 1})],
)
def test_the_lean_pass_is_the_blocks_own(
    tmp_path: Path, name: str, changed: dict[str, int]
) -> None:
    """Also in two parts, the second reading on where the first stopped, as drafting does."""
    lm = AutoModelForCausalLM.from_pretrained(lm_folder(tmp_path, name, **changed)).eval()
    blocks = woken(MTPBlocks(lm, 1))
    step = lean_or_plain(blocks.layers[0], blocks.rotary)
    assert isinstance(step, LeanStep)
    hidden, embeds = torch.randn(1, 8, blocks.width), torch.randn(1, 8, blocks.width)
    ahead = torch.nn.functional.pad(embeds[:, 1:], (0, 0, 0, 1))
    cache, found = RowsCache(1, 1, 8, hidden), list[torch.Tensor]()
    with torch.no_grad():
        for begin, end in ((0, 5), (5, 8)):
            cache.window = Window([begin], end - begin, hidden.device)
            rope = blocks.rotary(hidden, cache.positions())
            found.append(step(hidden[:, begin:end], ahead[:, begin:end], rope, cache))
        assert torch.allclose(torch.cat(found, 1), blocks(hidden, embeds)[0], atol=1e-4)


def test_a_layer_that_does_more_takes_the_plain_pass(tmp_path: Path) -> None:
    lm = AutoModelForCausalLM.from_pretrained(
        lm_folder(tmp_path, "Granite", residual_multiplier=0.5)
    )
    blocks = woken(MTPBlocks(lm.eval(), 1))
    assert not isinstance(lean_or_plain(blocks.layers[0], blocks.rotary), LeanStep)


def test_saved_and_loaded_blocks_are_the_same(hearing: Backbone, tmp_path: Path) -> None:
    blocks = woken(MTPBlocks(hearing.lm, 2))
    blocks.rounding = {"cpu/float32": 1e-6}
    blocks.save(tmp_path)
    loaded = MTPBlocks.load(tmp_path, hearing.lm)
    assert loaded is not None and loaded.depth == 2 and loaded.rounding == blocks.rounding
    for name, value in blocks.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name])


def test_half_precision_on_disk_is_float32_in_memory(hearing: Backbone, tmp_path: Path) -> None:
    blocks = woken(MTPBlocks(hearing.lm, 1))
    blocks.save(tmp_path, "float16")
    loaded = MTPBlocks.load(tmp_path, hearing.lm)
    assert loaded is not None
    assert {value.dtype for value in load_file(tmp_path / MTP_WEIGHTS).values()} == {torch.float16}
    for name, value in blocks.state_dict().items():
        assert torch.equal(value.half().float(), loaded.state_dict()[name])


def test_a_backbone_finds_the_blocks_in_its_folder(hearing_folder: Path, tmp_path: Path) -> None:
    assert Backbone.load(hearing_folder).mtp is None
    folder = tmp_path / "with"
    folder.mkdir()
    for file in hearing_folder.iterdir():
        (folder / file.name).symlink_to(file)
    MTPBlocks(Backbone.load(hearing_folder).lm).save(folder)
    found = Backbone.load(folder).mtp
    assert found is not None and found.depth == 5


def test_broken_files_are_refused(hearing: Backbone, tmp_path: Path) -> None:
    blocks = MTPBlocks(hearing.lm, 1)
    blocks.save(tmp_path)
    config = json.loads((tmp_path / MTP_CONFIG).read_text())
    (tmp_path / MTP_CONFIG).write_text(json.dumps(config | {"depth": 2}))
    with pytest.raises(ConfigError, match="does not hold 2 blocks"):
        MTPBlocks.load(tmp_path, hearing.lm)
    (tmp_path / MTP_CONFIG).write_text("[]")
    with pytest.raises(ConfigError, match="cannot be read"):
        MTPBlocks.load(tmp_path, hearing.lm)
    (tmp_path / MTP_WEIGHTS).unlink()
    with pytest.raises(ConfigError, match="is missing"):
        MTPBlocks.load(tmp_path, hearing.lm)


def test_decoders_that_remember_a_window_only_are_refused(tmp_path: Path) -> None:
    folder = lm_folder(
        tmp_path, "Qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=0
    )
    with pytest.raises(ConfigError, match="needs full attention"):
        MTPBlocks(AutoModelForCausalLM.from_pretrained(folder))
    with pytest.raises(ConfigError, match="has no layers"):
        MTPBlocks(GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2)))
