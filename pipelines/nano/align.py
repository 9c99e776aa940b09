"""Which frames belong to which word: forced alignment with the letters that the encoder hears."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trivox.pipelines.nano.train_encoder import BLANK, letters

Float = npt.NDArray[np.float32]
LEAD = 2
"""Frames of a gap between words that still belong to the word before it, at most: sounds fade."""


def word_frames(logprobs: Float, text: str) -> list[int]:
    """Frames (25 Hz) of each word of text, T in all, each at least 1; logprobs: of letters, float [T, 29].

    A word begins where the letters before it have died away; silence before a word belongs to the word.
    Raises ValueError for fewer frames than letters need.
    """
    words = text.split()
    times = letter_times(logprobs, " ".join(words))
    begins, letter = [0], len(words[0]) + 1
    for word in words[1:]:
        last, first = times[letter - 2], times[letter]
        begins.append(max(begins[-1] + 1, last + 1 + min(LEAD, (first - last) // 2)))
        letter += len(word) + 1
    counts: list[int] = np.diff([*begins, len(logprobs)]).tolist()
    return counts


def letter_times(logprobs: Float, text: str) -> list[int]:
    """The frame at which each letter of text begins on the best path (Viterbi over CTC's states)."""
    states = np.full(2 * len(text) + 1, BLANK)
    states[1::2] = letters(text)
    if len(logprobs) < len(text):
        raise ValueError(
            f"{len(logprobs)} frames are too few for the {len(text)} letters of {text!r}"
        )
    emitted = logprobs[:, states].astype(np.float64)
    skips = np.zeros(len(states), bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    path = _best_path(emitted, skips)
    first: dict[int, int] = {}
    for frame, state in enumerate(path):
        first.setdefault(state, frame)
    return [first[2 * index + 1] for index in range(len(text))]


def _best_path(emitted: npt.NDArray[np.float64], skips: npt.NDArray[np.bool_]) -> Sequence[int]:
    """emitted [T, S], skips [S]: whether a state may follow the one two before. Raises ValueError if none fits."""
    frames, count = emitted.shape
    score = np.full(count, -np.inf)
    score[:2] = emitted[0, :2]
    steps = np.zeros((frames, count), np.int8)
    for frame in range(1, frames):
        stay = score
        one = np.concatenate([[-np.inf], score[:-1]])
        two = np.where(skips, np.concatenate([[-np.inf, -np.inf], score[:-2]]), -np.inf)
        choices = np.stack([stay, one, two])
        steps[frame] = choices.argmax(0)
        score = choices.max(0) + emitted[frame]
    state = count - 1 if score[-1] >= score[-2] else count - 2
    if not np.isfinite(score[state]):
        raise ValueError(f"no path through {count // 2} letters in {frames} frames")
    path = [state]
    for frame in range(frames - 1, 0, -1):
        state -= int(steps[frame, state])
        path.append(state)
    return path[::-1]
