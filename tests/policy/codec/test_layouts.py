"""Layouts of codes: each by hand, and back again for any codes."""

import pickle

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import ConfigError, UnsupportedLayout, UsageError
from trivox.policy.codec.layouts import (
    check_layout,
    check_sequential,
    flatten,
    offsets,
    unflatten,
    vocabulary_size,
)

SIZES = (4, 3, 5)
# Three frames of three codebooks, c[t, q].
CODES = np.array([[0, 1, 2], [3, 0, 4], [1, 2, 0]], np.int32)
LAYOUTS = ("flat", "delayed", "interleaved", "interleaved:1", "interleaved:2", "interleaved:7")


@st.composite
def coded(draw: st.DrawFn) -> tuple[npt.NDArray[np.int32], tuple[int, ...]]:
    sizes = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    frames = draw(st.integers(0, 25))
    columns = [
        draw(st.lists(st.integers(0, size - 1), min_size=frames, max_size=frames)) for size in sizes
    ]
    return np.array(columns, np.int32).T.reshape(frames, len(sizes)), sizes


def test_flat_by_hand() -> None:
    """Offsets 0, 4, 7: frame 0 is 0, 4+1, 7+2."""
    assert offsets(SIZES, "flat") == (0, 4, 7)
    assert vocabulary_size(SIZES, "flat") == 12
    assert flatten(CODES, SIZES, "flat").tolist() == [0, 5, 9, 3, 4, 11, 1, 6, 7]


def test_delayed_by_hand() -> None:
    """Each codebook has a pad: offsets 0, 5, 9; pads 4, 8, 14. Codebook q begins q steps late."""
    assert offsets(SIZES, "delayed") == (0, 5, 9)
    assert vocabulary_size(SIZES, "delayed") == 15
    steps = [[0, 8, 14], [3, 6, 14], [1, 5, 11], [4, 7, 13], [4, 8, 9]]
    assert flatten(CODES, SIZES, "delayed").tolist() == sum(steps, [])


def test_interleaved_by_hand() -> None:
    """Blocks of two frames: codebook 0 of both, then 1, then 2; the last block holds the third frame alone."""
    blocks = [[0, 3], [5, 4], [9, 11], [1], [6], [7]]
    assert flatten(CODES, SIZES, "interleaved:2").tolist() == sum(blocks, [])
    assert np.array_equal(
        flatten(CODES, SIZES, "interleaved"), flatten(CODES, SIZES, "interleaved:10")
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@given(drawn=coded())
def test_round_trip(layout: str, drawn: tuple[npt.NDArray[np.int32], tuple[int, ...]]) -> None:
    codes, sizes = drawn
    ids = flatten(codes, sizes, layout)
    assert ids.dtype == np.int64
    assert ((ids >= 0) & (ids < vocabulary_size(sizes, layout))).all()
    back = unflatten(ids, sizes, layout)
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, codes)
    np.testing.assert_array_equal(unflatten(ids.tolist(), sizes, layout), codes)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(drawn=coded(), share=st.floats(0, 1))
def test_cut_off_anywhere_keeps_the_frames_that_are_whole(
    layout: str, drawn: tuple[npt.NDArray[np.int32], tuple[int, ...]], share: float
) -> None:
    """A frame is whole when all its ids are there: by their places in the ids of all the codes."""
    codes, sizes = drawn
    ids = flatten(codes, sizes, layout)
    kept = int(share * len(ids))
    back = unflatten(ids[:kept], sizes, layout)
    marks = np.arange(codes.size, dtype=np.int32).reshape(codes.shape)
    wide = (max(1, codes.size),) * len(sizes)
    places = flatten(marks, wide, layout)[:kept] - 0
    present = set((places % _stride(wide, layout)).tolist()) if len(places) else set()
    whole = sum(all(int(mark) in present for mark in row) for row in marks)
    np.testing.assert_array_equal(back, codes[:whole])


def _stride(sizes: tuple[int, ...], layout: str) -> int:
    return vocabulary_size(sizes, layout) // len(sizes)


def test_cut_off_by_hand() -> None:
    flat = flatten(CODES, SIZES, "flat")
    assert unflatten(flat[:8], SIZES, "flat").tolist() == CODES[:2].tolist()
    delayed = flatten(CODES, SIZES, "delayed")
    assert unflatten(delayed[:14], SIZES, "delayed").tolist() == CODES[:2].tolist()
    assert unflatten(delayed[:8], SIZES, "delayed").shape == (0, 3)
    blocks = flatten(CODES, SIZES, "interleaved:2")
    assert unflatten(blocks[:5], SIZES, "interleaved:2").tolist() == CODES[:1].tolist()
    assert unflatten(blocks[:4], SIZES, "interleaved:2").shape == (0, 3)


@pytest.mark.parametrize(
    ("ids", "layout", "said"),
    [
        ([0, 5, 3], "flat", "id 3 at 2 is outside 7..11, the ids of codebook 2"),
        ([0, 12], "flat", "id 12 at 1"),
        ([-1], "flat", "id -1 at 0"),
        ([0, 8, 14, 3, 6, 14, 1, 8, 11, 4, 7, 13, 4, 8, 9], "delayed", "frame 1 of 3 has a pad"),
        ([0, 6, 14, 3, 6, 14, 1, 5, 11], "delayed", "step 0 has a code of codebook 1"),
        ([0, 5, 9, 1, 6, 7], "interleaved:2", "follows a whole block of 1 frames"),
        ([5], "interleaved:2", "id 5 at 0"),
    ],
)
def test_ids_of_another_layout_are_refused(ids: list[int], layout: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        unflatten(ids, SIZES, layout)


def test_codes_outside_are_refused() -> None:
    with pytest.raises(UsageError, match="code 3 of frame 0 is outside codebook 1, which has 3"):
        flatten(np.array([[0, 3, 0]], np.int32), SIZES, "flat")
    with pytest.raises(UsageError, match=r"\(2, 2\): \[frames, 3\] is wanted"):
        flatten(np.zeros((2, 2), np.int32), SIZES, "flat")


@pytest.mark.parametrize("layout", ["parallel", "depth"])
def test_stored_layouts_are_known_and_refused_in_sequences(layout: str) -> None:
    check_layout(layout)
    for refused in (
        lambda: check_sequential(layout),
        lambda: flatten(CODES, SIZES, layout),
        lambda: unflatten([0], SIZES, layout),
        lambda: vocabulary_size(SIZES, layout),
    ):
        with pytest.raises(UnsupportedLayout, match=f"'{layout}'.*flat, delayed or interleaved"):
            refused()
    assert pickle.loads(pickle.dumps(UnsupportedLayout(layout))).layout == layout


@pytest.mark.parametrize(
    "layout", ["", "Flat", "interleaved:", "interleaved:0", "interleaved:-1", "flat:2"]
)
def test_unknown_layouts(layout: str) -> None:
    with pytest.raises(ConfigError, match="is not known: choose flat, delayed"):
        check_layout(layout)
