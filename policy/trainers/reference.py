"""The reference of preference training: its log-probabilities, computed once and kept by what they depend on, and
its copy that moves."""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerCallback

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import content_hash

if TYPE_CHECKING:
    from trivox.policy.trainers.dpo import TokenPair

Reference = tuple[Tensor, Tensor]


def reference_key(
    backbone: str,
    start: str | None,
    pairs: Sequence["TokenPair"],
    carried: Sequence[int],
    dtype: torch.dtype,
) -> str:
    """A hash of the reference's weights (backbone and adapter, by their hashes, as they are held in memory) and of
    what it is asked."""
    asked = [
        [p.prompt, p.chosen, p.rejected, [sha256(clip.tobytes()).hexdigest() for clip in p.audio]]
        for p in pairs
    ]
    held = str(dtype)
    return content_hash(
        [backbone, start, held, list(carried), [content_hash(one) for one in asked]]
    )


def stored_reference(
    trainer: Any, cache: Path | None, key: str, pairs: int, batch: int
) -> Reference:
    """Log-probabilities of the chosen and the rejected, float [pairs] each, from the cache, or into it; without
    one they are only computed.

    Raises ConfigError, naming the file, for one that is damaged or of another number of pairs.
    """
    if cache is None:
        return _computed(trainer, pairs, batch)
    file = cache / f"{key}.safetensors"
    if not file.exists():
        found = _computed(trainer, pairs, batch)
        cache.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}.partial")
        save_file({"chosen": found[0], "rejected": found[1]}, partial)
        os.replace(partial, file)
    try:
        known = load_file(file)
        chosen, rejected = known["chosen"], known["rejected"]
    except (SafetensorError, KeyError) as error:
        raise ConfigError(
            f"{file}: cannot be read ({error}): delete it, it is made again"
        ) from None
    if not len(chosen) == len(rejected) == pairs:
        raise ConfigError(
            f"{file}: holds {len(chosen)} pairs of {pairs}: delete it, it is made again"
        )
    return chosen, rejected


def moving_reference(model: Any, every: int) -> TrainerCallback:
    """Every `every` steps the adapter "ref" of a peft model becomes what the adapter "default" is."""

    class Move(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % every == 0:
                known = get_peft_model_state_dict(model, adapter_name="default")
                set_peft_model_state_dict(model, known, adapter_name="ref")

    return Move()


def _computed(trainer: Any, pairs: int, batch: int) -> Reference:
    trainer.model.eval()
    sides: tuple[list[Tensor], list[Tensor]] = ([], [])
    for begin in range(0, pairs, batch):
        rows = [{"pair": number} for number in range(begin, min(begin + batch, pairs))]
        inputs = {k: v.to(trainer.model.device) for k, v in trainer.data_collator(rows).items()}
        for side, found in zip(
            sides, trainer.compute_ref_log_probs(trainer.model, inputs), strict=True
        ):
            side.append(found.cpu())
    return torch.cat(sides[0]), torch.cat(sides[1])
