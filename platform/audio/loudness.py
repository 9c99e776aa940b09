"""How loud a clip is and how high it peaks.

ITU-R BS.1770-4, Algorithms to measure audio programme loudness and true-peak audio level.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_BLOCK_S = 0.4  # the gating block of BS.1770
_FILTER_RATE = 48_000  # for which it gives the filter; at lower rates the shelf comes out bent
_CHANNELS = 5
_OVERSAMPLING = 4

Samples = npt.NDArray[np.floating[Any]]


def loudness_lufs(samples: Samples, rate: int) -> float | None:
    """Integrated loudness in LUFS of samples [n] or [n, channels], rate in Hz.

    None when the clip is shorter than 0.4 s, silent (all blocks below -70 LUFS) or has more than 5 channels.
    """
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    if len(samples) < _BLOCK_S * rate or channels > _CHANNELS or not np.any(samples):
        return None
    from pyloudnorm import Meter  # imports scipy: a second
    from soxr import resample

    heard = resample(samples.astype(np.float64), rate, _FILTER_RATE, "HQ")
    if len(heard) < _BLOCK_S * _FILTER_RATE:
        return None
    measured = float(Meter(_FILTER_RATE).integrated_loudness(heard))
    return measured if np.isfinite(measured) else None


def true_peak_dbtp(samples: Samples, rate: int) -> float | None:
    """The highest level between samples too, in dB relative to full scale 1.0; None for digital silence.

    samples [n] or [n, channels], rate in Hz, oversampled four times (BS.1770-4, annex 2).
    """
    if not np.any(samples):
        return None
    from soxr import resample

    between = resample(samples.astype(np.float64), rate, rate * _OVERSAMPLING, "HQ")
    peak = max(np.max(np.abs(samples)), np.max(np.abs(between), initial=0.0))
    return float(20 * np.log10(peak))
