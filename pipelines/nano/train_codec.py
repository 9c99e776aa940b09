"""`trivox nano train --part codec`: the vocoder learns to speak from quantised features."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trivox.pipelines.nano.checkpoint import resume, save_checkpoint
from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.prepare import (
    CODEBOOK_SIZE,
    CODEBOOKS,
    CODES_FILE,
    load_codes,
    load_quantiser,
    require_prepared,
)
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.platform.audio.pitch import interpolate_unvoiced
from trivox.platform.errors import ConfigError
from trivox.platform.progress import bar
from trivox.policy.codec.features import SAMPLES_PER_FRAME
from trivox.policy.codec.nano import NanoCodec

PITCH_LOSS_WEIGHT = 4.0
STFT_SIZES = (256, 512, 1024, 2048)
_WINDOWS = {size: torch.hann_window(size) for size in STFT_SIZES}


def train_codec(recipe: NanoRecipe, folder: Path) -> Path:
    """Train the vocoder on the prepared corpus; returns the codec's folder. Resumes from its checkpoint.

    Raises NotFound when nothing is prepared, ConfigError for segments longer than every sentence.
    """
    require_prepared(folder)
    torch.manual_seed(recipe.seed)
    codec = NanoCodec(CODEBOOKS, CODEBOOK_SIZE)
    codec.quantiser.load_state_dict(load_quantiser(folder).state_dict())
    optimiser = torch.optim.AdamW(
        codec.vocoder.parameters(), lr=recipe.codec_learning_rate, betas=(0.8, 0.95)
    )
    checkpoint = folder / "codec.checkpoint.pt"
    first = resume(checkpoint, codec.vocoder, optimiser)
    segments = _Segments(recipe, folder, codec)
    with bar() as shown:
        task = shown.add_task("training codec", total=recipe.codec_steps, completed=first)
        for step in range(first, recipe.codec_steps):
            loss = _step(recipe, codec, optimiser, segments, step)
            shown.update(task, advance=1, description=f"training codec, loss {loss:.3f}")
            if (step + 1) % recipe.checkpoint_every == 0:
                save_checkpoint(checkpoint, codec.vocoder, optimiser, step + 1, loss)
    codec.save(folder / "codec")
    return folder / "codec"


class _Segments:
    """Random segments of the training speech, each voice as often, with their quantised features and pitch."""

    def __init__(self, recipe: NanoRecipe, folder: Path, codec: NanoCodec) -> None:
        self.recipe, self.codec = recipe, codec
        self.corpus = Corpus.load(folder / "train")
        self.codes = load_codes(folder / "train" / CODES_FILE)
        length = recipe.codec_segment_frames
        heard = [i for i, c in enumerate(self.corpus.clips) if c.voice in recipe.tts_voices]
        usable = [i for i in heard if len(self.codes[i]) > length]
        if not usable:
            raise ConfigError(
                f"codec_segment_frames is {length} and the longest of {len(heard)} clips has "
                f"{max(len(self.codes[i]) for i in heard)} frames: choose shorter segments"
            )
        voices = dict.fromkeys(self.corpus.clips[i].voice for i in usable)
        self.by_voice = [[i for i in usable if self.corpus.clips[i].voice == v] for v in voices]

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Quantised features [B, T, F], log2(pitch / 160 Hz) [B, 4T], waveform [B, 640 T]."""
        rng = np.random.default_rng([self.recipe.seed, step])
        rows = [self._segment(rng) for _ in range(self.recipe.codec_batch)]
        codes, pitch, wave = (torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True))
        return self.codec.quantiser.decode(codes.long()), pitch, wave

    def _segment(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        length = self.recipe.codec_segment_frames
        clips = self.by_voice[rng.integers(len(self.by_voice))]
        index = clips[rng.integers(len(clips))]
        begin = int(rng.integers(len(self.codes[index]) - length))
        pitch = interpolate_unvoiced(self.corpus.pitch_of(index))
        wave = self.corpus.waveform(index)
        return (
            self.codes[index][begin : begin + length],
            np.log2(pitch / 160.0)[4 * begin : 4 * (begin + length)],
            wave[begin * SAMPLES_PER_FRAME : (begin + length) * SAMPLES_PER_FRAME],
        )


def _step(
    recipe: NanoRecipe,
    codec: NanoCodec,
    optimiser: torch.optim.Optimizer,
    segments: _Segments,
    step: int,
) -> float:
    warm, left = min(1.0, (step + 1) / 50), 1 - step / recipe.codec_steps
    for group in optimiser.param_groups:
        group["lr"] = recipe.codec_learning_rate * warm * max(0.03, left)
    quantised, pitch, wave = segments.batch(step)
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    noise = torch.rand(wave.shape, generator=generator) * 2 - 1
    spoken, predicted = codec.vocoder(quantised, noise, pitch)
    loss = spectral_loss(spoken, wave) + PITCH_LOSS_WEIGHT * (predicted - pitch).abs().mean()
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(codec.vocoder.parameters(), 1.0)
    optimiser.step()
    return float(loss.item())


def spectral_loss(spoken: Tensor, wave: Tensor) -> Tensor:
    """Multi-resolution STFT loss (Yamamoto et al. 2020): magnitudes and their logarithms, [B, n] each."""
    total = torch.zeros(())
    for size, window in _WINDOWS.items():
        a, b = (
            torch.stft(x, size, size // 4, window=window, return_complex=True).abs()
            for x in (spoken, wave)
        )
        total = total + 2 * F.l1_loss(a, b) + F.l1_loss((a + 1e-4).log(), (b + 1e-4).log())
    return total
