"""The nano codec as a whole: lengths, edges, repeatability, and what it hears in a signal."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from trivox.platform.hashing import sha256_file
from trivox.policy.codec import NanoCodec
from trivox.policy.codec.features import FEATURES, MEL_BINS, PITCH_WEIGHT, features
from trivox.policy.codec.nano import WEIGHTS_FILE, fixed_noise
from trivox.policy.codec.vocoder import SourceFilterVocoder


@pytest.fixture(scope="module")
def codec() -> NanoCodec:
    torch.manual_seed(0)
    codec = NanoCodec(codebooks=2, size=16, width=8).eval()
    codec.quantiser.codebooks.normal_(std=0.5)
    return codec


def tone(seconds: float, hz: float = 160.0) -> npt.NDArray[np.float32]:
    time = np.arange(int(seconds * 16_000)) / 16_000
    stack = sum(np.sin(2 * np.pi * k * hz * time) / k for k in range(1, 8))
    return (0.1 * np.asarray(stack)).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 1), (1, 1), (640, 1), (641, 2), (16_000, 25), (16_001, 26)]
)
def test_lengths(codec: NanoCodec, samples: int, frames: int) -> None:
    """ceil(n / 640) frames, at least one; each gives 640 samples."""
    wave = tone(2.0)[:samples]
    codes = codec.encode(wave)
    assert (codes.shape, codes.dtype) == ((frames, 2), np.int32)
    assert ((codes >= 0) & (codes < 16)).all()
    spoken = codec.decode(codes)
    assert (spoken.shape, spoken.dtype) == ((640 * frames,), np.float32)
    assert np.isfinite(spoken).all()
    assert np.abs(spoken).max() <= 1


def test_nothing_decodes_to_nothing(codec: NanoCodec) -> None:
    assert codec.decode(np.zeros((0, 2), np.int32)).shape == (0,)


def test_empty_is_one_frame_of_silence(codec: NanoCodec) -> None:
    silent = codec.encode(np.zeros(640, np.float32))
    np.testing.assert_array_equal(codec.encode(np.zeros(0, np.float32)), silent)


def test_silence_is_one_code_all_along(codec: NanoCodec) -> None:
    codes = codec.encode(np.zeros(16_000, np.float32))
    assert (codes == codes[0]).all()


def test_both_directions_are_deterministic(codec: NanoCodec) -> None:
    wave = tone(0.7)
    codes = codec.encode(wave)
    np.testing.assert_array_equal(codes, codec.encode(wave.copy()))
    spoken = codec.decode(codes)
    torch.rand(10)  # the global generator plays no part
    np.testing.assert_array_equal(spoken, codec.decode(codes))


def test_save_and_load(codec: NanoCodec, tmp_path: Path) -> None:
    codec.save(tmp_path / "once")
    loaded = NanoCodec.load(tmp_path / "once")
    loaded.save(tmp_path / "twice")
    again = NanoCodec.load(tmp_path / "twice")
    assert (
        loaded.weights_hash == again.weights_hash == sha256_file(tmp_path / "once" / WEIGHTS_FILE)
    )
    assert loaded.spec == codec.spec
    codes = codec.encode(tone(0.5))
    np.testing.assert_array_equal(loaded.encode(tone(0.5)), codes)
    np.testing.assert_array_equal(loaded.decode(codes), codec.decode(codes))


@pytest.mark.parametrize("frames", [1, 2, 7, 40])
def test_noise_of_a_prefix_is_a_prefix_of_the_noise(frames: int) -> None:
    whole = fixed_noise(41)
    part = fixed_noise(frames)
    assert torch.equal(part, whole[: 640 * frames])
    assert part.min() >= -1
    assert part.max() < 1


def test_start_of_speech_does_not_depend_on_its_end(codec: NanoCodec) -> None:
    """The vocoder looks ahead less than 15 frames of 40 ms: controls before that are the same without them.
    (Samples are not compared: a float32 bit of pitch, summed over a second, is a phase that one can see.)"""
    codes = torch.randint(16, (60, 2), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        quantised = codec.quantiser.decode(codes)[None]
        whole = codec.vocoder.controls(quantised)
        part = codec.vocoder.controls(quantised[:, :40])
    for ours, theirs in zip(part, whole, strict=True):
        torch.testing.assert_close(ours[..., :100], theirs[..., :100], atol=1e-4, rtol=1e-4)


def test_features_of_a_tone() -> None:
    """160 Hz is 0 in log2(pitch / 160); 320 Hz is 1, times the weight; the frames inside are all voiced."""
    low, high = features(tone(1.0)), features(tone(1.0, 320.0))
    assert (low.shape, low.dtype) == ((25, FEATURES), np.float32)
    pitch = slice(2 * MEL_BINS, 2 * MEL_BINS + 2)
    np.testing.assert_allclose(low[2:-2, pitch], 0, atol=0.03 * PITCH_WEIGHT)
    np.testing.assert_allclose(high[2:-2, pitch], PITCH_WEIGHT, atol=0.03 * PITCH_WEIGHT)
    assert (low[2:-2, -1] == 1).all()


def test_features_of_silence() -> None:
    """log(1e-4) in every band, unvoiced, at the pitch that stands in: 150 Hz."""
    silent = features(np.zeros(6400, np.float32))
    np.testing.assert_allclose(silent[:, : 2 * MEL_BINS], np.log(1e-4), rtol=1e-5)
    np.testing.assert_allclose(silent[:, 2 * MEL_BINS : -1], 12 * np.log2(150 / 160), rtol=1e-4)
    assert (silent[:, -1] == 0).all()


def test_gradient_reaches_every_parameter_of_the_vocoder() -> None:
    torch.manual_seed(0)
    vocoder = SourceFilterVocoder(width=8)
    waveform, pitch = vocoder(torch.randn(2, 12, FEATURES), torch.rand(2, 12 * 640) * 2 - 1)
    assert (waveform.shape, pitch.shape) == ((2, 12 * 640), (2, 48))
    waveform.square().mean().backward()
    for name, parameter in vocoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    # Channels: 64 harmonics (above the 20th may be inaudible), 65 noise bands, gate, pitch.
    assert vocoder.outlet.bias.grad is not None
    assert vocoder.outlet.bias.grad[:20].all()
    assert vocoder.outlet.bias.grad[64:].all()


def test_given_pitch_drives_the_oscillator() -> None:
    """A vocoder with all weights zero sings all audible harmonics at the same strength, at the pitch given."""
    vocoder = SourceFilterVocoder(width=8)
    for parameter in vocoder.parameters():
        torch.nn.init.zeros_(parameter)
    pitch = torch.full((1, 100), float(np.log2(200 / 160)))
    with torch.no_grad():
        waveform, _ = vocoder(torch.zeros(1, 25, FEATURES), torch.zeros(1, 16_000), pitch)
    spectrum = np.abs(np.fft.rfft(waveform[0].numpy()))
    strong = np.flatnonzero(spectrum > 0.5 * spectrum.max())
    assert strong.tolist() == [200 * k for k in range(1, 39)]  # 39 * 200 Hz lies above 7.8 kHz - 1
