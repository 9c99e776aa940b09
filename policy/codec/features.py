"""What the nano codec quantises: log-mel and log pitch, stacked into 25 frames per second."""

import librosa
import numpy as np
import numpy.typing as npt
import torch

from trivox.platform.audio.pitch import PitchTracker, interpolate_unvoiced

SAMPLE_RATE = 16_000
FRAME_RATE = 25.0
SAMPLES_PER_FRAME = 640
PITCH_HOP = 160
MEL_HOP = 320
MEL_BINS = 64
N_FFT = 1024
WINDOW = 800
LOG_FLOOR = 1e-4
# log2 Hz and the voiced share span little beside 128 mel values: weighted so that the quantiser minds them.
PITCH_WEIGHT = 12.0
VOICED_WEIGHT = 1.0
FEATURES = 2 * MEL_BINS + 3

Float = npt.NDArray[np.float32]

_FILTERS = torch.from_numpy(
    librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=MEL_BINS, fmin=60, fmax=7600, norm=None
    ).astype(np.float32)
)
_WINDOW = torch.hann_window(WINDOW)


def pitch_100hz(samples: Float) -> Float:
    """Pitch in Hz every 10 ms, 0 where unvoiced: float32 [len(samples) // 160]."""
    return PitchTracker().track(samples, SAMPLE_RATE)


def features(samples: Float, pitch: Float | None = None) -> Float:
    """float32 [n] at 16 kHz -> float32 [n_frames, 131], n_frames = ceil(n / 640).

    Columns: two 20 ms frames of 64 log-mel values, log2(pitch / 160 Hz) at the two halves, voiced share.
    pitch, when given, is pitch_100hz of the padded samples.
    """
    samples = pad_to_frame(samples)
    pitch = pitch_100hz(samples) if pitch is None else pitch
    count = len(samples) // SAMPLES_PER_FRAME
    mel = _log_mel(samples)[: 2 * count].reshape(count, 2 * MEL_BINS)
    log_pitch = np.log2(interpolate_unvoiced(pitch) / 160.0).reshape(count, 2, 2).mean(2)
    voiced = (pitch > 0).reshape(count, 4).mean(1, keepdims=True)
    stacked = [mel, PITCH_WEIGHT * log_pitch, VOICED_WEIGHT * voiced]
    return np.concatenate(stacked, 1).astype(np.float32)


def pad_to_frame(samples: Float) -> Float:
    """Zeros at the end, up to a whole number of 40 ms frames (at least one)."""
    frames = max(1, -(-len(samples) // SAMPLES_PER_FRAME))
    return np.pad(samples, (0, frames * SAMPLES_PER_FRAME - len(samples))).astype(np.float32)


def _log_mel(samples: Float) -> Float:
    spectrum = torch.stft(
        torch.from_numpy(samples),
        N_FFT,
        MEL_HOP,
        WINDOW,
        window=_WINDOW,
        return_complex=True,
        pad_mode="constant",
    ).abs()
    mel: Float = torch.log(torch.clamp(_FILTERS @ spectrum, min=LOG_FLOOR)).T.numpy()
    return mel
