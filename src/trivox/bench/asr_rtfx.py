"""B3: seconds of speech transcribed in a second, encode and decode, against transformers' Whisper of like size.

Both hear the same clips of the test data and write as many tokens for each as nano does: what is compared is the
time of a transcript of one length, not its words. The peer has random weights, at the size of nano: no trained
Whisper is that small. It is padded to 30 s as every Whisper is; `whisper unpadded` shows what it would take if it
heard the clip alone, which no released Whisper does.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from trivox.bench.harness import Result, interleaved, ratio
from trivox.pipelines.workspaces import packaged_checkpoint
from trivox.platform.audio.io import read_audio, resample
from trivox.platform.errors import NotFound
from trivox.policy.backbone import Backbone
from trivox.policy.rows import pad_features
from trivox.policy.speaker import Speaker, Wave

CLIPS, AT_LEAST = 8, 2.0
SPEECH = Path("tests") / "data" / "speech"
WHISPER_RATE = 16_000
END, START = 1, 2


def run(full: bool) -> Result:
    """full: 15 repeats instead of 5. Run it in the folder of the source tree. Raises NotFound for missing
    clips."""
    backbone = Backbone.load(packaged_checkpoint())
    waves, seconds = _clips(backbone.hearing_rate)
    speaker = Speaker(backbone, backbone.lm, len(waves))
    lengths = [len(one.generation.tokens) for one in speaker.transcribe(waves)]
    whisper = _whisper(backbone.lm.num_parameters(), backbone.tokens.vocab_size)
    heard = [resample(wave, backbone.hearing_rate, WHISPER_RATE) for wave in waves]
    work: dict[str, Callable[[], object]] = {
        "ours": lambda: speaker.transcribe(waves),
        "whisper": lambda: _transcribe(whisper, heard, lengths, padded=True),
        "whisper unpadded": lambda: _transcribe(whisper, heard, lengths, padded=False),
        "limit: encoder": lambda: _encode(backbone, waves),
    }
    sides = interleaved(work, repeats=15 if full else 5)
    ours = sides["ours"]
    peers: dict[str, float | None] = {
        name: ratio(sides[name], ours) for name in ("whisper", "whisper unpadded")
    }
    return Result(
        name="asr-rtfx",
        ratio_to_peer=peers,
        ratio_to_limit=ratio(ours, sides["limit: encoder"]),
        passed=(peers["whisper"] or 0) >= AT_LEAST,
        threshold=f"at least {AT_LEAST}x the RTFx of Whisper of like size, padded to 30 s as it hears",
        terms={"encoder_s": sides["limit: encoder"].median},
        sizes={
            "parameters": backbone.lm.num_parameters(),
            "whisper_parameters": whisper.num_parameters(),
            "clips": len(waves),
            "audio_s": seconds,
            "tokens": sum(lengths),
        },
        sides=sides,
        figures={f"rtfx {name}": seconds / sides[name].median for name in ("ours", *peers)},
        notes=("the peer has random weights: no trained Whisper is as small as nano",),
    )


def _clips(rate: int) -> tuple[list[Wave], float]:
    """Waves at the rate, and their seconds together."""
    files = sorted(SPEECH.glob("*.flac"))[:CLIPS]
    if not files:
        raise NotFound(
            f"{SPEECH.resolve()} has no clips: run this in the folder of the source tree"
        )
    waves = [resample(*read_audio(file), rate) for file in files]
    return waves, sum(map(len, waves)) / rate


def _whisper(parameters: int, vocabulary: int) -> WhisperForConditionalGeneration:
    """A Whisper of random weights, four layers on each side as tiny has, of a width that gives it about as many
    parameters."""
    sizes = (64 * step for step in range(1, 9))
    made = [(_config(width, vocabulary), width) for width in sizes]
    # Layers of width w have some 12 w^2 in the encoder, 16 w^2 in the decoder; then positions and tokens.
    best = min(
        made, key=lambda one: abs(4 * 28 * one[1] ** 2 + (2000 + vocabulary) * one[1] - parameters)
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(best[0])
    model.eval()
    return model


def _config(width: int, vocabulary: int) -> WhisperConfig:
    heads = width // 64
    return WhisperConfig(
        d_model=width,
        encoder_layers=4,
        decoder_layers=4,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        num_mel_bins=80,
        vocab_size=vocabulary,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=END,
        decoder_start_token_id=START,
        suppress_tokens=[],
        begin_suppress_tokens=[],
    )


@torch.no_grad()
def _transcribe(
    model: WhisperForConditionalGeneration,
    waves: Sequence[Wave],
    lengths: Sequence[int],
    padded: bool,
) -> None:
    """All clips in one batch, greedily, until the longest transcript is written, as `generate` does."""
    extractor: Any = WhisperFeatureExtractor()
    pad = {"padding": "max_length"} if padded else {"padding": "longest"}
    features = extractor(
        waves, sampling_rate=WHISPER_RATE, return_tensors="pt", **pad
    ).input_features
    if not padded:
        features = features[:, :, : features.shape[2] // 2 * 2]
        return _unpadded(model, features, max(lengths))
    model.generate(
        features, do_sample=False, min_new_tokens=max(lengths), max_new_tokens=max(lengths)
    )


def _unpadded(model: WhisperForConditionalGeneration, features: torch.Tensor, steps: int) -> None:
    """Its encoder over the frames there are, which its own forward refuses, and greedy decoding with a cache."""
    inner: Any = model.model
    encoder = inner.encoder
    hidden = torch.nn.functional.gelu(encoder.conv1(features))
    hidden = torch.nn.functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    for layer in encoder.layers:
        out = layer(hidden, None)
        hidden = out[0] if isinstance(out, tuple) else out
    hidden = encoder.layer_norm(hidden)
    ids, cache = torch.full((len(features), 1), START), None
    for _ in range(steps):
        told = inner.decoder(
            input_ids=ids, encoder_hidden_states=hidden, past_key_values=cache, use_cache=True
        )
        cache = told.past_key_values
        ids = model.proj_out(told.last_hidden_state[:, -1:]).argmax(-1)


@torch.no_grad()
def _encode(backbone: Backbone, waves: Sequence[Wave]) -> None:
    """Features and encoder, which every transcript needs, however it is decoded."""
    lm: Any = backbone.lm
    for wave in waves:
        lm.model.hear(**pad_features([np.asarray(backbone.features(wave))]))
