"""Loudness and peaks against the figures of ITU-R BS.1770-4."""

import numpy as np
import pytest

from trivox.platform.audio.loudness import loudness_lufs, true_peak_dbtp

RATE = 48000
SINE = np.sin(2 * np.pi * 997 * np.arange(2 * RATE) / RATE)


def test_calibration() -> None:
    """A 0 dB, 997 Hz sine in one channel reads -3.01 LKFS; in two channels 3.01 LU more."""
    assert loudness_lufs(SINE, RATE) == pytest.approx(-3.01, abs=0.05)
    assert loudness_lufs(np.stack([SINE, SINE], axis=1), RATE) == pytest.approx(0.0, abs=0.05)
    assert loudness_lufs(SINE.astype(np.float32) / 10, RATE) == pytest.approx(-23.01, abs=0.05)


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_at_the_rates_of_speech(rate: int) -> None:
    sine = np.sin(2 * np.pi * 997 * np.arange(2 * rate) / rate)
    assert loudness_lufs(sine, rate) == pytest.approx(-3.01, abs=0.05)


def test_gating_leaves_silence_out() -> None:
    """Of 2 s between silences count 17 whole blocks and 6 with a quarter, a half or three quarters of
    the power, together 20 of 23: 0.61 LU below the sine alone, however long the silence."""
    padded = np.concatenate([np.zeros(4 * RATE), SINE, np.zeros(4 * RATE)])
    assert loudness_lufs(padded, RATE) == pytest.approx(-3.01 - 0.607, abs=0.05)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0),
        np.zeros(RATE),
        SINE[: int(0.399 * RATE)],
        SINE * 1e-5,
        np.repeat(SINE[:, None], 6, axis=1),
    ],
    ids=["empty", "silent", "short", "below the gate", "six channels"],
)
def test_no_loudness(samples: np.ndarray) -> None:
    assert loudness_lufs(samples, RATE) is None


def test_peak_between_samples() -> None:
    """A sine at a quarter of the rate, sampled at 45 degrees, peaks 3.01 dB above its samples."""
    hidden = np.sin(np.pi / 2 * np.arange(RATE) + np.pi / 4).astype(np.float32)
    assert np.max(np.abs(hidden)) == pytest.approx(0.7071, abs=1e-4)
    middle = hidden * np.hanning(RATE).astype(np.float32)
    assert true_peak_dbtp(middle, RATE) == pytest.approx(0.0, abs=0.1)


def test_peak() -> None:
    assert true_peak_dbtp(SINE / 2, RATE) == pytest.approx(-6.02, abs=0.1)
    assert true_peak_dbtp(np.stack([SINE / 2, SINE / 4], axis=1), RATE) == pytest.approx(
        -6.02, abs=0.1
    )
    assert true_peak_dbtp(np.array([0.5]), RATE) == pytest.approx(-6.02, abs=1.5)
    assert true_peak_dbtp(np.zeros(100), RATE) is None
    assert true_peak_dbtp(np.zeros(0), RATE) is None
