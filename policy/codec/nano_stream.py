"""Chunks of the nano vocoder that join without a seam: the phase goes on, noise overlaps, context is enough."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trivox.policy.codec.features import PITCH_HOP, SAMPLE_RATE, SAMPLES_PER_FRAME
from trivox.policy.codec.rvq import ResidualVQ
from trivox.policy.codec.streaming import ChunkedStream, Chunking, Samples, Window
from trivox.policy.codec.vocoder import (
    CONTROL_FRAMES,
    NOISE_FFT,
    NOISE_HOP,
    SourceFilterVocoder,
)

CHUNK_FRAMES = 10
OPENING = (2, 4, 8)
"""Frames of the first chunks: sound begins 8 frames of generation earlier, and each chunk lasts while the next is
made by a model that is three times as fast as real time."""
_HALF = NOISE_FFT // 2
# From the first sample of the first noise window that reaches into a chunk up to the chunk, and so at its end.
_MARGIN = NOISE_HOP + _HALF
# Controls beyond a chunk that shape its samples: to interpolate with, under the margin, and for the rounding.
_SYNTHESIS_CONTROLS = 3


def context_frames(vocoder: SourceFilterVocoder) -> int:
    """How many code frames to either side the samples of one frame depend on."""
    coarse = _reach(vocoder.inlet) + _reach(vocoder.coarse)
    fine = _reach(vocoder.fine) + _reach(vocoder.outlet) + _SYNTHESIS_CONTROLS
    return coarse + 1 + math.ceil(fine / CONTROL_FRAMES)


def _reach(module: nn.Module) -> int:
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv1d)]
    return sum(c.dilation[0] * (c.kernel_size[0] // 2) for c in convolutions)


class NanoStream(ChunkedStream):
    """Agrees with one pass of the vocoder over all frames up to float32 rounding."""

    def __init__(self, quantiser: ResidualVQ, vocoder: SourceFilterVocoder, noise: "Noise") -> None:
        context = context_frames(vocoder)
        chunking = Chunking(CHUNK_FRAMES, context, context, OPENING)
        super().__init__(chunking, len(quantiser.codebooks), self._samples)
        self._quantiser, self._vocoder, self._noise = quantiser, vocoder, noise
        self._cycles = 0.0

    @torch.no_grad()
    def _samples(self, window: Window) -> Samples:
        codes = torch.from_numpy(window.codes).long()
        amplitude, gains, log_pitch = self._vocoder.controls(self._quantiser.decode(codes)[None])
        pitch = 160.0 * torch.exp2(log_pitch)
        amplitude = self._vocoder.audible(amplitude, pitch)
        voiced = self._oscillate(_chunk(amplitude, window)[0], _chunk(pitch[:, None], window)[0])
        wave = voiced + self._shaped_noise(_chunk(gains, window), window)
        samples: Samples = wave.clamp(-1, 1).numpy()
        return samples

    def _oscillate(self, amplitude: Tensor, pitch_hz: Tensor) -> Tensor:
        """[K, 4n + 2] and [1, 4n + 2] -> [640 n]; the phase goes on from the chunk before."""
        per_sample = _per_sample(pitch_hz)[0].double()
        cycles = self._cycles + torch.cumsum(per_sample / SAMPLE_RATE, 0)
        self._cycles = float(cycles[-1] % 1.0)
        phase = (2 * math.pi * (cycles % 1.0)).float()
        number = torch.arange(1, len(amplitude) + 1)[:, None]
        return (torch.sin(phase * number) * _per_sample(amplitude)).sum(0)

    def _shaped_noise(self, gains: Tensor, window: Window) -> Tensor:
        """[1, N, 4n + 2] -> [640 n]: the noise windows that reach into the chunk, shaped and overlapped."""
        length = window.count * SAMPLES_PER_FRAME
        noise = self._noise.around(length, window.begins, window.ends)
        hann = self._vocoder.window
        spectrum = torch.stft(
            noise, NOISE_FFT, NOISE_HOP, window=hann, center=False, return_complex=True
        )
        shape = self._vocoder.noise_shape(gains)[0]
        shape = shape[:, window.begins : shape.shape[1] - window.ends]
        frames = torch.fft.irfft(spectrum * shape, n=NOISE_FFT, dim=0) * hann[:, None]
        weight = (hann**2)[:, None].expand_as(frames)
        wave = _overlap_add(frames) / _overlap_add(weight).clamp(min=1e-11)
        return wave[_HALF if window.begins else _MARGIN :][:length]


class Noise:
    """The noise of a clip in order, chunk by chunk: uniform in -1..1, the same for every clip."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        # Drawn and still needed: from _MARGIN before the next chunk on.
        self._drawn = torch.zeros(0)

    def around(self, length: int, begins: bool, ends: bool) -> Tensor:
        """The next chunk of `length` samples with _MARGIN more to either side; at the ends of the clip its mirror
        image, _HALF long, as torch.stft has it."""
        left = 0 if begins else _MARGIN
        missing = left + length + _MARGIN - len(self._drawn)
        new = torch.rand(missing, generator=self._generator) * 2 - 1
        self._drawn = torch.cat([self._drawn, new])
        part = self._drawn[: left + length + (0 if ends else _MARGIN)]
        self._drawn = self._drawn[left + length - _MARGIN :]
        head = part[1 : _HALF + 1].flip(0) if begins else part[:0]
        tail = part[-_HALF - 1 : -1].flip(0) if ends else part[:0]
        return torch.cat([head, part, tail])


def _chunk(controls: Tensor, window: Window) -> Tensor:
    """[1, C, 4 * frames of the window] -> [1, C, 4 * count + 2]: the chunk and a control to either side, which at
    the ends of the clip is the last one again."""
    first = window.skip * CONTROL_FRAMES
    padded = F.pad(controls, (1, 1), mode="replicate")
    return padded[..., first : first + window.count * CONTROL_FRAMES + 2]


def _per_sample(controls: Tensor) -> Tensor:
    """[C, n + 2] -> [C, 160 n], between the middles of the controls."""
    samples = controls.shape[-1] * PITCH_HOP
    return F.interpolate(controls[None], size=samples, mode="linear")[0, :, PITCH_HOP:-PITCH_HOP]


def _overlap_add(frames: Tensor) -> Tensor:
    """[NOISE_FFT, J] -> [(J - 1) * NOISE_HOP + NOISE_FFT]."""
    size = (frames.shape[1] - 1) * NOISE_HOP + NOISE_FFT
    return F.fold(frames[None], (1, size), (1, NOISE_FFT), stride=(1, NOISE_HOP))[0, 0, 0]
