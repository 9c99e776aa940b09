"""A version of the shared model as folders that plain transformers and peft load, without Trivox installed."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from trivox.platform.errors import ConfigError, UsageError
from trivox.policy.backbone import CODEC_FOLDER, Backbone, backbone_hash, without_renaming_notices
from trivox.policy.modeling import TrivoxForCausalLM
from trivox.policy.resident import ADAPTER_WEIGHTS, check_adapter
from trivox.policy.trainers.common import stored_weights
from trivox.policy.vocabulary import TOKEN_MAP_FILE

BASE = "base"
"""Folder of the language model beside an exported adapter."""
_WITHIN = "model.language_model."


def export_merged(backbone_folder: Path, adapter: Path | None, out: Path) -> None:
    """Write the language model, the adapter folded in, as `AutoModelForCausalLM` loads it, with its tokeniser;
    and, as files beside it, the token map and the codec. Logits are those of the version, but for rounding.

    Raises UsageError for a folder that is not empty, as `check_adapter`, and ConfigError for modules of the
    adapter that have no place in a plain model.
    """
    _check_out(out)
    backbone = Backbone.load(backbone_folder)
    lm = stored_weights(backbone)
    if adapter is not None:
        check_adapter(adapter, backbone_hash(backbone_folder))
        with without_renaming_notices():
            lm = PeftModel.from_pretrained(lm, adapter).merge_and_unload()
    _save(plain(lm), backbone, out)


def export_adapter(backbone_folder: Path, adapter: Path, out: Path) -> None:
    """Write the adapter as peft loads it, and its language model in `base/` below. Raises as `export_merged`."""
    _check_out(out)
    check_adapter(adapter, backbone_hash(backbone_folder))
    backbone = Backbone.load(backbone_folder)
    _save(plain(stored_weights(backbone)), backbone, out / BASE)
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = BASE
    weights = load_file(adapter / ADAPTER_WEIGHTS)
    if isinstance(backbone.lm, TrivoxForCausalLM):
        weights = {_outside(name, adapter): weight for name, weight in weights.items()}
        names = sorted({name.split(".lora_")[0].rsplit(".", 1)[-1] for name in weights})
        # Rows of tokens are saved in full, under names that a plain model has too.
        config["target_modules"] = [name for name in names if name.endswith("_proj")] or names
        config["modules_to_save"] = config["modules_to_save"] or None
    save_file(weights, out / ADAPTER_WEIGHTS)
    kept = {name: config[name] for name in LoraConfig().to_dict() if name in config}
    (out / "adapter_config.json").write_text(json.dumps(kept, indent=2))


def plain(lm: PreTrainedModel) -> PreTrainedModel:
    """The language model without what hears: itself, where nothing does."""
    if not isinstance(lm, TrivoxForCausalLM):
        return lm
    found: Any = AutoModelForCausalLM.from_config(lm.config.get_text_config(), dtype=torch.float32)
    inner = lm.model.language_model.state_dict()
    state = {f"model.{name}": weight for name, weight in inner.items()}
    head: Any = lm.get_output_embeddings()
    state["lm_head.weight"] = head.weight
    found.load_state_dict(state)
    known: PreTrainedModel = found.eval()
    return known


def _outside(name: str, adapter: Path) -> str:
    """What a weight of the adapter is called without the part that hears."""
    if _WITHIN in name:
        return name.replace(_WITHIN, "model.")
    if "lm_head" in name:
        return name
    raise ConfigError(
        f"adapter {adapter}: {name} belongs to the part that hears, which plain transformers does not know: "
        "export "
        "the version merged, or train adapters with train_adapter = false"
    )


def _save(lm: PreTrainedModel, backbone: Backbone, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    lm.save_pretrained(out)
    AutoTokenizer.from_pretrained(backbone.folder).save_pretrained(out)
    shutil.copyfile(backbone.folder / TOKEN_MAP_FILE, out / TOKEN_MAP_FILE)
    shutil.copytree(backbone.folder / CODEC_FOLDER, out / CODEC_FOLDER, dirs_exist_ok=True)


def _check_out(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already: name a new folder to export to")
