"""Chunked decoding: the same samples however codes arrive, and those of one pass over all of them."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trivox.platform.errors import UsageError
from trivox.policy.codec import CodecStream, NanoCodec
from trivox.policy.codec.nano import fixed_noise
from trivox.policy.codec.nano_stream import CHUNK_FRAMES, context_frames
from trivox.policy.codec.streaming import ChunkedStream, Chunking, Samples, Window

Codes = npt.NDArray[np.int32]


@pytest.fixture(scope="module")
def codec() -> NanoCodec:
    torch.manual_seed(0)
    codec = NanoCodec(codebooks=2, size=16, width=8).eval()
    codec.quantiser.codebooks.normal_(std=0.5)
    # Harmonics and noise about as loud as speech.
    torch.nn.init.normal_(codec.vocoder.outlet.bias[:129], mean=-4.0)
    return codec


def random_codes(frames: int, seed: int = 0) -> Codes:
    return np.random.default_rng(seed).integers(0, 16, (frames, 2)).astype(np.int32)


def in_pieces(stream: CodecStream, codes: Codes, cuts: list[int]) -> Samples:
    parts = [stream.push(part) for part in np.split(codes, sorted(cuts))]
    return np.concatenate([*parts, stream.flush()])


def sums(chunking: Chunking) -> ChunkedStream:
    """A codec by hand: a frame's one sample is the sum of the codes one frame before to two frames after."""

    def render(window: Window) -> Samples:
        column = np.pad(window.codes[:, 0], (1, 2))
        wanted = range(window.skip, window.skip + window.count)
        return np.array([column[at : at + 4].sum() for at in wanted], np.float32)

    return ChunkedStream(chunking, 1, render)


def test_windows_by_hand() -> None:
    """Chunks of 2 frames, 1 before, 2 after: the first comes with frame 4, the next with frame 6."""
    stream = sums(Chunking(2, 1, 2))
    codes = np.array([[1], [2], [3], [4], [5], [6], [7]], np.int32)
    assert stream.push(codes[:3]).tolist() == []
    assert stream.push(codes[3:4]).tolist() == [1 + 2 + 3, 1 + 2 + 3 + 4]
    assert stream.push(codes[4:]).tolist() == [2 + 3 + 4 + 5, 3 + 4 + 5 + 6]
    assert stream.flush().tolist() == [4 + 5 + 6 + 7, 5 + 6 + 7, 6 + 7]


@given(frames=st.integers(0, 40), cuts=st.lists(st.integers(0, 40)), size=st.integers(1, 7))
def test_windows_in_any_pieces(frames: int, cuts: list[int], size: int) -> None:
    codes = np.arange(frames, dtype=np.int32)[:, None] + 1
    whole = [codes[max(0, t - 1) : t + 3].sum() for t in range(frames)]
    assert in_pieces(sums(Chunking(size, 1, 2)), codes, cuts).tolist() == whole


@settings(max_examples=12, deadline=None)
@given(frames=st.integers(0, 70), cuts=st.lists(st.integers(0, 70), max_size=5))
def test_nano_in_any_pieces_bit_for_bit(codec: NanoCodec, frames: int, cuts: list[int]) -> None:
    codes = random_codes(frames)
    whole = codec.decode(codes)
    assert whole.shape == (640 * frames,)
    np.testing.assert_array_equal(in_pieces(codec.stream(), codes, cuts), whole)


def test_nano_frame_by_frame(codec: NanoCodec) -> None:
    codes = random_codes(52)
    stream = codec.stream()
    parts = [stream.push(codes[t : t + 1]) for t in range(len(codes))]
    context = context_frames(codec.vocoder)
    assert context == 15
    # 2 frames once 2 + 15 are there, 4 more with 21, 8 with 29, then ten with every ten.
    coming = {17: 2, 21: 4, 29: 8, 39: CHUNK_FRAMES, 49: CHUNK_FRAMES}
    assert [len(part) for part in parts] == [
        640 * coming.get(count, 0) for count in range(1, len(codes) + 1)
    ]
    np.testing.assert_array_equal(np.concatenate([*parts, stream.flush()]), codec.decode(codes))


@pytest.mark.parametrize("frames", [1, 9, 10, 11, 25, 60])
def test_nano_agrees_with_one_pass(codec: NanoCodec, frames: int) -> None:
    """Up to float32 rounding; over longer clips the phase sums it up (5e-4 after 30 s of the packaged codec)."""
    codes = random_codes(frames)
    with torch.no_grad():
        quantised = codec.quantiser.decode(torch.from_numpy(codes).long())
        wave, _ = codec.vocoder(quantised[None], fixed_noise(frames)[None])
    spoken = codec.decode(codes)
    assert np.abs(spoken).max() > 0.1
    np.testing.assert_allclose(spoken, wave[0].clamp(-1, 1).numpy(), atol=2e-4)


def test_less_context_shows(codec: NanoCodec) -> None:
    """The context is needed: frames 14 away change a sample."""
    codes = random_codes(60)
    other = codes.copy()
    other[44:] = (other[44:] + 1) % 16
    before = slice(0, 640 * 31)
    difference = np.abs(codec.decode(codes)[before] - codec.decode(other)[before])
    assert difference.max() > 0
    other = codes.copy()
    other[47:] = (other[47:] + 1) % 16
    np.testing.assert_array_equal(codec.decode(codes)[before], codec.decode(other)[before])


def test_a_flushed_stream_and_wrong_codes_are_refused(codec: NanoCodec) -> None:
    stream = codec.stream()
    with pytest.raises(UsageError, match=r"\(4, 3\): \[frames, 2\] is wanted"):
        stream.push(np.zeros((4, 3), np.int32))
    assert stream.push(np.zeros((0, 2), np.int32)).shape == (0,)
    assert stream.flush().shape == (0,)
    with pytest.raises(UsageError, match="was flushed"):
        stream.push(random_codes(1))
