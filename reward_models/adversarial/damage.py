"""What can be done to a clip, by an amount: noise, clipping, a narrow band, other words, another voice."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from trivox.platform.audio.style_words import THRESHOLDS, Thresholds
from trivox.reward_models.audio_checks import RATE, Samples

Rng = np.random.Generator


def with_noise(samples: Samples, snr_db: float, rng: Rng) -> Samples:
    """White noise at a signal-to-noise ratio in dB over the whole clip, kept within full scale."""
    noise = rng.normal(size=len(samples))
    gain = np.sqrt(np.mean(samples.astype(np.float64) ** 2) / np.mean(noise**2))
    return bounded(samples + noise * gain * 10 ** (-snr_db / 20))


def clipped(samples: Samples, share: float) -> Samples:
    """Cut off at a share of the clip's peak, at the level it had."""
    limit = float(np.abs(samples).max()) * share
    cut = np.clip(samples, -limit, limit)
    return bounded(cut * (_rms(samples) / max(_rms(cut), 1e-9)))


def band_limited(samples: Samples, top_hz: float) -> Samples:
    """Without what lies above top_hz (Butterworth of order 8, forward and backward)."""
    filtered = sosfiltfilt(butter(8, top_hz, fs=RATE, output="sos"), samples.astype(np.float64))
    return np.asarray(filtered, np.float32)


def other_voice(samples: Samples, semitones: float) -> Samples:
    """A speaker of another size: pitch and formants moved together by resampling, the pace restored by
    overlap and add."""
    moved = np.asarray(soxr.resample(samples, RATE * 2 ** (semitones / 12), RATE), np.float32)
    return stretched(moved, len(samples))


def stretched(samples: Samples, length: int) -> Samples:
    """To a length, pitch kept: WSOLA (Verhelst and Roelands 1993), windows of 40 ms."""
    size, hop, reach = 640, 320, 160
    window = np.hanning(size)
    padded = np.pad(samples.astype(np.float64), (size, 2 * size + reach))
    out, weight = np.zeros(length + 2 * size), np.zeros(length + 2 * size)
    ratio, last = len(samples) / length, size
    for begin in range(0, length, hop):
        wanted = size + round(begin * ratio)
        if begin:
            natural = padded[last + hop : last + hop + size]
            near = padded[wanted - reach : wanted + reach + size]
            scores = np.correlate(near, natural, "valid")
            wanted += int(scores.argmax()) - reach
        out[begin : begin + size] += padded[wanted : wanted + size] * window
        weight[begin : begin + size] += window
        last = wanted
    return bounded(out[:length] / np.maximum(weight[:length], 1e-3))


def restyled(
    samples: Samples, word: str, amount: float, thresholds: Thresholds = THRESHOLDS
) -> Samples:
    """Slower, faster, lower, higher, softer or louder, by an amount in thresholds of that word. The level
    leaves room for louder, whatever is asked."""
    if word in ("slow", "fast"):
        pace = (thresholds.slow if word == "slow" else thresholds.fast) ** amount
        return stretched(samples, round(len(samples) / pace))
    if word in ("low", "high"):
        moved = thresholds.low_semitones if word == "low" else thresholds.high_semitones
        return other_voice(samples, moved * amount)
    louder = thresholds.soft_db if word == "soft" else thresholds.loud_db
    room = max(1.0, float(np.abs(samples).max()) * 10 ** (1.5 * thresholds.loud_db / 20))
    return np.asarray(samples / room * 10 ** (louder * amount / 20), np.float32)


def with_clicks(samples: Samples, per_second: float, rng: Rng) -> Samples:
    """Single samples that jump by the clip's peak."""
    count = max(2, round(per_second * len(samples) / RATE))
    where = rng.choice(len(samples), count, replace=False)
    out = samples.astype(np.float64)
    out[where] += float(np.abs(samples).max()) * rng.choice([-1, 1], count)
    return bounded(out)


def other_words(text: str, share: float, words: Sequence[str], rng: Rng) -> str:
    """A share of the words of a text, at least one, put in place by others out of `words`."""
    said = text.split()
    count = max(1, round(share * len(said)))
    known = {_bare(word) for word in said}
    others = [word for word in words if _bare(word) and _bare(word) not in known]
    for where in rng.choice(len(said), count, replace=False):
        said[where] = str(rng.choice(others))
    return " ".join(said)


def bounded(samples: NDArray[np.floating[Any]]) -> Samples:
    """Brought down as a whole where it would exceed full scale."""
    peak = float(np.abs(samples).max(initial=0.0))
    return np.asarray(samples / max(1.0, peak), np.float32)


def _bare(word: str) -> str:
    return "".join(filter(str.isalnum, word.lower()))


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
