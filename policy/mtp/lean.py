"""A block's forward pass in few operations: a draft of a small model costs what calling its operations costs.

Norm weights are folded into the matrices behind them, query, key, value and their rotated halves come from one
product, gate and up from another. `lean_or_plain` takes it only where it gives what the block itself gives.
"""

from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from trivox.policy.mtp.blocks import MTPBlock
from trivox.policy.mtp.window import RowsCache

_LARGEST = 100_000_000
"""Parameters of all blocks beyond which a second copy of them is not worth its memory."""
_TOLERANCE = 1e-3
_PARTS = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
Rope = tuple[Tensor, Tensor]


class Step(Protocol):
    """hidden, ahead [B, W, H], rope of the window, the block's own cache standing at it -> states [B, W, H]."""

    def __call__(self, hidden: Tensor, ahead: Tensor, rope: Rope, cache: RowsCache) -> Tensor: ...


class PlainStep:
    """The block as it is, for decoder layers of any kind."""

    def __init__(self, block: MTPBlock) -> None:
        self.block = block

    def __call__(self, hidden: Tensor, ahead: Tensor, rope: Rope, cache: RowsCache) -> Tensor:
        out = self.block.layer(
            self.block.joined(hidden, ahead),
            attention_mask=cache.mask(),
            position_embeddings=rope,
            past_key_values=cache,
            use_cache=True,
        )
        return cast(Tensor, self.block.norm(out))


class LeanStep:
    """A layer as Llama, Mistral, Qwen2 and Qwen3 have it."""

    def __init__(self, block: MTPBlock) -> None:
        layer: Any = block.layer
        attention, mlp = layer.self_attn, layer.mlp
        self.size = int(attention.head_dim)
        self.heads = attention.q_proj.out_features // self.size
        self.kv_heads = attention.k_proj.out_features // self.size
        self.eps = float(block.hidden_norm.eps or 1e-6)
        self.inner_eps = float(layer.input_layernorm.variance_epsilon)
        self.width = (int(block.project.out_features),)
        scales = torch.cat([block.hidden_norm.weight, block.token_norm.weight])
        self.project = block.project.weight * scales
        self.qkv, self.qkv_bias = _fused(
            [attention.q_proj, attention.k_proj, attention.v_proj], layer.input_layernorm.weight
        )
        self.norms: tuple[Any, Any] | None = None
        if getattr(attention, "q_norm", None) is not None:
            self.norms = attention.q_norm, attention.k_norm
        if self.norms is None:
            self._add_rotated()
        self.out, self.out_bias = attention.o_proj.weight, attention.o_proj.bias
        self.gate_up, self.gate_up_bias = _fused(
            [mlp.gate_proj, mlp.up_proj], layer.post_attention_layernorm.weight
        )
        self.act, self.down, self.down_bias = mlp.act_fn, mlp.down_proj.weight, mlp.down_proj.bias
        self.last, self.last_eps = block.norm.weight, float(block.norm.variance_epsilon)

    def _add_rotated(self) -> None:
        """Rows that give the halves of queries and keys swapped, the first negative, as rope wants them."""
        turned = (self.heads + self.kv_heads) * self.size
        self.qkv = torch.cat([self.qkv, _rotated(self.qkv[:turned], self.size)])
        if self.qkv_bias is not None:
            self.qkv_bias = torch.cat(
                [self.qkv_bias, _rotated(self.qkv_bias[:turned, None], self.size)[:, 0]]
            )

    def __call__(self, hidden: Tensor, ahead: Tensor, rope: Rope, cache: RowsCache) -> Tensor:
        rms, linear = nn.functional.rms_norm, nn.functional.linear
        both = torch.cat(
            [rms(hidden, self.width, None, self.eps), rms(ahead, self.width, None, self.eps)], -1
        )
        x = linear(both, self.project)
        batch, count = x.shape[:2]
        heard = linear(rms(x, self.width, None, self.inner_eps), self.qkv, self.qkv_bias)
        parts = heard.view(batch, count, -1, self.size)
        turned = self._roped(parts, rope)
        values = parts[:, :, self.heads + self.kv_heads : self.heads + 2 * self.kv_heads]
        attended = self._attention(turned, values, cache).reshape(batch, count, -1)
        x = x + linear(attended, self.out, self.out_bias)
        inner = linear(rms(x, self.width, None, self.inner_eps), self.gate_up, self.gate_up_bias)
        gate, up = inner.chunk(2, -1)
        x = x + linear(self.act(gate) * up, self.down, self.down_bias)
        return rms(x, self.width, self.last, self.last_eps)

    def _roped(self, parts: Tensor, rope: Rope) -> Tensor:
        """Queries and keys, turned: [B, W, heads + kv_heads, size]."""
        cos, sin = (one[:, :, None] for one in rope)
        count = self.heads + self.kv_heads
        straight = parts[:, :, :count]
        if self.norms is None:
            return torch.addcmul(straight * cos, parts[:, :, count + self.kv_heads :], sin)
        normed = [self.norms[0](parts[:, :, : self.heads])]
        normed.append(self.norms[1](parts[:, :, self.heads : count]))
        straight = torch.cat(normed, 2)
        half = self.size // 2
        swapped = torch.cat([-straight[..., half:], straight[..., :half]], -1)
        return torch.addcmul(straight * cos, swapped, sin)

    def _attention(self, turned: Tensor, values: Tensor, cache: RowsCache) -> Tensor:
        layer, window, seen = cache.layers[0], cache.window, cache.seen
        keys = turned[:, :, self.heads :]
        if not layer.is_initialized:
            layer.lazy_initialization(keys.transpose(1, 2), values.transpose(1, 2))
        assert layer.keys is not None and layer.values is not None
        window.write(layer.keys, keys)
        window.write(layer.values, values)
        found = nn.functional.scaled_dot_product_attention(
            turned[:, :, : self.heads].transpose(1, 2),
            layer.keys[window.slots, :seen].transpose(1, 2),
            layer.values[window.slots, :seen].transpose(1, 2),
            attn_mask=cache.mask(),
            enable_gqa=self.heads != self.kv_heads,
        )
        return found.transpose(1, 2)


