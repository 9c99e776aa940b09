"""Prompts and decoding constraints of the branches, id by id."""

import numpy as np
import pytest

from trivox.platform.errors import UnspeakableText
from trivox.policy.branches import (
    asr_constraint,
    asr_prompt,
    tts_completion,
    tts_constraint,
    tts_prompt,
    tts_segments,
)
from trivox.policy.codec.interface import CodecSpec
from trivox.policy.vocabulary import nano_token_map

TOKENS = nano_token_map(CodecSpec("small", 16_000, 25.0, (16, 16)))


def test_asr_prompt_reads_the_first_codebook() -> None:
    codes = np.array([[2, 9], [5, 9]], np.int32)
    assert asr_prompt(TOKENS, codes) == [3, 7, 38, 41, 6]


def test_tts_prompt_is_of_the_speakable_text() -> None:
    assert tts_prompt(TOKENS, "A, b!") == [4, 6, 9, 8, 10, 7]
    assert tts_prompt(TOKENS, "A, b!") == tts_prompt(TOKENS, "a b")


@pytest.mark.parametrize("text", ["", "…", "room 7", "naïve"])
def test_tts_prompt_of_what_cannot_be_said(text: str) -> None:
    with pytest.raises(UnspeakableText):
        tts_prompt(TOKENS, text)


def test_asr_says_text_or_ends() -> None:
    constraint = asr_constraint(TOKENS)
    assert constraint.period == 1
    assert np.flatnonzero(constraint.allowed[0]).tolist() == [TOKENS.eos, *range(8, 36)]


def test_tts_says_each_codebook_in_turn_and_ends_between_frames() -> None:
    constraint = tts_constraint(TOKENS)
    assert constraint.period == 2
    assert np.flatnonzero(constraint.allowed[0]).tolist() == [TOKENS.eos, *range(36, 52)]
    assert np.flatnonzero(constraint.allowed[1]).tolist() == [*range(52, 68)]


# "abc" is 9, 10, 11; two characters come before every three frames of two codes.
CODES = np.array([[0, 1], [2, 3], [4, 5], [6, 7]], np.int32)
CARRYING = [9, 10, 36, 53, 38, 55, 40, 57, 11, 42, 59, 1]


def test_tts_completion_carries_its_text_along() -> None:
    assert tts_completion(TOKENS, "Abc.", CODES) == CARRYING
    np.testing.assert_array_equal(TOKENS.read_codes(CARRYING), CODES)


def test_speech_that_ends_before_its_text_is_all_carried() -> None:
    assert tts_completion(TOKENS, "abcde", CODES[:1]) == [9, 10, 36, 53, 1]


def test_tts_constraint_gives_the_text_and_leaves_the_audio_to_the_model() -> None:
    """Given ids are the only ones; what is chosen goes on between them frame by frame."""
    constraint = tts_constraint(TOKENS, "abc")
    books = (range(36, 52), range(52, 68))
    for step, token in enumerate(CARRYING):
        allowed = np.flatnonzero(constraint.at(step)).tolist()
        assert token in allowed
        if token < 36 and token != TOKENS.eos:
            assert allowed == [token]
    assert np.flatnonzero(constraint.at(2)).tolist() == [TOKENS.eos, *books[0]]
    assert np.flatnonzero(constraint.at(3)).tolist() == [*books[1]]
    assert np.flatnonzero(constraint.at(101)).tolist() == [TOKENS.eos, *books[0]]


def test_segments_tell_carried_text_from_audio() -> None:
    segments = tts_segments(TOKENS, CARRYING)
    assert [(s.kind.value, s.start, s.end, s.in_loss) for s in segments] == [
        ("text", 0, 2, False),
        ("audio", 2, 8, True),
        ("text", 8, 9, False),
        ("audio", 9, 12, True),
    ]
