"""What is seen of a sound: its envelope and its spectrogram, for the eye beside the ear."""

import numpy as np
import numpy.typing as npt
import polars as pl
import streamlit as st

from trivox.platform.store import Workspace

POINTS = 400
WINDOW_S, HOP_S = 0.025, 0.01
DEPTH_DB = 80.0
"""What is drawn below the loudest place."""


@st.cache_data(max_entries=128, show_spinner=False)
def seen(
    _ws: Workspace, root: str, audio: str
) -> tuple[pl.DataFrame, npt.NDArray[np.uint8], float]:
    """Envelope (seconds, low, high), spectrogram as an RGB image [frequency, time, 3], and length in seconds.

    Named by content, so it never changes. root tells workspaces apart. Raises NotFound, CorruptObject.
    """
    samples, rate = _ws.audio.read(audio)
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    return envelope(mono, rate), spectrogram(mono, rate), len(mono) / rate


def envelope(samples: npt.NDArray[np.float32], rate: int) -> pl.DataFrame:
    """Lowest and highest value of each of at most POINTS stretches: a peak is never lost to thinning."""
    size = max(1, -(-len(samples) // POINTS))
    padded = np.pad(samples, (0, -len(samples) % size))
    parts = padded.reshape(-1, size)
    times = np.arange(len(parts)) * size / rate
    return pl.DataFrame({"seconds": times, "low": parts.min(axis=1), "high": parts.max(axis=1)})


def spectrogram(samples: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.uint8]:
    """Levels from DEPTH_DB below the loudest, low frequencies at the bottom, as viridis (which does without
    hue)."""
    from matplotlib import colormaps

    size, hop = max(2, int(WINDOW_S * rate)), max(1, int(HOP_S * rate))
    padded = np.pad(samples, (0, max(0, size - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    level = 10 * np.log10(power + 1e-12)
    shown = np.clip((level - level.max() + DEPTH_DB) / DEPTH_DB, 0, 1).T[::-1]
    coloured: npt.NDArray[np.uint8] = (colormaps["viridis"](shown)[..., :3] * 255).astype(np.uint8)
    return coloured
