"""Source-filter decoder in the manner of DDSP (Engel et al. 2020): harmonics plus filtered noise."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trivox.policy.codec.features import FEATURES, PITCH_HOP, SAMPLE_RATE, SAMPLES_PER_FRAME

CONTROL_FRAMES = SAMPLES_PER_FRAME // PITCH_HOP
NOISE_FFT = 256
NOISE_HOP = 80


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, then a pointwise MLP, residual (Liu et al. 2022). [B, C, T] both ways."""

    def __init__(self, width: int, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(
            width, width, 7, padding=3 * dilation, groups=width, dilation=dilation
        )
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 3 * width)
        self.project = nn.Linear(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.norm(self.depthwise(x).transpose(1, 2))
        hidden = self.project(F.gelu(self.expand(hidden)))
        return x + hidden.transpose(1, 2)


class SourceFilterVocoder(nn.Module):
    """Quantised features at 25 Hz -> waveform at 16 kHz.

    A ConvNeXt stack at 100 Hz gives, per 10 ms, the amplitudes of `harmonics` harmonics, a noise filter
    of `noise_bands` bands and the pitch; an oscillator bank and filtered noise make the waveform.
    """

    window: Tensor

    def __init__(self, width: int = 160, harmonics: int = 64, noise_bands: int = 65) -> None:
        super().__init__()
        self.harmonics, self.noise_bands = harmonics, noise_bands
        self.inlet = nn.Conv1d(FEATURES, width, 3, padding=1)
        self.coarse = nn.Sequential(ConvNeXtBlock(width), ConvNeXtBlock(width))
        self.upsample = nn.ConvTranspose1d(width, width, 2 * CONTROL_FRAMES, CONTROL_FRAMES, 2)
        self.fine = nn.Sequential(*[ConvNeXtBlock(width, dilation) for dilation in (1, 2, 1, 4)])
        self.outlet = nn.Conv1d(width, harmonics + noise_bands + 2, 3, padding=1)
        self.register_buffer("window", torch.hann_window(NOISE_FFT), persistent=False)

    def controls(self, quantised: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, T, F] -> harmonic amplitudes [B, K, 4T], noise gains [B, N, 4T], log2(pitch / 160 Hz) [B, 4T]."""
        hidden = self.upsample(self.coarse(self.inlet(quantised.transpose(1, 2))))
        hidden = self.outlet(self.fine(hidden))
        amplitude, noise, gate, pitch = hidden.split([self.harmonics, self.noise_bands, 1, 1], 1)
        amplitude = torch.exp(amplitude.clamp(-12, 3)) * torch.sigmoid(gate)
        return amplitude, torch.exp(noise.clamp(-14, 3)), pitch[:, 0].clamp(-1.3, 1.5)

    def forward(
        self, quantised: Tensor, noise: Tensor, log_pitch: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """[B, T, F] and uniform noise [B, 640 T] in -1..1 -> waveform [B, 640 T], predicted log2 pitch [B, 4T].

        log_pitch [B, 4T], when given (training), drives the oscillator in place of the predicted one.
        """
        amplitude, gains, predicted = self.controls(quantised)
        driving = predicted if log_pitch is None else log_pitch
        voiced = self._oscillate(amplitude, 160.0 * torch.exp2(driving))
        return voiced + self._shape_noise(gains, noise), predicted

    def audible(self, amplitude: Tensor, pitch_hz: Tensor) -> Tensor:
        """Amplitudes [B, K, 4T] with those of harmonics above the band at 0."""
        number = torch.arange(1, self.harmonics + 1, device=amplitude.device)[None, :, None]
        return amplitude * (pitch_hz[:, None] * number < SAMPLE_RATE / 2 - 200)

    def noise_shape(self, gains: Tensor) -> Tensor:
        """Gains [B, N, n] -> factors of the noise windows [B, bins, 2n - 1]: at each control, and halfway."""
        bins = F.interpolate(gains.transpose(1, 2), size=NOISE_FFT // 2 + 1, mode="linear")
        bins = bins.transpose(1, 2)
        halfway = F.pad((bins[..., 1:] + bins[..., :-1]) / 2, (0, 1))
        return torch.stack([bins, halfway], -1).flatten(-2)[..., :-1]

    def _oscillate(self, amplitude: Tensor, pitch_hz: Tensor) -> Tensor:
        number = torch.arange(1, self.harmonics + 1, device=amplitude.device)[None, :, None]
        samples = amplitude.shape[-1] * PITCH_HOP
        per_sample = F.interpolate(pitch_hz[:, None], size=samples, mode="linear")[:, 0]
        # Whole cycles are taken off in double precision: a float32 phase drifts after some seconds.
        cycles = torch.cumsum(per_sample.double() / SAMPLE_RATE, 1)
        phase = (2 * math.pi * (cycles % 1.0)).float()
        envelope = F.interpolate(self.audible(amplitude, pitch_hz), size=samples, mode="linear")
        return (torch.sin(phase[:, None] * number) * envelope).sum(1)

    def _shape_noise(self, gains: Tensor, noise: Tensor) -> Tensor:
        spectrum = torch.stft(noise, NOISE_FFT, NOISE_HOP, window=self.window, return_complex=True)
        shape = self.noise_shape(F.pad(gains, (1, 1), mode="replicate"))[..., 1:-1]
        return torch.istft(
            spectrum * shape, NOISE_FFT, NOISE_HOP, window=self.window, length=noise.shape[-1]
        )
