"""Adapters folded into their backbone, and versions exported: the same model in another form."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from tests.policy.conftest import write_backbone
from trivox.platform.errors import ConfigError, UsageError, WorkError
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.resident import ADAPTER_WEIGHTS, BACKBONE_HASH_FILE, ResidentPolicy
from trivox.policy.trainers.common import TOKEN_MODULES, lora_config
from trivox.policy.trainers.exporting import export_adapter, export_merged
from trivox.policy.trainers.merging import Folded, MergeSettings, combined, merge_adapters

IDS = torch.tensor([[3, 17, 6, 20, 21]])


def write_adapter(backbone: Path, folder: Path, seed: int, whole: tuple[str, ...] = ()) -> Path:
    """An adapter of random changes, as if it had been trained."""
    torch.manual_seed(seed)
    loaded = Backbone.load(backbone)
    with without_renaming_notices():
        model: Any = get_peft_model(loaded.lm, lora_config(loaded.lm, 2, 4, whole))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name or "modules_to_save" in name:
                weight.add_(0.05 * torch.randn_like(weight))
    model.save_pretrained(folder)
    (folder / BACKBONE_HASH_FILE).write_text(backbone_hash(backbone) + "\n")
    return folder


@torch.no_grad()
def logits_of(lm: Any) -> torch.Tensor:
    found: torch.Tensor = lm(IDS).logits
    return found


def logits_with(backbone: Path, adapter: Path) -> torch.Tensor:
    with ResidentPolicy(backbone).using(adapter) as speaker:
        return logits_of(speaker.engine.model)


@pytest.fixture(scope="module")
def one(backbone_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(backbone_folder, tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="module")
def two(backbone_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With rows of tokens of its own."""
    folder = tmp_path_factory.mktemp("two")
    return write_adapter(backbone_folder, folder, 2, TOKEN_MODULES)


def test_one_adapter_folded_in_says_the_same(
    backbone_folder: Path, one: Path, tmp_path: Path
) -> None:
    before = backbone_hash(backbone_folder)
    made = merge_adapters(backbone_folder, [Folded(one)], MergeSettings(), tmp_path / "m")
    merged = Backbone.load(tmp_path / "m")
    torch.testing.assert_close(logits_of(merged.lm), logits_with(backbone_folder, one))
    assert made == backbone_hash(tmp_path / "m") != before == backbone_hash(backbone_folder)


def test_rows_of_tokens_are_averaged_once(
    backbone_folder: Path, one: Path, two: Path, tmp_path: Path
) -> None:
    """Two adapters with weights .5 and 2: base + .5 d1 + 2 d2 in the layers, base + 2 (copy - base) in the tied
    rows of the tokens, which are one matrix with two names; frozen, they stay."""
    base = Backbone.load(backbone_folder).lm.state_dict()
    folded = [Folded(one, 0.5), Folded(two, 2.0)]
    merge_adapters(backbone_folder, folded, MergeSettings(), tmp_path / "a")
    merged = Backbone.load(tmp_path / "a").lm.state_dict()
    alone = [merged_alone(backbone_folder, adapter, tmp_path) for adapter in (one, two)]
    for name, share in (("model.layers.0.mlp.up_proj.weight", 0.5), ("lm_head.weight", 0.0)):
        wanted = base[name] + share * (alone[0][name] - base[name])
        wanted = wanted + 2.0 * (alone[1][name] - base[name])
        torch.testing.assert_close(merged[name], wanted, atol=1e-5, rtol=0)
    frozen = MergeSettings(whole="freeze")
    merge_adapters(backbone_folder, folded, frozen, tmp_path / "b")
    kept = Backbone.load(tmp_path / "b").lm.state_dict()
    assert torch.equal(kept["lm_head.weight"], base["lm_head.weight"])


def merged_alone(backbone: Path, adapter: Path, tmp_path: Path) -> dict[str, torch.Tensor]:
    """By peft itself."""
    with without_renaming_notices():
        lm = PeftModel.from_pretrained(Backbone.load(backbone).lm, adapter).merge_and_unload()
    found: dict[str, torch.Tensor] = lm.state_dict()
    return found


