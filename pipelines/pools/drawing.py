"""The actor that draws for a policy in training: requests to completions, with the weights of the moment."""

import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftConfig, get_peft_model

from trivox.pipelines.pools.pool import PoolWorker
from trivox.pipelines.pools.weights import SharedAdapter, trained
from trivox.platform.errors import ConfigError
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.engine import Generation, InProcessEngine, Request
from trivox.policy.trainers.common import unfrozen
from trivox.policy.trainers.rl.folding import folded


@dataclass(frozen=True)
class DrawUnit:
    """Requests of one step with the policy that completes them."""

    requests: tuple[Request, ...]
    weights: SharedAdapter


class DrawWorker(PoolWorker):
    """One resident backbone. The weights of a step are written into the tensors that it works with, when its first
    unit of the step comes; nothing of the steps before is kept.

    It draws as the trainer's own process would: the same engine of as many slots, LoRA folded in.
    """

    def __init__(self, folder: Path, slots: int) -> None:
        self.backbone, self._hash, self.slots = Backbone.load(folder), backbone_hash(folder), slots
        self._model: Any = None
        self._digest = ""
        self._folds = ExitStack()
        self._engine: InProcessEngine | None = None

    def work(self, unit: DrawUnit) -> list[Generation]:
        """Completions in the order of the requests. Raises as `InProcessEngine.generate`, and ConfigError for
        weights of another backbone."""
        if self._engine is None or unit.weights.digest != self._digest:
            self._take(unit.weights)
        assert self._engine is not None
        with warnings.catch_warnings():
            # Clips lie in the object store, where nobody may write; torch only reads them.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return self._engine.generate(unit.requests)

    def _take(self, weights: SharedAdapter) -> None:
        if weights.backbone != self._hash:
            raise ConfigError(
                f"backbone {self.backbone.folder} has hash {self._hash[:12]} at this worker and "
                f"{weights.backbone[:12]} at the trainer: give all nodes the same files"
            )
        self._folds.close()
        self._engine = None
        if self._model is None:
            self._model = self._made(weights.config)
        weights.into(trained(self._model))
        self._folds.enter_context(folded(self._model))
        tokens = self.backbone.tokens
        self._engine = InProcessEngine(self._model, tokens.eos, tokens.pad, self.slots)
        self._digest = weights.digest

    def _made(self, config: dict[str, Any]) -> Any:
        """The model that the trainer has: with an adapter, or with all weights to be trained."""
        if not config:
            return unfrozen(self.backbone).eval()
        with without_renaming_notices():
            model = get_peft_model(self.backbone.lm, PeftConfig.from_peft_type(**config))
        return model.eval()
