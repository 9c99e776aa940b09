"""Frames as their codebooks come: what the reader gives token by token is what the map reads in the whole."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.policy.codec.interface import CodecSpec
from trivox.policy.codec.layouts import vocabulary_size
from trivox.policy.streaming import CodeReader
from trivox.policy.vocabulary import TokenMap, nano_token_map

SIZES = (16, 8, 4)


def token_map(layout: str, books: int) -> TokenMap:
    sizes = SIZES[:books]
    tokens = nano_token_map(CodecSpec("any", 16_000, 25.0, sizes))
    first = tokens.audio_offsets[0]
    return replace(tokens, layout=layout, vocab_size=first + vocabulary_size(sizes, layout))


def codes(frames: int, books: int) -> np.ndarray:
    drawn = np.random.default_rng(frames).integers(0, 4, (frames, books))
    return drawn.astype(np.int32)


@pytest.mark.parametrize("layout", ["flat", "delayed", "interleaved", "interleaved:3"])
@given(frames=st.integers(0, 25), books=st.integers(1, 3), cut=st.integers(0, 80))
def test_as_the_map_reads_them(layout: str, frames: int, books: int, cut: int) -> None:
    """Also for a completion that was cut off anywhere."""
    tokens = token_map(layout, books)
    ids = tokens.audio_ids(codes(frames, books))[: cut or None]
    reader = CodeReader(tokens)
    parts = [reader.push(index) for index in ids]
    joined = np.concatenate([np.zeros((0, books), np.int32), *parts])
    np.testing.assert_array_equal(joined, tokens.read_codes(ids))


def test_flat_frames_come_with_their_last_codebook_and_text_brings_none() -> None:
    tokens = token_map("flat", 2)
    first, second = tokens.audio_ids(codes(1, 2))
    letter = tokens.text_ids("a")[0]
    reader = CodeReader(tokens)
    counts = [len(reader.push(index)) for index in (letter, first, second, letter, tokens.eos)]
    assert counts == [0, 0, 1, 0, 0]


def test_in_a_delay_pattern_a_frame_comes_with_the_step_of_its_last_codebook() -> None:
    """Two codebooks: frame 0 has its second code in step 1, the fourth id."""
    tokens = token_map("delayed", 2)
    reader = CodeReader(tokens)
    counts = [len(reader.push(index)) for index in tokens.audio_ids(codes(3, 2))]
    assert counts == [0, 0, 0, 1, 0, 1, 0, 1]
