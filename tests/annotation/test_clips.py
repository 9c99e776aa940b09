"""Clips: the sound as it is stored, and ranges as browsers ask for them."""

import io
import wave

import numpy as np
import pytest

from trivox.annotation.clips import Slice, byte_range, to_wav
from trivox.annotation.work.shapes import RangeNotSatisfiable


def test_wav_holds_the_samples_and_nothing_else() -> None:
    """0.5 of full scale is 16384; 44 bytes of header, 2 per sample."""
    content = to_wav(np.array([0.0, 0.5, -1.0, 1.0], np.float32), 8000)
    assert len(content) == 44 + 8
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == [0, 16384, -32768, 32767]


def test_stereo_keeps_its_channels() -> None:
    content = to_wav(np.zeros((800, 2), np.float32), 8000)
    assert len(content) == 44 + 800 * 2 * 2


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        (None, 0, 9),
        ("bytes=0-", 0, 9),
        ("bytes=2-4", 2, 4),
        ("bytes=8-99", 8, 9),
        ("bytes=-3", 7, 9),
        ("bytes=-99", 0, 9),
        ("bytes=-", 0, 9),  # not a range of ours: the whole
        ("bytes=0-1,4-5", 0, 9),
        ("seconds=1-2", 0, 9),
    ],
)
def test_ranges(header: str | None, first: int, last: int) -> None:
    assert byte_range(header, 10) == Slice(first, last)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=5-4", "bytes=-0"])
def test_ranges_outside(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        byte_range(header, 10)
