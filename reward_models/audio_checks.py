"""What every scorer that listens does first: is there audio it can listen to?"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trivox.platform.audio.io import resample, to_mono
from trivox.platform.scoring import FailureKind, Item, Value, failed

Samples: TypeAlias = NDArray[np.float32]

RATE = 16_000
SHORTEST_S = 0.1
SILENT_PEAK = 1e-3
"""Peak below which (-60 dB full scale) a clip holds nothing to listen to."""


def checked(item: Item) -> Samples | Value:
    """The item's samples as mono [n] at their own rate, or why there are none."""
    if item.samples is None or item.rate is None:
        return failed(FailureKind.NO_AUDIO, f"rollout {item.rollout} has no audio")
    if item.rate <= 0 or item.samples.ndim not in (1, 2):
        return failed(
            FailureKind.BROKEN_AUDIO,
            f"samples of shape {item.samples.shape} at {item.rate} Hz: expected [n] or [n, channels]",
        )
    if not item.samples.size:
        return failed(FailureKind.EMPTY_AUDIO, "no samples")
    if not np.isfinite(item.samples).all():
        return failed(FailureKind.BROKEN_AUDIO, "samples that are not finite")
    return to_mono(np.asarray(item.samples, dtype=np.float32))


def speech(item: Item) -> Samples | Value:
    """The item's samples as mono [n] at 16 kHz, or a failure: broken, too short or silent."""
    samples = checked(item)
    if isinstance(samples, Value):
        return samples
    assert item.rate is not None
    seconds = len(samples) / item.rate
    if seconds < SHORTEST_S:
        return failed(
            FailureKind.SHORT_AUDIO, f"{seconds:.4f} s of audio, at least {SHORTEST_S} s is needed"
        )
    if float(np.abs(samples).max()) < SILENT_PEAK:
        return failed(
            FailureKind.SILENT_AUDIO, f"silence: no sample reaches {SILENT_PEAK} of full scale"
        )
    return resample(samples, item.rate, RATE)


def guarded(score: Callable[[Item], Value], item: Item) -> Value:
    """score(item), with whatever it raises as a failure: one bad item must not stop the others."""
    try:
        return score(item)
    except Exception as error:
        return failed(FailureKind.SCORER_ERROR, f"{type(error).__name__}: {error}")
