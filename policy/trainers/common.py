"""What all trainers share: LoRA on the language model alone, results, checks, and the seams to transformers."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel, TrainerCallback

from trivox.platform.errors import ConfigError, WorkError
from trivox.platform.hashing import sha256_file
from trivox.policy.backbone import Backbone, backbone_hash
from trivox.policy.modeling import TrivoxForCausalLM
from trivox.policy.resident import ADAPTER_WEIGHTS, BACKBONE_HASH_FILE, check_adapter
from trivox.policy.rows import Row

# TRL asks a hub about its version at every start unless told not to.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

ADAPTER = "adapter"
"""The audio adapter's name in TrivoxModel, by which peft finds it."""
TOKEN_MODULES = ("embed_tokens", "lm_head")


@dataclass(frozen=True)
class TrainedAdapter:
    """folder holds a peft adapter, or a whole backbone after full fine-tuning; weights_hash is of its safetensors;
    metrics: one dict per logged step."""

    folder: Path
    weights_hash: str
    steps: int
    metrics: list[dict[str, float]]


def lora_config(
    lm: PreTrainedModel, rank: int, alpha: int, whole: Sequence[str] = ()
) -> LoraConfig:
    """LoRA on every linear layer of the language model, none on encoder or audio adapter; whole: modules that are
    trained and saved in full beside it."""
    tied = bool(lm.config.tie_word_embeddings) and not set(TOKEN_MODULES).isdisjoint(whole)
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=_linear_layers(lm),
        modules_to_save=list(whole) or None,
        ensure_weight_tying=tied,
        task_type="CAUSAL_LM",
    )


def _linear_layers(lm: PreTrainedModel) -> str:
    """What peft calls them: a pattern that holds whether or not the backbone is loaded with its encoder."""
    if not isinstance(lm, TrivoxForCausalLM):
        return "all-linear"
    modules = lm.model.language_model.named_modules()
    last = {name.rsplit(".", 1)[-1] for name, one in modules if isinstance(one, torch.nn.Linear)}
    return rf"model\.language_model\..*\.({'|'.join(sorted(last))})"


def started(lm: PreTrainedModel, adapter: Path | None) -> Any:
    """The model that is trained on: with the adapter, trainable, or as it is."""
    if adapter is None:
        return lm
    return PeftModel.from_pretrained(lm, adapter, is_trainable=True)


def check_start(trainer: str, start: Path | None, backbone_folder: Path, lora_rank: int) -> None:
    """Raises ConfigError for a start where all weights train, and as `check_adapter` does."""
    if start is None:
        return
    if lora_rank == 0:
        raise ConfigError(
            f"{trainer}: lora_rank 0 trains all weights and start {start} is an adapter: "
            "train the adapter further, or start from a backbone"
        )
    check_adapter(start, backbone_hash(backbone_folder))


def check_rehearsal(share: float, rows: Sequence[Row]) -> None:
    """Raises ConfigError for a share of nothing."""
    if share and not rows:
        raise ConfigError(
            f"rehearsal_share is {share} and there are no rows to rehearse: give rows, or 0"
        )


def unfrozen(backbone: Backbone, audio_adapter: bool = False) -> PreTrainedModel:
    """The language model with all its weights to be trained, as they were stored, for a whole backbone is written
    again. The encoder never is, the audio adapter if it is said."""
    lm = stored_weights(backbone)
    lm.requires_grad_(True)
    if isinstance(lm, TrivoxForCausalLM) and lm.hears:
        lm.model.encoder.requires_grad_(False)
        lm.model.adapter.requires_grad_(audio_adapter)
    return lm


def stored_weights(backbone: Backbone) -> PreTrainedModel:
    """The language model of a backbone in float32, with the weights as they were stored."""
    lm = backbone.lm
    if lm.dtype != torch.float32:
        torch.nn.Module.float(lm)
        stored = type(lm).from_pretrained(backbone.folder, dtype=torch.float32)
        lm.load_state_dict(stored.state_dict())
    return lm


def widen(model: torch.nn.Module) -> None:
    """What is trained in float32: peft leaves what it trains in full in bfloat16, where small steps are lost."""
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def save_backbone(model: torch.nn.Module, backbone: Backbone, folder: Path) -> None:
    """A folder that `Backbone.load` takes: new weights, all else as it was."""
    ignored = shutil.ignore_patterns("model*.safetensors*", "README.md", ".*")
    for source in sorted(backbone.folder.iterdir()):
        if source.is_dir():
            shutil.copytree(source, folder / source.name, dirs_exist_ok=True)
        elif source.name not in ignored(str(backbone.folder), [source.name]):
            shutil.copyfile(source, folder / source.name)
    model.save_pretrained(folder)  # type: ignore[operator]  # of transformers


def save_trained(model: torch.nn.Module, backbone: Backbone, full: bool, folder: Path) -> str:
    """Write what was trained, a whole backbone or the adapter "default"; returns its hash."""
    if full:
        save_backbone(model, backbone, folder)
        return backbone_hash(folder)
    model.save_pretrained(folder, selected_adapters=["default"])  # type: ignore[operator]  # of peft
    (folder / BACKBONE_HASH_FILE).write_text(backbone_hash(backbone.folder) + "\n")
    return sha256_file(folder / ADAPTER_WEIGHTS)


def check_finite(trainer: str, loss: float, model: torch.nn.Module) -> None:
    """Raises WorkError for a loss or a trained weight that is not finite."""
    if not torch.isfinite(torch.tensor(loss)):
        raise WorkError(f"{trainer}: the loss became {loss}: lower the learning rate")
    for name, weight in model.named_parameters():
        if weight.requires_grad and not bool(weight.isfinite().all()):
            raise WorkError(f"{trainer}: weight {name} is not finite: lower the learning rate")


def step_callback(on_step: Callable[[int, int], None]) -> TrainerCallback:
    """Calls on_step with the steps done and their total."""

    class Report(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            on_step(state.global_step, state.max_steps)

    return Report()


OnFigures = Callable[[int, int, Mapping[str, float]], None]
"""Called with the steps done, their total, and the figures of the last one."""


def figures_callback(on_figures: OnFigures) -> TrainerCallback:
    """Calls on_figures with what a trainer of transformers logs of each step."""

    class Report(TrainerCallback):
        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
        ) -> None:
            if logs and "loss" in logs:
                on_figures(state.global_step, state.max_steps, numbers(logs))

    return Report()


def numbers(entry: dict[str, Any]) -> dict[str, float]:
    """The figures of a log entry."""
    return {key: float(value) for key, value in entry.items() if isinstance(value, int | float)}


def quiet_arguments(folder: Path, seed: int) -> dict[str, Any]:
    """Arguments of transformers' trainers that are the same for all: every step logged, nothing printed."""
    return {
        "output_dir": str(folder),
        "logging_steps": 1,
        # It would put an average in the place of a loss that is not finite.
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": torch.cuda.is_available(),
        "lr_scheduler_type": "cosine",
        "seed": seed,
        "data_seed": seed,
    }
