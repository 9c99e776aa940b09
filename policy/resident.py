"""One resident backbone, with branch adapters swapped in place."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from peft import PeftConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.hashing import sha256_file
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.speaker import Speaker

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
BACKBONE_HASH_FILE = "backbone.sha256"
SLOTS = 16


@dataclass(frozen=True)
class HeldAdapter:
    """An adapter without its folder, as another process has sent it: its configuration, its tensors by the names
    of the file, the file's sha256 and the hash of its backbone."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    digest: str
    backbone: str

    @classmethod
    def read(cls, folder: Path, backbone: str) -> "HeldAdapter":
        """Raises as `check_adapter`."""
        check_adapter(folder, backbone)
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        weights = folder / ADAPTER_WEIGHTS
        return cls(config, load_file(weights), sha256_file(weights), backbone)


class ResidentPolicy:
    """The backbone in memory; `using(adapter)` answers with a branch adapter, without it the backbone does."""

    def __init__(self, folder: Path, slots: int = SLOTS) -> None:
        self.backbone = Backbone.load(folder)
        self.slots = slots
        self._hash = backbone_hash(folder)
        self._peft: PeftModel | None = None

    @contextmanager
    def using(self, adapter: Path | HeldAdapter | None) -> Iterator[Speaker]:
        """An adapter of the same weights is loaded once, whichever way it came. Raises NotFound for a folder
        without adapter and ConfigError for an adapter of another backbone."""
        if adapter is None:
            with self._without_adapter():
                yield Speaker(self.backbone, self._model, self.slots)
        else:
            self._activate(adapter)
            yield Speaker(self.backbone, self._model, self.slots)

    @property
    def _model(self) -> PreTrainedModel:
        return self.backbone.lm if self._peft is None else cast(PreTrainedModel, self._peft)

    @contextmanager
    def _without_adapter(self) -> Iterator[None]:
        if self._peft is None:
            yield
        else:
            with self._peft.disable_adapter():
                yield

    def _activate(self, adapter: Path | HeldAdapter) -> None:
        name = _digest(adapter, self._hash)[:16]
        if self._peft is None or name not in self._peft.peft_config:
            with without_renaming_notices():
                self._peft = self._put(adapter, name)
        self._peft.set_adapter(name)
        self._peft.eval()

    def _put(self, adapter: Path | HeldAdapter, name: str) -> PeftModel:
        if isinstance(adapter, HeldAdapter):
            return self._take(adapter, name)
        if self._peft is None:
            return PeftModel.from_pretrained(self.backbone.lm, adapter, adapter_name=name)
        self._peft.load_adapter(adapter, adapter_name=name)
        return self._peft

    def _take(self, adapter: HeldAdapter, name: str) -> PeftModel:
        if adapter.backbone != self._hash:
            raise ConfigError(_other_backbone("in memory", adapter.backbone, self._hash))
        config = PeftConfig.from_peft_type(**adapter.config)
        if self._peft is None:
            made = cast(PeftModel, get_peft_model(self.backbone.lm, config, adapter_name=name))
        else:
            made = self._peft
            made.add_adapter(name, config)
        set_peft_model_state_dict(made, dict(adapter.tensors), adapter_name=name)
        return made


def _digest(adapter: Path | HeldAdapter, backbone: str) -> str:
    if isinstance(adapter, HeldAdapter):
        return adapter.digest
    check_adapter(adapter, backbone)
    return sha256_file(adapter / ADAPTER_WEIGHTS)


def check_adapter(adapter: Path, backbone: str) -> None:
    """Raises NotFound for a folder that lacks a file, ConfigError for an adapter of another backbone hash."""
    for needed in (ADAPTER_WEIGHTS, BACKBONE_HASH_FILE):
        if not (adapter / needed).exists():
            raise NotFound(f"adapter {adapter}: {needed} is missing: give a folder that has it")
    recorded = (adapter / BACKBONE_HASH_FILE).read_text().strip()
    if recorded != backbone:
        raise ConfigError(_other_backbone(str(adapter), recorded, backbone))


def _other_backbone(adapter: str, recorded: str, backbone: str) -> str:
    return (
        f"adapter {adapter} was trained on backbone {recorded[:12]}, this one is "
        f"{backbone[:12]}: load the backbone that it belongs to"
    )
