"""Log-mel frames: how many, where a tone lies in them, and that the level of a recording is not heard."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trivox.policy.encoder.features import DYNAMIC_RANGE, MEL_BINS, log_mel, raw_mel, scaled

Wave = npt.NDArray[np.float32]


def tone(hz: float, seconds: float = 0.5, amplitude: float = 0.3) -> Wave:
    time = np.arange(round(seconds * 16_000)) / 16_000
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def speechlike(samples: int = 8000) -> Wave:
    """Noise that comes and goes twice a second, over a tone."""
    noise = np.random.default_rng(0).normal(size=samples) * 0.1
    swell = np.sin(np.arange(samples) * 2 * np.pi / 8000) ** 2
    return (noise * swell).astype(np.float32) + tone(300, samples / 16_000, 0.05)


@given(st.integers(0, 2000))
def test_a_frame_for_every_10_ms_and_at_least_one(samples: int) -> None:
    mel = log_mel(speechlike()[:samples])
    assert mel.shape == (max(1, -(-samples // 160)), MEL_BINS)
    assert mel.dtype == np.float32
    assert np.abs(mel).max() <= 1


@pytest.mark.parametrize("gain", [0.01, 0.5, 3.0])
def test_the_level_cancels_out(gain: float) -> None:
    wave = speechlike()
    np.testing.assert_allclose(log_mel(wave * np.float32(gain)), log_mel(wave), atol=2e-3)


def test_the_loudest_bin_is_1_and_80_db_below_it_is_the_floor() -> None:
    """DYNAMIC_RANGE nats of magnitude: exp(9.2) is 79.9 dB."""
    mel = log_mel(np.concatenate([tone(1000), np.zeros(8000, np.float32)]))
    assert mel.max() == 1
    np.testing.assert_allclose(mel[60:], -1, atol=1e-6)
    assert 20 * np.log10(np.exp(DYNAMIC_RANGE)) == pytest.approx(79.9, abs=0.05)


def test_scaled_by_hand() -> None:
    """4.6 below the loudest is the middle, 9.2 and all below it the floor."""
    found = scaled(torch.tensor([[2.0, -2.6], [-7.2, -9.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0], [-1.0, -1.0]]))


@pytest.mark.parametrize("samples", [0, 1, 16_000])
def test_silence_is_the_floor(samples: int) -> None:
    assert (log_mel(np.zeros(samples, np.float32)) == -1).all()


def test_a_click_of_one_sample_is_heard() -> None:
    mel = log_mel(np.ones(1, np.float32))
    assert mel.shape == (1, MEL_BINS) and np.isfinite(mel).all() and mel.max() == 1


def test_a_higher_tone_lies_in_a_higher_bin() -> None:
    bins = [int(raw_mel(tone(hz))[25].argmax()) for hz in (200, 500, 1000, 2000, 4000, 7000)]
    assert bins == sorted(set(bins))


def test_a_frame_hears_nothing_of_what_is_far_away() -> None:
    """A window reaches 200 samples to either side of its middle."""
    wave = speechlike()
    changed = wave.copy()
    changed[4000:] = 0
    before, after = raw_mel(wave), raw_mel(changed)
    np.testing.assert_array_equal(before[:23], after[:23])
    assert not np.array_equal(before[25], after[25])
