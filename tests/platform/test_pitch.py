"""The pitch tracker on signals whose pitch is known."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from trivox.platform.audio.pitch import PitchTracker, interpolate_unvoiced

RATE = 16_000
HZ = [80, 95, 110, 147, 185, 220, 261.6, 330, 400]


def harmonics(
    hz: float, count: int, seconds: float = 0.5, rate: int = RATE
) -> npt.NDArray[np.float32]:
    """A stack of partials that fall by 1/k, as a voice's do, peak below 1."""
    time = np.arange(int(seconds * rate)) / rate
    audible = [k for k in range(1, count + 1) if k * hz < rate / 2]
    wave = sum(np.sin(2 * np.pi * k * hz * time + 0.3 * k) / k for k in audible)
    return (0.2 * np.asarray(wave)).astype(np.float32)


def known_octave_error(hz: float, partials: int) -> Any:
    """330 Hz is 48.48 samples: with many partials two periods (96.97) fit whole lags better than one. A cure
    would change the features that the shipped codec was fitted on."""
    marks = [pytest.mark.xfail(strict=True)] if (hz, partials) == (330, 20) else []
    return pytest.param(hz, partials, marks=marks)


@pytest.mark.parametrize(
    ("hz", "partials"), [known_octave_error(hz, count) for hz in HZ for count in (1, 5, 20)]
)
def test_steady_tones_within_two_percent(hz: float, partials: int) -> None:
    """All frames but the four at each end, whose windows reach beyond the signal."""
    pitch = PitchTracker().track(harmonics(hz, partials), RATE)
    assert len(pitch) == 50
    assert pitch.dtype == np.float32
    np.testing.assert_allclose(pitch[4:-4], hz, rtol=0.02)


def test_finer_than_a_sample() -> None:
    """330 Hz is 48.48 samples: the nearest whole lag would say 333.3 Hz."""
    np.testing.assert_allclose(PitchTracker().track(harmonics(330, 1), RATE)[4:-4], 330, rtol=0.005)


def test_missing_fundamental() -> None:
    """Partials 2 to 8 of 120 Hz: what is heard is 120 Hz."""
    time = np.arange(RATE // 2) / RATE
    wave = sum(np.sin(2 * np.pi * 120 * k * time) for k in range(2, 9)).astype(np.float32) * 0.1
    np.testing.assert_allclose(PitchTracker().track(wave, RATE)[4:-4], 120, rtol=0.02)


def test_glide() -> None:
    """From 100 Hz to 200 Hz in a second: f(t) = 100 * 2^t, so the phase is 100 (2^t - 1) / ln 2 cycles."""
    time = np.arange(RATE) / RATE
    cycles = 100 * (2**time - 1) / np.log(2)
    wave = (0.3 * np.sin(2 * np.pi * cycles)).astype(np.float32)
    centres = (np.arange(100) + 0.5) * 0.01
    pitch = PitchTracker().track(wave, RATE)
    np.testing.assert_allclose(pitch[4:-4], (100 * 2**centres)[4:-4], rtol=0.02)


@pytest.mark.parametrize("rate", [8_000, 24_000])
def test_other_rates(rate: int) -> None:
    pitch = PitchTracker().track(harmonics(150, 8, rate=rate), rate)
    assert len(pitch) == 50
    np.testing.assert_allclose(pitch[4:-4], 150, rtol=0.02)


def test_noise_is_unvoiced() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    assert (PitchTracker().track(noise, RATE) > 0).mean() < 0.02


@pytest.mark.parametrize("level", [0.0, 0.001])
def test_silence_and_what_is_nearly_silent_are_unvoiced(level: float) -> None:
    wave = harmonics(150, 5) * np.float32(level)
    assert not PitchTracker().track(wave, RATE).any()


def test_a_constant_is_unvoiced() -> None:
    assert not PitchTracker().track(np.full(RATE, 0.5, np.float32), RATE).any()


def test_voiced_between_silences() -> None:
    """0.5 s of silence, 0.5 s at 200 Hz, 0.5 s of silence: voiced from frame 50 to 99, give or take three."""
    rest = np.zeros(RATE // 2, np.float32)
    voiced = PitchTracker().track(np.concatenate([rest, harmonics(200, 5), rest]), RATE) > 0
    assert voiced[53:97].all()
    assert not voiced[:47].any()
    assert not voiced[103:].any()


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (159, 0), (160, 1), (800, 5)])
def test_number_of_frames(samples: int, frames: int) -> None:
    assert len(PitchTracker().track(np.zeros(samples, np.float32), RATE)) == frames


def test_interpolation_in_log_frequency() -> None:
    """Between 100 and 400 Hz two steps apart lies their geometric mean; the ends keep their neighbour."""
    pitch = np.array([0, 100, 0, 400, 0], np.float32)
    np.testing.assert_allclose(interpolate_unvoiced(pitch), [100, 100, 200, 400, 400], rtol=1e-5)
    np.testing.assert_array_equal(interpolate_unvoiced(np.zeros(3, np.float32)), [150, 150, 150])
