"""The blocks of multi-token prediction (StepAudio 2.5 Technical Report, arXiv 2605.23463, section 4; DeepSeek-V3,
arXiv 2412.19437, section 2.2).

The main branch at position j predicts token j + 1. Block h takes what the branch before it made of position j and
the embedding of token j + h, normalises each, puts them side by side, projects them to the width of the model and
runs one decoder layer over them; the language model's own head reads token j + 1 + h from what comes out.
"""

import copy
import json
from pathlib import Path
from typing import Any, Literal, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import sha256_file
from trivox.platform.store.files import write_atomically
from trivox.policy.modeling.base import TrivoxModel

MTP_WEIGHTS = "mtp.safetensors"
MTP_CONFIG = "mtp_config.json"
DEPTH = 5
"""Blocks of StepAudio 2.5 ASR; positions 6 and 7 failed too often there to pay."""
_STORED = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class MTPConfig(BaseModel):
    """What lies beside the weights. rounding: by "device/dtype" the largest difference in logits that was measured
    between forward passes of depth + 1 tokens and of one (trivox.policy.mtp.certify)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = Field(DEPTH, ge=1, le=16)
    hidden_size: int
    stored: Literal["float32", "float16", "bfloat16"] = "float32"
    rounding: dict[str, float] = Field(default_factory=dict)


class MTPBlock(nn.Module):
    """One branch. Its decoder layer and last norm begin as copies of the language model's last, and the projection
    begins by handing on the hidden state, so that it starts from what the main branch knows."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        width = int(decoder.config.hidden_size)
        eps = float(getattr(decoder.config, "rms_norm_eps", 1e-6))
        self.hidden_norm, self.token_norm = nn.RMSNorm(width, eps), nn.RMSNorm(width, eps)
        self.project = nn.Linear(2 * width, width, bias=False)
        self.layer = copy.deepcopy(decoder.layers[-1])
        self.layer.self_attn.layer_idx = 0
        self.norm = copy.deepcopy(decoder.norm)
        with torch.no_grad():
            self.project.weight.zero_()
            self.project.weight[:, :width].fill_diagonal_(1.0)

    def joined(self, hidden: Tensor, ahead: Tensor) -> Tensor:
        """[B, L, H] of the branch before and of the tokens ahead -> [B, L, H] for the layer."""
        both = torch.cat([self.hidden_norm(hidden), self.token_norm(ahead)], -1)
        return cast(Tensor, self.project(both))

    def forward(self, hidden: Tensor, ahead: Tensor, rope: Any, mask: Tensor | None) -> Tensor:
        out = self.layer(
            self.joined(hidden, ahead),
            attention_mask=mask,
            position_embeddings=rope,
            use_cache=False,
        )
        return cast(Tensor, self.norm(out))


