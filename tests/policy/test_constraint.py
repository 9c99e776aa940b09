"""Whatever the model picks, within its constraint it says something well-formed and can come to an end.

A walk is written as one character a token: letters as they are, "0" and "1" for a code of a codebook, "<" and ">"
around reasoning, "." for the end.
"""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.tokenizers import tokenizer_map
from trivox.policy.branches.asr import asr_constraint
from trivox.policy.branches.constraint import (
    FRAMES_PER_CHUNK,
    AudioConstraint,
    Constraint,
    FreeWords,
    GivenWords,
    TextConstraint,
    mask_of,
)
from trivox.policy.branches.realtime import realtime_constraint
from trivox.policy.branches.speech import chunk_ids, chunks_of
from trivox.policy.branches.tts import tts_constraint
from trivox.policy.codec.interface import CodecSpec
from trivox.policy.text import speakable
from trivox.policy.vocabulary import TokenMap, nano_token_map

TOKENS = nano_token_map(CodecSpec("small", 16_000, 25.0, (16, 16)))
ONE_BOOK = nano_token_map(CodecSpec("single", 16_000, 25.0, (16,)))
BYTES = tokenizer_map()
ENDING = 600
CHOICES = st.lists(st.integers(0, 10**4), max_size=60)
WORDS = st.lists(st.text("abc'", min_size=1, max_size=4), min_size=1, max_size=4)
WORD = f"(?:01){{1,{FRAMES_PER_CHUNK}}}"


def kind(tokens: TokenMap, index: int) -> str:
    """How a token is written; "t" for one of text that is no letter."""
    for book in range(len(tokens.audio_offsets)):
        first, after = tokens.audio_range(book)
        if first <= index < after:
            return str(book)
    marks = {tokens.eos: ".", tokens.think: "<", tokens.end_think: ">"}
    letters = {number: letter for letter, number in tokens.characters.items()}
    return marks.get(index) or letters.get(index, "t")


def walk(tokens: TokenMap, constraint: Constraint, choices: Sequence[int]) -> list[int]:
    """Picks among the kinds of tokens that are allowed, then among those of the kind; after the choices the
    shortest way to the end that is known. Fails where nothing is allowed or no end comes."""
    state, said = constraint.start(), list[int]()
    for step in range(len(choices) + ENDING):
        groups: dict[str, list[int]] = {}
        for index in np.flatnonzero(state.allowed()):
            groups.setdefault(kind(tokens, int(index)), []).append(int(index))
        assert groups, f"nothing may follow {said}"
        if step < len(choices):
            group = sorted(groups)[choices[step] % len(groups)]
        else:
            group = next((g for g in ".> 01" if g in groups), min(groups))
        pick = groups[group][
            (choices[step] if step < len(choices) else 0) // 7 % len(groups[group])
        ]
        said.append(pick)
        state.advance(pick)
        if pick == tokens.eos:
            return said
    raise AssertionError(f"no end after {said}")


def written(tokens: TokenMap, said: Sequence[int]) -> str:
    return "".join(kind(tokens, index) for index in said)


@given(CHOICES)
def test_asr_says_text_or_ends(choices: list[int]) -> None:
    assert re.fullmatch(
        r"[a-z'() ]*\.", written(TOKENS, walk(TOKENS, asr_constraint(TOKENS), choices))
    )


def test_asr_mask() -> None:
    allowed = np.flatnonzero(asr_constraint(TOKENS).start().allowed())
    assert allowed.tolist() == [TOKENS.eos, *range(16, 46)]
    assert np.flatnonzero(TextConstraint(BYTES).allowed()).tolist() == [1, *BYTES.writable_ids()]


@given(WORDS, CHOICES)
def test_given_words_come_in_order_each_with_its_audio(
    words: list[str], choices: list[int]
) -> None:
    said = walk(TOKENS, tts_constraint(TOKENS, " ".join(words)), choices)
    pattern = "".join(f" {word}{WORD}" for word in words)
    assert re.fullmatch(rf"{pattern}\.", written(TOKENS, said))
    assert TOKENS.read_text(said) == " ".join(words)


@given(CHOICES)
def test_the_text_of_a_walk_is_the_given_text(choices: list[int]) -> None:
    text = "Turn (slow) on, it's (low) (soft) dark (pause)"
    said = walk(TOKENS, tts_constraint(TOKENS, text), choices)
    assert TOKENS.read_text(said) == speakable(text)
    assert len(re.findall("(?:01)+", written(TOKENS, said))) == len(chunks_of(speakable(text)))


