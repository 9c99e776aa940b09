"""Forced alignment: paths worked by hand, and the best of all paths there are."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.pipelines.nano.align import letter_times, word_frames
from trivox.pipelines.nano.train_encoder import BLANK, LETTERS, letters

Float = npt.NDArray[np.float32]
CLASSES = len(LETTERS) + 1


def spelled(path: str) -> Float:
    """Log-probs float [T, 29] of a path of letters and "_" for the blank: 0.9 on it, the rest shared."""
    chosen = [BLANK if letter == "_" else LETTERS.index(letter) + 1 for letter in path]
    probs = np.full((len(path), CLASSES), 0.1 / (CLASSES - 1))
    probs[np.arange(len(path)), chosen] = 0.9
    return np.log(probs).astype(np.float32)


@pytest.mark.parametrize(
    ("path", "text", "times"),
    [
        ("a", "a", [0]),
        ("__a_", "a", [2]),
        ("aa_b", "ab", [0, 3]),
        ("abbb", "ab", [0, 1]),
        ("a_a", "aa", [0, 2]),
        ("_aa_aa_", "aa", [1, 4]),
        ("a b", "a b", [0, 1, 2]),
    ],
)
def test_paths_by_hand(path: str, text: str, times: list[int]) -> None:
    assert letter_times(spelled(path), text) == times


def test_the_path_is_the_best_as_a_whole() -> None:
    """Frame by frame a is likeliest throughout; "ab" has to leave it where b costs least, in the second frame."""
    a, b = letters("ab")
    probs = np.full((3, CLASSES), 1e-6)
    probs[:, a], probs[:, b] = [0.9, 0.6, 0.9], [0.01, 0.3, 0.02]
    # a b b: 0.9 * 0.3 * 0.02 = 0.0054; a a b: 0.9 * 0.6 * 0.02 = 0.0108.
    assert letter_times(np.log(probs).astype(np.float32), "ab") == [0, 2]
    probs[2, b] = 0.9
    probs[2, a] = 0.001
    probs[1] = [0.5 if i == b else 0.1 if i == a else 1e-6 for i in range(CLASSES)]
    assert letter_times(np.log(probs).astype(np.float32), "ab") == [0, 1]


def best_of_all(logprobs: Float, text: str) -> tuple[float, list[int]] | None:
    """Every sequence of classes that collapses to the text: the score and letter times of the best."""
    wanted, found = letters(text), list[tuple[float, list[int]]]()
    for path in itertools.product(sorted({BLANK, *wanted}), repeat=len(logprobs)):
        starts = [
            t for t, one in enumerate(path) if one != BLANK and (t == 0 or path[t - 1] != one)
        ]
        if [path[t] for t in starts] == wanted:
            found.append((sum(float(logprobs[t, one]) for t, one in enumerate(path)), starts))
    return max(found) if found else None


@given(st.text("ab ", min_size=1, max_size=3), st.integers(1, 6), st.integers(0, 10**6))
def test_no_path_is_better(text: str, frames: int, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 2, (frames, CLASSES)).astype(np.float32)
    best = best_of_all(noise, text)
    if best is None:
        with pytest.raises(ValueError, match=r"too few|no path"):
            letter_times(noise, text)
    else:
        assert letter_times(noise, text) == best[1]


@pytest.mark.parametrize(
    ("frames", "text", "said"),
    [
        (2, "abc", "2 frames are too few for the 3 letters of 'abc'"),
        (2, "aa", "no path through 2 letters in 2 frames"),
        (1, "a b", "too few"),
    ],
)
def test_too_few_frames(frames: int, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        word_frames(spelled("_" * frames), text)


@pytest.mark.parametrize(
    ("path", "text", "counts"),
    [
        ("ab", "ab", [2]),
        ("___a__", "a", [6]),
        # b begins as early as it can; a fades for up to two frames, the rest of the gap belongs to b.
        ("a b", "a b", [2, 1]),
        ("a  b", "a b", [2, 2]),
        ("a   b", "a b", [3, 2]),
        ("aa___ __b_", "a b", [3, 7]),
        ("it__ _is", "it is", [4, 4]),
    ],
)
def test_frames_of_words_by_hand(path: str, text: str, counts: list[int]) -> None:
    assert word_frames(spelled(path), text) == counts


@given(
    st.lists(st.text("abc'", min_size=1, max_size=4), min_size=1, max_size=4),
    st.integers(0, 30),
    st.integers(0, 10**6),
)
def test_every_word_has_a_frame_and_all_frames_a_word(
    words: list[str], spare: int, seed: int
) -> None:
    text = " ".join(words)
    noise = np.random.default_rng(seed).normal(0, 3, (2 * len(text) + spare, CLASSES))
    counts = word_frames(noise.astype(np.float32), text)
    assert len(counts) == len(words) and min(counts) >= 1
    assert sum(counts) == len(noise)