def test_combinations_by_hand() -> None:
    """Changes (4, 1) and (-2, 3), weights 1. linear: (2, 4). ties at density 1: signs + and +, so 4 alone in the
    first place and the mean of 1 and 3 in the second: (4, 2). At density .5 each keeps its largest: (4, 3)."""
    changes = {"a": torch.tensor([4.0, 1.0]), "b": torch.tensor([-2.0, 3.0])}
    weights = {"a": 1.0, "b": 1.0}

    def of(**settings: Any) -> list[float]:
        found: list[float] = combined(changes, weights, MergeSettings(**settings)).tolist()
        return found

    assert of() == [2.0, 4.0]
    assert of(method="ties", density=1.0) == [4.0, 2.0]
    assert of(method="ties", density=0.5) == [4.0, 3.0]
    assert of(method="dare_linear", density=1.0) == [2.0, 4.0]


def test_dare_is_repeatable(backbone_folder: Path, one: Path, two: Path, tmp_path: Path) -> None:
    def hash_of(seed: int, name: str) -> str:
        settings = MergeSettings(method="dare_ties", seed=seed)
        return merge_adapters(
            backbone_folder, [Folded(one), Folded(two)], settings, tmp_path / name
        )

    assert hash_of(0, "a") == hash_of(0, "b") != hash_of(1, "c")


def test_what_cannot_be_merged(backbone_folder: Path, one: Path, tmp_path: Path) -> None:
    """Each says why, and writes nothing."""
    out = tmp_path / "m"
    other = write_backbone(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match="was trained on backbone"):
        merge_adapters(other, [Folded(one)], MergeSettings(), out)
    with pytest.raises(ConfigError, match="a merge of 0 adapters"):
        merge_adapters(backbone_folder, [], MergeSettings(), out)
    with pytest.raises(ConfigError, match=r"weights of a merge are \[0.0\]"):
        merge_adapters(backbone_folder, [Folded(one, 0.0)], MergeSettings(), out)
    broken = tmp_path / "broken"
    shutil.copytree(one, broken)
    weights = load_file(broken / ADAPTER_WEIGHTS)
    weights[next(name for name in weights if "lora_B" in name)].fill_(float("nan"))
    save_file(weights, broken / ADAPTER_WEIGHTS)
    with pytest.raises(WorkError, match="merge: weight .* is not finite"):
        merge_adapters(backbone_folder, [Folded(broken)], MergeSettings(), out)
    assert not out.exists()


@pytest.mark.parametrize("hears", [False, True])
def test_an_export_is_the_version_without_trivox(
    hears: bool, backbone_folder: Path, hearing_folder: Path, tmp_path: Path
) -> None:
    """By plain transformers, folded in; by plain transformers and peft, beside its base."""
    backbone = hearing_folder if hears else backbone_folder
    adapter = write_adapter(backbone, tmp_path / "adapter", 3)
    wanted = logits_with(backbone, adapter)
    export_merged(backbone, adapter, tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert type(merged).__name__ == "LlamaForCausalLM"
    torch.testing.assert_close(logits_of(merged), wanted)
    export_adapter(backbone, adapter, tmp_path / "beside")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "beside" / "base")
    with without_renaming_notices():
        beside = PeftModel.from_pretrained(base, tmp_path / "beside")
    torch.testing.assert_close(logits_of(beside), wanted)
    config = json.loads((tmp_path / "beside" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "base"
    with pytest.raises(UsageError, match="is there already"):
        export_merged(backbone, adapter, tmp_path / "merged")


def test_what_hears_has_no_place_in_a_plain_adapter(hearing_folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(hearing_folder, tmp_path / "adapter", 3, ("adapter",))
    with pytest.raises(ConfigError, match="belongs to the part that hears"):
        export_adapter(hearing_folder, adapter, tmp_path / "out")
