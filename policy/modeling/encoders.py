"""How each kind of audio encoder is built, called and counted: the features of clips in, their frames out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModel, PretrainedConfig, PreTrainedModel

from trivox.platform.errors import ConfigError

SILENCE_BELOW_MAX = 2.0
"""Whisper's log-mel is cut off 8 decades below its loudest bin and divided by 4: silence lies this far down."""


@dataclass(frozen=True)
class EncoderFamily:
    """One kind of encoder.

    build: an encoder of random weights from its config.
    run: (encoder, float [A, T, F], int64 [A]: real frames of each clip) -> [A, T', C]; only the first
    `frames` rows of a clip mean something, and they do not depend on its neighbours.
    frames: encoder frames of a clip of so many feature frames. longest: most feature frames of a clip, None
    for no limit. bins: F. width: C.
    """

    build: Callable[[PretrainedConfig], PreTrainedModel]
    run: Callable[[Any, Tensor, Tensor], Tensor]
    frames: Callable[[PretrainedConfig, int], int]
    longest: Callable[[PretrainedConfig], int | None]
    bins: Callable[[PretrainedConfig], int]
    width: Callable[[PretrainedConfig], int]


def family_of(config: PretrainedConfig) -> EncoderFamily:
    """Raises ConfigError, naming the kinds there are, for another one."""
    if config.model_type not in ENCODER_FAMILIES:
        raise ConfigError(
            f"audio encoder {config.model_type!r} is not one that Trivox can call: "
            f"use one of {', '.join(sorted(ENCODER_FAMILIES))}"
        )
    return ENCODER_FAMILIES[config.model_type]


def real_frames(lengths: Tensor, width: int) -> Tensor:
    """int64 [A] -> int64 [A, width]: 1 for the first `lengths` frames of each clip."""
    return (torch.arange(width, device=lengths.device) < lengths[:, None]).long()


def _run_nano(encoder: Any, features: Tensor, lengths: Tensor) -> Tensor:
    hidden: Tensor = encoder(features, real_frames(lengths, features.shape[1])).last_hidden_state
    return hidden


def _as_whisper_pads(features: Tensor, lengths: Tensor, width: int) -> Tensor:
    """[A, T, F] -> [A, F, width], silence after each clip as Whisper's own feature extractor writes it."""
    real = real_frames(lengths, features.shape[1])[..., None].bool()
    loudest = features.masked_fill(~real, -torch.inf).amax((1, 2), keepdim=True)
    silent = (loudest - SILENCE_BELOW_MAX).expand(-1, width, features.shape[2]).clone()
    kept = min(width, features.shape[1])
    silent[:, :kept] = torch.where(real[:, :kept], features[:, :kept], silent[:, :kept])
    return silent.transpose(1, 2)


def _run_whisper(encoder: Any, features: Tensor, lengths: Tensor) -> Tensor:
    width = 2 * encoder.config.max_source_positions
    hidden: Tensor = encoder(_as_whisper_pads(features, lengths, width)).last_hidden_state
    return hidden


def _run_qwen2_audio(encoder: Any, features: Tensor, lengths: Tensor) -> Tensor:
    """Padding hidden from attention, as Qwen2-Audio itself does it."""
    positions = encoder.config.max_source_positions
    padded = _as_whisper_pads(features, lengths, 2 * positions)
    heard = real_frames((lengths - 1) // 2 + 1, positions).bool()
    mask = torch.zeros(heard.shape, dtype=padded.dtype, device=padded.device)
    mask = mask.masked_fill(~heard, torch.finfo(padded.dtype).min)[:, None, None]
    hidden: Tensor = encoder(
        padded, attention_mask=mask.expand(-1, 1, positions, -1)
    ).last_hidden_state
    return hidden


def _run_qwen3_asr(encoder: Any, features: Tensor, lengths: Tensor) -> Tensor:
    """It returns the frames of all clips in one row: apart again here."""
    chunk = 2 * encoder.config.n_window
    features = F.pad(features, (0, 0, 0, -features.shape[1] % chunk))
    mask = real_frames(lengths, features.shape[1])
    features = (features * mask[..., None]).transpose(1, 2)
    packed = encoder(features.contiguous(), input_features_mask=mask).last_hidden_state
    counts = [_qwen3_asr_frames(encoder.config, int(length)) for length in lengths]
    return torch.nn.utils.rnn.pad_sequence(list(packed.split(counts)), batch_first=True)


def _qwen3_asr_frames(config: Any, frames: int) -> int:
    """Each chunk of 2 n_window frames is halved three times, rounding up, on its own."""
    chunk = 2 * int(config.n_window)
    return frames // chunk * -(-chunk // 8) + -(-(frames % chunk) // 8)


def _build_whisper(config: Any) -> PreTrainedModel:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    encoder: PreTrainedModel = WhisperEncoder(config)
    return encoder


def _build_auto(config: PretrainedConfig) -> PreTrainedModel:
    encoder: PreTrainedModel = AutoModel.from_config(config)
    return encoder


ENCODER_FAMILIES = {
    "trivox_nano_encoder": EncoderFamily(
        build=_build_auto,
        run=_run_nano,
        frames=lambda config, frames: -(-frames // 4),
        longest=lambda config: None,
        bins=lambda config: int(config.mel_bins),
        width=lambda config: int(config.hidden_size),
    ),
    "whisper": EncoderFamily(
        build=_build_whisper,
        run=_run_whisper,
        frames=lambda config, frames: -(-frames // 2),
        longest=lambda config: 2 * int(config.max_source_positions),
        bins=lambda config: int(config.num_mel_bins),
        width=lambda config: int(config.d_model),
    ),
    "qwen2_audio_encoder": EncoderFamily(
        build=_build_auto,
        run=_run_qwen2_audio,
        # Halved by a convolution rounding up, then averaged by two, what is left over dropped.
        frames=lambda config, frames: max(1, -(-frames // 2) // 2),
        longest=lambda config: 2 * int(config.max_source_positions),
        bins=lambda config: int(config.num_mel_bins),
        width=lambda config: int(config.d_model),
    ),
    "qwen3_asr_encoder": EncoderFamily(
        build=_build_auto,
        run=_run_qwen3_asr,
        frames=_qwen3_asr_frames,
        longest=lambda config: None,
        bins=lambda config: int(config.num_mel_bins),
        width=lambda config: int(config.d_model),
    ),
}
