"""One resident backbone, with branch adapters swapped in place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from peft import PeftModel
from transformers import PreTrainedModel

from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.hashing import sha256_file
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.speaker import Speaker

ADAPTER_WEIGHTS = "adapter_model.safetensors"
BACKBONE_HASH_FILE = "backbone.sha256"
SLOTS = 16


class ResidentPolicy:
    """The backbone in memory; `using(adapter)` answers with a branch adapter, without it the backbone does."""

    def __init__(self, folder: Path, slots: int = SLOTS) -> None:
        self.backbone = Backbone.load(folder)
        self.slots = slots
        self._hash = backbone_hash(folder)
        self._peft: PeftModel | None = None

    @contextmanager
    def using(self, adapter: Path | None) -> Iterator[Speaker]:
        """Raises NotFound for a folder without adapter and ConfigError for an adapter of another backbone."""
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

    def _activate(self, adapter: Path) -> None:
        check_adapter(adapter, self._hash)
        name = sha256_file(adapter / ADAPTER_WEIGHTS)[:16]
        with without_renaming_notices():
            if self._peft is None:
                self._peft = PeftModel.from_pretrained(self.backbone.lm, adapter, adapter_name=name)
            elif name not in self._peft.peft_config:
                self._peft.load_adapter(adapter, adapter_name=name)
        self._peft.set_adapter(name)
        self._peft.eval()


def check_adapter(adapter: Path, backbone: str) -> None:
    """Raises NotFound for a folder that lacks a file, ConfigError for an adapter of another backbone hash."""
    for needed in (ADAPTER_WEIGHTS, BACKBONE_HASH_FILE):
        if not (adapter / needed).exists():
            raise NotFound(f"adapter {adapter}: {needed} is missing: give a folder that has it")
    recorded = (adapter / BACKBONE_HASH_FILE).read_text().strip()
    if recorded != backbone:
        raise ConfigError(
            f"adapter {adapter} was trained on backbone {recorded[:12]}, this one is "
            f"{backbone[:12]}: load the backbone that it belongs to"
        )
