"""What may follow in a layout: all that flatten writes, and nothing that unflatten would refuse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.platform.errors import UnsupportedLayout
from trivox.policy.codec.layouts import flatten, unflatten
from trivox.policy.codec.places import start_of

LAYOUTS = ("flat", "delayed", "interleaved:1", "interleaved:3", "interleaved")


def test_delayed_by_hand() -> None:
    """Sizes 2, 3: codes 0..1 pad 2, codes 3..5 pad 6. One frame: c0, pad; pad, c1; the end."""
    place = start_of((2, 3), "delayed")
    seen = []
    for index in (1, 6, 2, 4):
        seen.append((place.allowed(), place.may_end))
        place.advance(index)
    assert seen == [
        (((0, 2),), True),
        (((6, 7),), False),
        (((0, 2), (2, 3)), False),
        (((3, 6),), False),
    ]
    assert (place.allowed(), place.may_end) == ((), True)


def test_blocks_by_hand() -> None:
    """Sizes 2, 3 in blocks of 2: a block cut short by codebook 1 is the last."""
    place = start_of((2, 3), "interleaved:2")
    seen = []
    for index in (0, 1, 2, 3, 1, 4):
        seen.append((place.allowed(), place.may_end))
        place.advance(index)
    own, following = (0, 2), (2, 5)
    assert seen == [
        ((own,), True),
        ((own, following), False),
        ((following,), False),
        ((following,), False),
        ((own,), True),
        ((own, following), False),
    ]
    assert (place.allowed(), place.may_end) == ((), True)


@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.data())
def test_what_is_written_is_allowed(layout: str, data: st.DataObject) -> None:
    sizes = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    frames = data.draw(st.integers(0, 14))
    codes = np.zeros((frames, len(sizes)), np.int32)
    codes[:] = [size - 1 for size in sizes]
    place = start_of(sizes, layout)
    for index in flatten(codes, sizes, layout):
        assert any(first <= index < after for first, after in place.allowed())
        place.advance(int(index))
    assert place.may_end


@pytest.mark.parametrize("layout", LAYOUTS)
@given(data=st.data())
def test_what_is_allowed_is_read_back_whole(layout: str, data: st.DataObject) -> None:
    sizes = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    place, ids = start_of(sizes, layout), list[int]()
    for _ in range(data.draw(st.integers(0, 60))):
        choices = [index for first, after in place.allowed() for index in range(first, after)]
        if not choices:
            break
        ids.append(data.draw(st.sampled_from(choices)))
        place.advance(ids[-1])
    codes = unflatten(ids, sizes, layout)
    if place.may_end:
        assert flatten(codes, sizes, layout).tolist() == ids


def test_stored_layouts_have_no_places() -> None:
    with pytest.raises(UnsupportedLayout):
        start_of((4,), "depth")
