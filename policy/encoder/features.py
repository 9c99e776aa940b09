"""What the nano encoder hears: log-mel frames every 10 ms, whatever the level of the recording."""

import librosa
import numpy as np
import numpy.typing as npt
import torch

SAMPLE_RATE = 16_000
HOP = 160
WINDOW = 400
N_FFT = 512
MEL_BINS = 64
DYNAMIC_RANGE = 9.2
"""Nats of magnitude, 80 dB, below the loudest bin of a clip: what lies deeper is cut off."""

QUIET = 1 - 2 * 40 / 80
"""Of `log_mel`: 40 dB below the loudest bin of the clip. Frames without a louder bin are silence."""

Float = npt.NDArray[np.float32]

_FILTERS = torch.from_numpy(
    librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=MEL_BINS, fmin=40, fmax=7600).astype(
        np.float32
    )
)
_WINDOW = torch.hann_window(WINDOW)


def log_mel(samples: Float) -> Float:
    """float32 [n] at 16 kHz -> float32 [max(1, ceil(n / 160)), 64] within -1..1, 1 at the loudest bin.

    The level of the recording cancels out; silence alone gives -1 everywhere.
    """
    scaled_mel: Float = scaled(torch.from_numpy(raw_mel(samples))).numpy()
    return scaled_mel


def without_edges(mel: Float, edge: int) -> Float:
    """`log_mel` [T, 64] -> [T', 64] with at most `edge` frames of silence before what sounds and behind it; as it
    is where nothing sounds."""
    loud = np.flatnonzero(mel.max(1) > QUIET)
    if not len(loud):
        return mel
    return np.ascontiguousarray(mel[max(0, loud[0] - edge) : loud[-1] + 1 + edge])


def raw_mel(samples: Float) -> Float:
    """Natural logarithm of the mel magnitudes, float32 [max(1, ceil(n / 160)), 64]."""
    frames = max(1, -(-len(samples) // HOP))
    padded = np.pad(samples, (0, frames * HOP - len(samples))).astype(np.float32)
    spectrum = torch.stft(
        torch.from_numpy(padded),
        N_FFT,
        HOP,
        WINDOW,
        window=_WINDOW,
        return_complex=True,
        pad_mode="constant",
    ).abs()[:, :frames]
    mel: Float = torch.log(torch.clamp(_FILTERS @ spectrum, min=1e-7)).T.numpy()
    return mel


def scaled(mel: torch.Tensor) -> torch.Tensor:
    """raw_mel [T, 64] of one clip -> within -1..1; silence, under 1e-6, is -1."""
    loudest = mel.max()
    if float(loudest) < np.log(1e-6):
        return torch.full_like(mel, -1.0)
    return (mel - loudest).clamp(min=-DYNAMIC_RANGE) * (2 / DYNAMIC_RANGE) + 1
