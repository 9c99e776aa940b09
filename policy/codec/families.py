"""What differs between the codecs of transformers: shapes, rates, and how each is decoded in chunks.

| family | codebooks | streaming decode |
|---|---|---|
| mimi | up to 32 | exact: the transformer keeps its keys and values, the convolutions their left context |
| encodec (mono, causal) | up to 32 | exact: the LSTM keeps its state, the convolutions their left context |
| dac | up to 9 or 12 | exact: windows as wide as the convolutions see |
| xcodec2, neucodec | 1 | near: attention sees 2 s back and 0.5 s ahead instead of the whole clip |

"Exact" is up to float32 rounding against the model's own decode of the whole clip.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trivox.platform.audio.io import resample
from trivox.platform.errors import ConfigError
from trivox.policy.codec.streaming import Chunking

Renderer = Callable[[Tensor, int, int], Tensor]
"""(codes int64 [Q, n] of a window, skip, count) -> [count * samples_per_frame]; one per stream, in order."""


@dataclass(frozen=True)
class CodecFamily:
    """One kind of codec.

    rate: Hz; hop: samples per frame at that rate; sizes: entries of each codebook there is.
    encode: (model, float32 [frames * hop], codebooks) -> int64 [Q, frames]. renderer: for one stream.
    check: raises ConfigError for a variant that is not supported.
    """

    rate: Callable[[Any], int]
    hop: Callable[[Any], int]
    sizes: Callable[[Any], tuple[int, ...]]
    encode: Callable[[Any, npt.NDArray[np.float32], int], Tensor]
    chunking: Callable[[Any], Chunking]
    renderer: Callable[[Any], Renderer]
    check: Callable[[Any], None] = lambda config: None


def family_of_codec(config: Any) -> CodecFamily:
    """Raises ConfigError, naming the kinds there are, for another one."""
    family = CODEC_FAMILIES.get(config.model_type)
    if family is None:
        raise ConfigError(
            f"{config.model_type!r} is no codec that Trivox can call: use one of {', '.join(CODEC_FAMILIES)}"
        )
    family.check(config)
    return family


def _stateless(decode: Callable[[Any, Tensor], Tensor], model: Any, hop: int) -> Renderer:
    def render(codes: Tensor, skip: int, count: int) -> Tensor:
        wave = decode(model, codes)
        # Odd strides lose some samples at the very end.
        wave = torch.nn.functional.pad(wave, (0, max(0, codes.shape[1] * hop - len(wave))))
        return wave[skip * hop : (skip + count) * hop]

    return render


class _Tail:
    """Causal convolutions over pieces: [1, C, n] -> [n * hop], after the last `keep` columns before them."""

    def __init__(self, layers: Callable[[Tensor], Tensor], keep: int, hop: int) -> None:
        self._layers, self._keep, self._hop = layers, keep, hop
        self._tail: Tensor | None = None

    def __call__(self, piece: Tensor) -> Tensor:
        known = 0 if self._tail is None else self._tail.shape[-1]
        whole = piece if self._tail is None else torch.cat([self._tail, piece], -1)
        self._tail = whole[..., -self._keep :]
        return self._layers(whole)[0, 0, known * self._hop :]


def causal_reach(config: Any) -> int:
    """Columns that one sample of a SEANet decoder sees to its left, beginning at its first convolution."""
    reach = config.last_kernel_size - 1
    for ratio in reversed(config.upsampling_ratios):
        for layer in range(config.num_residual_layers):
            reach += (config.residual_kernel_size - 1) * config.dilation_growth_rate**layer
        reach = math.ceil(reach / ratio) + 1
    return int(reach + config.kernel_size - 1)


def _check_causal(config: Any) -> None:
    wanted: dict[str, Any] = {"audio_channels": 1, "use_causal_conv": True, "trim_right_ratio": 1.0}
    if config.model_type == "encodec":
        wanted |= {"normalize": False, "chunk_length_s": None, "norm_type": "weight_norm"}
    for name, value in wanted.items():
        if getattr(config, name) != value:
            raise ConfigError(
                f"a {config.model_type} codec with {name} = {getattr(config, name)!r}: only {value!r} is "
                "supported: use the mono, causal one, such as kyutai/mimi or facebook/encodec_24khz"
            )


def _encode_mimi(model: Any, samples: npt.NDArray[np.float32], codebooks: int) -> Tensor:
    codes: Tensor = model.encode(_batched(samples), num_quantizers=codebooks).audio_codes
    return codes[0]


def _mimi_renderer(model: Any) -> Renderer:
    from transformers import DynamicCache

    decoder, stride = model.decoder, model.config.latent_stride
    cache = DynamicCache(config=decoder.config)
    hop = math.prod(model.config.upsampling_ratios)
    seanet = _Tail(decoder.decoder_seanet, causal_reach(model.config), hop)

    def render(codes: Tensor, skip: int, count: int) -> Tensor:
        latents = decoder.upsample(model.quantizer.decode(codes[None]))
        latents = latents[..., skip * stride : (skip + count) * stride].transpose(1, 2)
        heard = decoder.decoder_transformer(latents, past_key_values=cache, use_cache=True)
        return seanet(heard.last_hidden_state.transpose(1, 2))

    return render


def _encode_encodec(model: Any, samples: npt.NDArray[np.float32], codebooks: int) -> Tensor:
    """Residual codebooks: the first of many are those of a lower bandwidth."""
    highest = model.config.target_bandwidths[-1]
    codes: Tensor = model.encode(_batched(samples), bandwidth=highest).audio_codes
    return codes[0, 0, :codebooks]


def _encodec_renderer(model: Any) -> Renderer:
    first, recurrent, *rest = model.decoder.layers
    tail = _Tail(torch.nn.Sequential(*rest), causal_reach(model.config), model.config.hop_length)
    state: Any = None

    def render(codes: Tensor, skip: int, count: int) -> Tensor:
        nonlocal state
        hidden = first(model.quantizer.decode(codes[:, None]))[..., skip : skip + count]
        steps = hidden.permute(2, 0, 1)
        told, state = recurrent.lstm(steps, state)
        return tail((told + steps).permute(1, 2, 0))

    return render


def _encode_dac(model: Any, samples: npt.NDArray[np.float32], codebooks: int) -> Tensor:
    codes: Tensor = model.encode(_batched(samples), n_quantizers=codebooks).audio_codes
    return codes[0]


def _decode_dac(model: Any, codes: Tensor) -> Tensor:
    wave: Tensor = model.decode(audio_codes=codes[None]).audio_values
    return wave.reshape(-1)


def _dac_chunking(config: Any) -> Chunking:
    """Each block: a transposed convolution, then three of kernel 7 with dilations 1, 3 and 9."""
    reach = 3
    for stride in reversed(config.upsampling_ratios):
        reach = math.ceil((reach + 3 * (1 + 3 + 9)) / stride) + 1
    return Chunking(20, reach + 3, reach + 3)


def _decode_single(model: Any, codes: Tensor) -> Tensor:
    wave: Tensor = model.decode(audio_codes=codes[None]).audio_values
    return wave.reshape(-1)


def _encode_xcodec2(model: Any, samples: npt.NDArray[np.float32], codebooks: int) -> Tensor:
    half = model.config.hop_length // 2
    return _with_semantics(model, samples, np.pad(samples, half))


def _encode_neucodec(model: Any, samples: npt.NDArray[np.float32], codebooks: int) -> Tensor:
    """Heard at a lower rate than spoken. Its reference implementation has one frame of silence at the end."""
    config = model.config
    heard = resample(samples, config.output_sampling_rate, config.input_sampling_rate)
    heard = np.pad(heard, (0, config.encoder_hop_length)).astype(np.float32)
    return _with_semantics(model, heard, heard)


def _with_semantics(
    model: Any, samples: npt.NDArray[np.float32], heard: npt.NDArray[np.float32]
) -> Tensor:
    """Both encoders of X-Codec2: on the waveform, and on Kaldi's filter banks in pairs of frames."""
    banks = _filter_banks(heard)
    pairs = torch.from_numpy(banks[: len(banks) // 2 * 2].reshape(1, -1, 2 * banks.shape[1]))
    codes: Tensor = model.encode(_batched(samples), input_features=pairs).audio_codes
    return codes[0]


def _filter_banks(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [n] at 16 kHz -> [frames, 80], as transformers computes them for SeamlessM4T, each band with mean 0
    and variance 1: the codecs' own feature extractors ask for torchaudio."""
    from transformers import SeamlessM4TFeatureExtractor

    extractor: Any = SeamlessM4TFeatureExtractor()
    banks = extractor._extract_fbank_features(samples)
    normed = (banks - banks.mean(0)) / np.sqrt(banks.var(0, ddof=1) + 1e-7)
    whole: npt.NDArray[np.float32] = normed.astype(np.float32)
    return whole


def _batched(samples: npt.NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(samples)[None, None]


_ATTENDING = Chunking(25, 100, 25)

CODEC_FAMILIES = {
    "mimi": CodecFamily(
        rate=lambda config: int(config.sampling_rate),
        hop=lambda config: round(config.sampling_rate / config.frame_rate),
        sizes=lambda config: (int(config.codebook_size),) * int(config.num_quantizers),
        encode=_encode_mimi,
        # Upsampling sees one frame back; two frames are 0.16 s.
        chunking=lambda config: Chunking(2, 1, 0),
        renderer=_mimi_renderer,
        check=_check_causal,
    ),
    "encodec": CodecFamily(
        rate=lambda config: int(config.sampling_rate),
        hop=lambda config: int(config.hop_length),
        sizes=lambda config: (int(config.codebook_size),) * int(config.num_quantizers),
        encode=_encode_encodec,
        # At the clip's beginning it pads with the mirror image of as many frames as its kernel has.
        chunking=lambda config: Chunking(
            max(12, config.kernel_size + 1), int(config.kernel_size), 0
        ),
        renderer=_encodec_renderer,
        check=_check_causal,
    ),
    "dac": CodecFamily(
        rate=lambda config: int(config.sampling_rate),
        hop=lambda config: int(config.hop_length),
        sizes=lambda config: (int(config.codebook_size),) * int(config.n_codebooks),
        encode=_encode_dac,
        chunking=_dac_chunking,
        renderer=lambda model: _stateless(_decode_dac, model, model.config.hop_length),
    ),
    "xcodec2": CodecFamily(
        rate=lambda config: int(config.sampling_rate),
        hop=lambda config: int(config.hop_length),
        sizes=lambda config: (math.prod(config.quantization_levels),),
        encode=_encode_xcodec2,
        chunking=lambda config: _ATTENDING,
        renderer=lambda model: _stateless(_decode_single, model, model.config.hop_length),
    ),
    "neucodec": CodecFamily(
        rate=lambda config: int(config.output_sampling_rate),
        hop=lambda config: int(config.hop_length),
        sizes=lambda config: (math.prod(config.quantization_levels),),
        encode=_encode_neucodec,
        chunking=lambda config: _ATTENDING,
        renderer=lambda model: _stateless(_decode_single, model, model.config.hop_length),
    ),
}
