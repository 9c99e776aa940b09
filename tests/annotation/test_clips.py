"""Clips: the sound as it is stored, ranges as browsers ask for them, and when a clip counts as fetched."""

import io
import wave

import numpy as np
import pytest

from trivox.annotation.clips import Clip, RangeNotSatisfiable, Slice, to_wav

CLIP = b"0123456789"


def test_wav_holds_the_samples_and_nothing_else() -> None:
    """0.5 of full scale is 16384; 44 bytes of header, 2 per sample."""
    content = to_wav(np.array([0.0, 0.5, -1.0, 1.0], np.float32), 8000)
    assert len(content) == 44 + 8
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == [0, 16384, -32768, 32767]


def test_stereo_keeps_its_channels() -> None:
    clip = Clip.of("ro", np.zeros((800, 2), np.float32), 8000)
    assert clip.duration_s == pytest.approx(0.1)
    assert len(clip.wav) == 44 + 800 * 2 * 2


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
    part, content = Clip("ro", CLIP, 1.0).fetch(header)
    assert part == Slice(first, last) and content == CLIP[first : last + 1]


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=5-4", "bytes=-0"])
def test_ranges_outside(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        Clip("ro", CLIP, 1.0).fetch(header)


def test_fetched_means_every_byte() -> None:
    clip = Clip("ro", CLIP, 1.0)
    assert not clip.fetched
    for header, complete in [("bytes=0-2", False), ("bytes=5-9", False), ("bytes=2-4", True)]:
        clip.fetch(header)
        assert clip.fetched is complete


def test_keys_are_never_the_same() -> None:
    assert Clip("ro", CLIP, 1.0).key != Clip("ro", CLIP, 1.0).key
