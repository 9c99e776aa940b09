"""Fundamental frequency by normalised cross-correlation (Talkin 1995, RAPT, without the dynamic programming)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import medfilt

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PitchTracker:
    """Where to look for the pitch of a voice.

    floor_hz and ceiling_hz bound the search; hop_s is the spacing of the estimates in seconds;
    voicing is the least correlation (0..1) that counts as a voiced frame; silence is the RMS
    (full scale 1.0) under which a frame is unvoiced whatever its correlation.
    """

    floor_hz: float = 70.0
    ceiling_hz: float = 420.0
    hop_s: float = 0.01
    voicing: float = 0.55
    silence: float = 0.004

    def track(self, samples: Float, rate: int) -> Float:
        """Pitch in Hz, 0 where unvoiced: float32 [n_frames], n_frames = len(samples) // hop.

        samples: float32 [n], mono, full scale 1.0. Frame i is centred on sample (i + 0.5) * hop.
        """
        hop = round(self.hop_s * rate)
        count = len(samples) // hop
        if count == 0:
            return np.zeros(0, np.float32)
        shortest, longest = int(rate / self.ceiling_hz), int(np.ceil(rate / self.floor_hz))
        frames = _frames(samples, hop, count, window=2 * longest)
        correlation = _autocorrelation(frames, longest + 1)
        # A slight preference for short lags keeps the tracker off the sub-octave.
        lags = np.arange(longest + 2)
        searched = correlation[:, shortest : longest + 1] - 0.0004 * lags[shortest : longest + 1]
        best = searched.argmax(1) + shortest
        strength = np.take_along_axis(correlation, best[:, None], 1)[:, 0]
        period = best + _parabolic_offset(correlation, best)
        level = np.sqrt((frames**2).mean(1))
        voiced = (strength > self.voicing) & (level > self.silence)
        pitch = np.where(voiced, rate / period, 0.0)
        smoothed = medfilt(pitch, 5) if count >= 5 else pitch
        return np.where((smoothed > 0) & voiced, smoothed, 0.0).astype(np.float32)


def interpolate_unvoiced(pitch: Float, default_hz: float = 150.0) -> Float:
    """Fill unvoiced frames (0) by linear interpolation in log frequency; all unvoiced gives default_hz."""
    voiced = np.flatnonzero(pitch > 0)
    if len(voiced) == 0:
        return np.full(len(pitch), default_hz, np.float32)
    filled = np.interp(np.arange(len(pitch)), voiced, np.log(pitch[voiced]))
    return np.exp(filled).astype(np.float32)


def _frames(samples: Float, hop: int, count: int, window: int) -> npt.NDArray[np.float64]:
    """Overlapping frames [count, window], centred on each hop, zero beyond the ends, mean removed."""
    pad = window // 2
    padded = np.pad(samples.astype(np.float64), (pad, pad + hop))
    starts = np.arange(count) * hop + hop // 2
    frames = padded[starts[:, None] + np.arange(window)[None]]
    centred: npt.NDArray[np.float64] = frames - frames.mean(1, keepdims=True)
    return centred


def _autocorrelation(frames: npt.NDArray[np.float64], max_lag: int) -> npt.NDArray[np.float64]:
    """Normalised correlation [n, max_lag + 1]: 1.0 at lag 0, each lag by the energy of both parts."""
    size = frames.shape[1]
    spectrum = np.fft.rfft(frames, 2 * size)
    raw = np.fft.irfft(np.abs(spectrum) ** 2)[:, : max_lag + 1]
    energy = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), 1)
    lags = np.arange(max_lag + 1)
    head = energy[:, size - lags]
    tail = energy[:, -1:] - energy[:, lags]
    normalised: npt.NDArray[np.float64] = raw / np.sqrt(head * tail + 1e-9)
    return normalised


def _parabolic_offset(
    correlation: npt.NDArray[np.float64], best: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    rows = np.arange(len(best))
    left, mid, right = (correlation[rows, best + step] for step in (-1, 0, 1))
    curvature = left - 2 * mid + right
    safe = np.where(np.abs(curvature) < 1e-9, -1.0, curvature)
    offset: npt.NDArray[np.float64] = np.clip(0.5 * (left - right) / safe, -0.5, 0.5)
    return offset