@given(WORDS, CHOICES)
def test_given_words_of_a_tokenizer(words: list[str], choices: list[int]) -> None:
    text = " ".join(words)
    said = walk(BYTES, GivenWords(BYTES, chunk_ids(BYTES, chunks_of(text))), choices)
    assert re.fullmatch(rf"(?:t+{WORD}){{{len(words)}}}\.", written(BYTES, said))
    assert BYTES.read_text(said) == text


@given(CHOICES, st.booleans())
def test_free_words(choices: list[int], thinks: bool) -> None:
    """Reasoning, when asked for, before all speech; a word is a space, letters and at least one frame."""
    said = walk(TOKENS, realtime_constraint(TOKENS, thinks), choices)
    thought = "<[a-z'() ]*>" if thinks else ""
    assert re.fullmatch(rf"{thought}(?: [a-z'()]+{WORD})+\.", written(TOKENS, said))


@given(CHOICES, st.booleans())
def test_free_words_of_a_tokenizer(choices: list[int], thinks: bool) -> None:
    said = walk(BYTES, realtime_constraint(BYTES, thinks), choices)
    assert re.fullmatch(rf"{'<t*>' if thinks else ''}(?:t+{WORD})+\.", written(BYTES, said))


@given(CHOICES)
def test_one_codebook(choices: list[int]) -> None:
    for constraint in (tts_constraint(ONE_BOOK, "a b"), realtime_constraint(ONE_BOOK)):
        said = written(ONE_BOOK, walk(ONE_BOOK, constraint, choices))
        assert re.fullmatch(rf"(?: [a-z'()]+0{{1,{FRAMES_PER_CHUNK}}})+\.", said)


@given(CHOICES)
def test_audio_alone_ends_between_frames(choices: list[int]) -> None:
    said = written(TOKENS, walk(TOKENS, AudioConstraint(TOKENS), choices))
    assert re.fullmatch(r"(?:01)*\.", said)


@pytest.mark.parametrize(
    "constraint", [GivenWords(TOKENS, [[16, 17], [16, 18]]), FreeWords(TOKENS, False)]
)
def test_a_word_has_a_limit_of_frames(constraint: Constraint) -> None:
    """After 60 frames the next word has to come, or the end."""
    state, frame = constraint.start(), mask_of(TOKENS, list(range(46, 62)))
    for token in (16, 17, *[46, 62] * (FRAMES_PER_CHUNK - 1)):
        state.advance(token)
    assert (state.allowed() & frame).sum() == 16
    state.advance(46)
    assert np.flatnonzero(state.allowed()).tolist() == list(range(62, 78))
    state.advance(62)
    given_next = isinstance(constraint, GivenWords)
    assert np.flatnonzero(state.allowed()).tolist() == ([16] if given_next else [1, 16])
    for token in (16, 18, 46, 62):
        state.advance(token)
    assert (state.allowed() & frame).any(), "the next word has frames of its own"


def test_given_words_step_by_step() -> None:
    """ " a" is forced, a frame has to come, then more of it or the next word, after the last the end."""
    state, steps = GivenWords(TOKENS, [[16, 17], [16, 18]]).start(), list[list[int]]()
    for token in (16, 17, 46, 62, 16, 18, 47, 63):
        steps.append(np.flatnonzero(state.allowed()).tolist())
        state.advance(token)
    books = [list(range(46, 62)), list(range(62, 78))]
    onward = [16, *books[0]]
    assert steps == [[16], [17], books[0], books[1], onward, [18], books[0], books[1]]
    assert np.flatnonzero(state.allowed()).tolist() == [1, *books[0]]


def test_free_words_step_by_step() -> None:
    state, steps = FreeWords(TOKENS, True).start(), list[list[int]]()
    for token in (14, 17, 15, 16, 17, 18, 46, 62):
        steps.append(np.flatnonzero(state.allowed()).tolist())
        state.advance(token)
    books = [list(range(46, 62)), list(range(62, 78))]
    text, letters = list(range(16, 46)), list(range(17, 46))
    spoken = [*letters, *books[0]]
    assert steps == [[14], [15, *text], [15, *text], [16], letters, spoken, spoken, books[1]]
    assert np.flatnonzero(state.allowed()).tolist() == [1, 16, *books[0]]


def test_completions_of_one_constraint_do_not_disturb_each_other() -> None:
    for constraint in (tts_constraint(TOKENS, "a b"), realtime_constraint(TOKENS, True)):
        one, two = constraint.start(), constraint.start()
        before = two.allowed().copy()
        one.advance(int(np.flatnonzero(one.allowed())[0]))
        np.testing.assert_array_equal(two.allowed(), before)
        assert not np.array_equal(one.allowed(), before)
