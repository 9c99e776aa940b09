"""Branch adapters folded into the weights of their backbone: a new version of the shared model.

What LoRA changes is merged as whole matrices, layer by layer, so that nothing is lost to a rank; peft has the
arithmetic. Modules that were trained in full beside LoRA (the audio adapter, rows of tokens) are averaged here,
for peft refuses them, or stay as they are.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from peft.utils.merge_utils import dare_linear, dare_ties, task_arithmetic, ties
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from transformers import PreTrainedModel, set_seed

from trivox.platform.errors import ConfigError, WorkError
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.mtp.decode import note_rounding
from trivox.policy.resident import check_adapter
from trivox.policy.trainers.common import save_backbone, stored_weights

Method = Literal["linear", "ties", "dare_linear", "dare_ties"]


class MergeSettings(BaseModel):
    """How the changes of several adapters become one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "linear"
    """linear: the weighted sum of the changes (task arithmetic, Ilharco et al. 2023); ties: small ones trimmed,
    the sign elected, what agrees averaged (Yadav et al. 2023); dare_linear, dare_ties: changes dropped at random
    and the rest scaled up before (Yu et al. 2024)."""
    density: float = Field(0.5, gt=0, le=1)
    """ties and dare: the share of each change that is kept."""
    whole: Literal["average", "freeze"] = "average"
    """Modules that adapters hold in full: the weighted sum of their changes too, or as in the backbone."""
    seed: int = Field(0, ge=0)
    """Of what dare drops."""


@dataclass(frozen=True)
class Folded:
    """An adapter and its weight in the merge."""

    adapter: Path
    weight: float = 1.0


def merge_adapters(
    backbone_folder: Path, folded: Sequence[Folded], settings: MergeSettings, folder: Path
) -> str:
    """Write a backbone with the adapters folded in to `folder`, in float32; returns its hash. One adapter of
    weight 1 by "linear" says what it said beside the backbone, but for rounding. Blocks of multi-token prediction
    come along as they are, with their rounding measured anew.

    Raises ConfigError for no adapters, weights that are not finite or all 0, an adapter of another backbone;
    NotFound for one that lacks a file; WorkError for weights that are not finite afterwards.
    """
    _check(backbone_folder, folded)
    backbone = Backbone.load(backbone_folder)
    lm = stored_weights(backbone)
    set_seed(settings.seed)
    with without_renaming_notices():
        model = PeftModel.from_pretrained(lm, folded[0].adapter, adapter_name="0")
        for number, one in enumerate(folded[1:], 1):
            model.load_adapter(one.adapter, adapter_name=str(number))
        weights = {str(number): one.weight for number, one in enumerate(folded)}
        fold(model, weights, settings)
        merged: Any = model.unload()
    _check_finite(merged)
    folder.mkdir(parents=True, exist_ok=True)
    save_backbone(merged, backbone, folder)
    if backbone.mtp is not None:
        note_rounding(merged, backbone.mtp, backbone.tokens)
        backbone.mtp.save(folder)
    return backbone_hash(folder)


@torch.no_grad()
def fold(model: Any, weights: Mapping[str, float], settings: MergeSettings) -> None:
    """Change the weights below the adapters of a peft model as the merge says; adapters stay as they are."""
    seen = set[int]()
    for module in model.modules():
        if isinstance(module, LoraLayer) and set(module.lora_A) & weights.keys():
            layer: Any = module
            base = layer.get_base_layer().weight
            changes = {
                name: layer.get_delta_weight(name) for name in weights if name in module.lora_A
            }
            base += combined(changes, weights, settings).to(base)
        elif isinstance(module, ModulesToSaveWrapper) and settings.whole == "average":
            _average(module, weights, seen)


def combined(
    changes: Mapping[str, Tensor], weights: Mapping[str, float], settings: MergeSettings
) -> Tensor:
    """The changes of one matrix by adapter -> one change. Of 2 and -4 with weights 1 and .5: linear 2 - 2 = 0;
    ties at density 1: the weighted sum 0 has no sign that wins, so the first of 2 and -2 stays by its sign."""
    tensors = list(changes.values())
    shares = torch.tensor([weights[name] for name in changes], dtype=tensors[0].dtype)
    if settings.method == "linear":
        return task_arithmetic(tensors, shares)
    method = {"ties": ties, "dare_linear": dare_linear, "dare_ties": dare_ties}[settings.method]
    with warnings.catch_warnings():  # of a density of 1, which is allowed
        warnings.filterwarnings("ignore", "The density")
        merged: Tensor = method(tensors, shares, settings.density)
    return merged


def _average(wrapper: ModulesToSaveWrapper, weights: Mapping[str, float], seen: set[int]) -> None:
    """base + sum of weight x (copy - base), by parameter; one that is tied to another changes once."""
    copies: dict[str, nn.Module] = {
        name: wrapper.modules_to_save[name] for name in weights if name in wrapper.modules_to_save
    }
    for place, base in wrapper.original_module.named_parameters():
        if base.data_ptr() in seen:
            continue
        seen.add(base.data_ptr())
        before = base.clone()
        for name, copy in copies.items():
            base += weights[name] * (copy.get_parameter(place).to(base) - before)


def _check(backbone_folder: Path, folded: Sequence[Folded]) -> None:
    if not folded:
        raise ConfigError("a merge of 0 adapters: name at least one")
    shares = [one.weight for one in folded]
    if not all(map(torch.isfinite, torch.tensor(shares))) or not any(shares):
        raise ConfigError(f"the weights of a merge are {shares}: give finite ones, not all 0")
    hash_ = backbone_hash(backbone_folder)
    for one in folded:
        check_adapter(one.adapter, hash_)


def _check_finite(lm: PreTrainedModel) -> None:
    for name, weight in lm.named_parameters():
        if not bool(weight.isfinite().all()):
            raise WorkError(
                f"merge: weight {name} is not finite: look at the adapters' own weights"
            )
