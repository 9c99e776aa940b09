"""Prompts and decoding constraints of the branches, id by id."""

import numpy as np
import pytest

from trivox.platform.errors import UnspeakableText
from trivox.policy.branches import asr_constraint, asr_prompt, tts_constraint, tts_prompt
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