@torch.no_grad()
def lean_or_plain(block: MTPBlock, rotary: Any) -> Step:
    """The lean pass where the layer has the parts that it knows and gives what it gives; else the plain one."""
    plain = PlainStep(block)
    parts = {name for name, _ in block.layer.named_children()}
    if parts != _PARTS or sum(p.numel() for p in block.parameters()) > _LARGEST // 5:
        return plain
    try:
        lean = LeanStep(block)
        return lean if _same(lean, plain, block, rotary) else plain
    except (AttributeError, RuntimeError, TypeError):
        return plain


def _same(lean: Step, plain: Step, block: MTPBlock, rotary: Any) -> bool:
    """On random input, in float32 terms: a layer that does more than is known here differs."""
    weight = block.project.weight
    generator = torch.Generator().manual_seed(0)
    hidden, ahead = (
        torch.randn(1, 4, weight.shape[0], generator=generator).to(weight) for _ in range(2)
    )
    found = []
    for step in (lean, plain):
        cache = RowsCache(1, 1, 4, weight)
        cache.window = type(cache.window)([0], 4, weight.device)
        rope = rotary(hidden, cache.positions())
        found.append(step(hidden, ahead, rope, cache).float())
    tolerance = _TOLERANCE if weight.dtype == torch.float32 else 0.1
    return bool((found[0] - found[1]).abs().max() <= tolerance * found[1].abs().max())


def _fused(layers: list[Any], scale: Tensor) -> tuple[Tensor, Tensor | None]:
    """Weights of linear layers one above the other, the norm's scale before them folded in; and their biases."""
    weight = torch.cat([layer.weight for layer in layers]) * scale
    if layers[0].bias is None:
        return weight, None
    return weight, torch.cat([layer.bias for layer in layers])


def _rotated(weight: Tensor, size: int) -> Tensor:
    heads = weight.view(-1, size, weight.shape[1])
    half = size // 2
    return torch.cat([-heads[:, half:], heads[:, :half]], 1).reshape(weight.shape)