class MTPBlocks(nn.Module):
    """As many blocks as tokens are drafted beyond the main branch's own."""

    def __init__(self, lm: PreTrainedModel, depth: int = DEPTH) -> None:
        """Blocks for a causal LM, in its dtype and on its device. Raises ConfigError as `decoder_of` does."""
        super().__init__()
        decoder = decoder_of(lm)
        self.layers = nn.ModuleList(MTPBlock(decoder) for _ in range(depth))
        self.rotary = copy.deepcopy(decoder.rotary_emb)
        self.sdpa = decoder.config._attn_implementation == "sdpa"
        self.width = int(decoder.config.hidden_size)
        self.rounding: dict[str, float] = {}
        weight = decoder.norm.weight
        self.to(device=weight.device, dtype=weight.dtype)
        self.rotary.to(torch.float32)
        self.requires_grad_(True)

    def blocks(self) -> list[MTPBlock]:
        return [cast(MTPBlock, one) for one in self.layers]

    @property
    def depth(self) -> int:
        return len(self.layers)

    def forward(self, hidden: Tensor, embeds: Tensor) -> list[Tensor]:
        """hidden: the main branch's last states [B, L, H]; embeds: the embeddings that it read [B, L, H], padded
        right -> of each block its states [B, L, H]. At block h (from 1) position j has read token j + h; the
        last h positions have read nothing there and are to be ignored."""
        length = hidden.shape[1]
        rope = self.rotary(hidden, torch.arange(length, device=hidden.device)[None])
        mask = None if self.sdpa else _causal(length, hidden)
        states = list[Tensor]()
        for ahead, block in enumerate(self.layers, start=1):
            shifted = nn.functional.pad(embeds[:, ahead:], (0, 0, 0, min(ahead, length)))
            hidden = block(hidden, shifted, rope, mask)
            states.append(hidden)
        return states

    def save(
        self, folder: Path, stored: Literal["float32", "float16", "bfloat16"] = "float32"
    ) -> None:
        """Write weights, in the dtype `stored`, and configuration; they load again as they were, but for the
        rounding to that dtype."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {
            name: value.detach().to(_STORED[stored]).contiguous()
            for name, value in self.state_dict().items()
        }
        partial = folder / f".{MTP_WEIGHTS}.partial"
        save_file(weights, partial, {"format": "pt"})
        partial.replace(folder / MTP_WEIGHTS)
        config = MTPConfig(
            depth=self.depth, hidden_size=self.width, stored=stored, rounding=self.rounding
        )
        write_atomically(folder / MTP_CONFIG, (config.model_dump_json(indent=1) + "\n").encode())

    @classmethod
    def load(cls, folder: Path, lm: PreTrainedModel) -> "MTPBlocks | None":
        """The blocks that lie in a folder, for its language model; None where there are none.

        Raises ConfigError for a broken configuration, a missing half, and blocks of another model.
        """
        if not (folder / MTP_CONFIG).exists() and not (folder / MTP_WEIGHTS).exists():
            return None
        config = _config_in(folder)
        blocks = cls(lm, config.depth)
        try:
            blocks.load_state_dict(load_file(folder / MTP_WEIGHTS))
        except Exception as error:  # safetensors and torch raise many kinds
            raise ConfigError(
                f"{folder / MTP_WEIGHTS} does not hold {config.depth} blocks for a model of width {blocks.width}: "
                "train them for this model with `trivox policy train-mtp`, or delete the file"
            ) from error
        blocks.rounding = dict(config.rounding)
        return blocks.requires_grad_(False).eval()


def decoder_of(lm: PreTrainedModel) -> Any:
    """The decoder of a causal LM: its layers, last norm and rotary positions.

    Raises ConfigError for one that has another shape, or whose layers see a window only: rolled-back tokens would
    have pushed older ones out.
    """
    decoder: Any = lm.base_model
    if isinstance(decoder, TrivoxModel):
        decoder = decoder.language_model
    name = decoder.config.model_type
    for part in ("layers", "norm", "rotary_emb"):
        if not hasattr(decoder, part):
            raise ConfigError(
                f"language model {name} has no {part}: blocks of multi-token prediction are made for decoders "
                "such as Llama's and Qwen's"
            )
    kinds = set(getattr(decoder.config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(decoder.config, "sliding_window", None):
        raise ConfigError(
            f"language model {name} has layers of {', '.join(sorted(kinds))}: multi-token prediction needs full "
            "attention in all"
        )
    return decoder


def embedded(lm: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """What the language model reads, [B, L, H]: embeddings of input_ids, those of the audio in the place of its
    placeholders. Raises as `TrivoxModel.merged` does."""
    base, ids = lm.base_model, batch["input_ids"]
    found = cast(Tensor, lm.get_input_embeddings()(ids))
    if not isinstance(base, TrivoxModel):
        return found
    return base.merged(ids, found, batch.get("input_features"), batch.get("feature_mask"))


def mtp_hash(folder: Path) -> str | None:
    """sha256 of the blocks in a folder, None where there are none."""
    return sha256_file(folder / MTP_WEIGHTS) if (folder / MTP_WEIGHTS).exists() else None


def _config_in(folder: Path) -> MTPConfig:
    for name in (MTP_CONFIG, MTP_WEIGHTS):
        if not (folder / name).exists():
            raise ConfigError(
                f"{folder}: {name} is missing beside its other half: copy it there too"
            )
    try:
        return MTPConfig(**json.loads((folder / MTP_CONFIG).read_text()))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{folder / MTP_CONFIG} cannot be read: {error}") from None


def _causal(length: int, like: Tensor) -> Tensor:
    """[1, 1, L, L], 0 where position j may look and the lowest number elsewhere."""
    lowest = torch.finfo(like.dtype).min
    return torch.full((length, length), lowest, dtype=like.dtype, device=like.device).triu(1)[
        None, None
    ]
