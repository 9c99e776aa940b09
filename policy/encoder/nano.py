"""The nano audio encoder: a small Conformer (Gulati et al. 2020) over log-mel frames."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from trivox.policy.encoder.features import MEL_BINS

SUBSAMPLING = 4
"""Feature frames (100 Hz) for each frame that the encoder gives (25 Hz)."""


class NanoEncoderConfig(PretrainedConfig):
    """hidden_size: width of a frame; layers, heads, feed_forward: of the blocks; kernel: of their convolution."""

    model_type = "trivox_nano_encoder"

    hidden_size: int = 144
    layers: int = 4
    heads: int = 4
    feed_forward: int = 432
    kernel: int = 9
    mel_bins: int = MEL_BINS
    dropout: float = 0.0


class NanoEncoder(PreTrainedModel):
    """Log-mel at 100 Hz -> frames at 25 Hz. Padding changes nothing in the frames of the clip."""

    config_class = NanoEncoderConfig
    main_input_name = "input_features"
    _supports_sdpa = True

    def __init__(self, config: NanoEncoderConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.first = nn.Conv1d(config.mel_bins, width, 5, stride=2, padding=2)
        self.second = nn.Conv1d(width, width, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList([_Block(config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(width)
        self.post_init()  # type: ignore[no-untyped-call]  # untyped in transformers

    def forward(
        self, input_features: Tensor, attention_mask: Tensor | None = None, **_: object
    ) -> BaseModelOutput:
        """float [B, T, 64] and 1 for real frames [B, T] -> last_hidden_state [B, ceil(T / 4), 144]."""
        if attention_mask is None:
            attention_mask = input_features.new_ones(input_features.shape[:2])
        mask = attention_mask.to(input_features.dtype)
        hidden = F.gelu(self.first((input_features * mask[..., None]).transpose(1, 2)))
        mask = mask[:, ::2]
        hidden = F.gelu(self.second(hidden * mask[:, None]))
        mask = mask[:, ::2]
        hidden = hidden.transpose(1, 2) * mask[..., None]
        for block in self.blocks:
            hidden = block(hidden, mask)
        return BaseModelOutput(last_hidden_state=self.norm(hidden) * mask[..., None])


class _Block(nn.Module):
    """Convolution, attention, feed-forward; each residual, normalised before."""

    def __init__(self, config: NanoEncoderConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.heads
        self.conv_norm, self.attention_norm, self.mlp_norm = (nn.LayerNorm(width) for _ in range(3))
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(
            width, width, config.kernel, padding=config.kernel // 2, groups=width
        )
        self.mix = nn.Linear(width, width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand = nn.Linear(width, config.feed_forward)
        self.project = nn.Linear(config.feed_forward, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """[B, T, C] and 1 for real frames [B, T] -> [B, T, C], 0 at padding."""
        hidden = hidden + self.dropout(self._convolve(self.conv_norm(hidden), mask))
        hidden = hidden + self.dropout(self._attend(self.attention_norm(hidden), mask))
        hidden = hidden + self.dropout(self.project(F.gelu(self.expand(self.mlp_norm(hidden)))))
        return hidden * mask[..., None]

    def _convolve(self, hidden: Tensor, mask: Tensor) -> Tensor:
        gated = F.glu(self.gate(hidden), -1) * mask[..., None]
        mixed: Tensor = self.mix(F.silu(self.depthwise(gated.transpose(1, 2)).transpose(1, 2)))
        return mixed

    def _attend(self, hidden: Tensor, mask: Tensor) -> Tensor:
        batch, frames, width = hidden.shape
        heads = self.qkv(hidden).view(batch, frames, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        allowed = mask[:, None, None].bool() | torch.eye(
            frames, dtype=torch.bool, device=mask.device
        )
        seen = F.scaled_dot_product_attention(heads[0], heads[1], heads[2], attn_mask=allowed)
        attended: Tensor = self.out(seen.transpose(1, 2).reshape(batch, frames, width))
        return attended


AutoConfig.register(NanoEncoderConfig.model_type, NanoEncoderConfig)
AutoModel.register(NanoEncoderConfig, NanoEncoder)
