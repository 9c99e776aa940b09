"""Prompts and completions of the branches, id by id.

Marks: asr 3, tts 4, realtime 5, text 6, speech 7, audio 8, voice 9, instruction 10, persona 11, user 12,
assistant 13, think 14, end of thinking 15. Space 16, a 17 … z 42, ' 43, ( 44, ) 45. Codebooks from 46 and 62.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.tokenizers import tokenizer_map
from trivox.platform.errors import UnspeakableText
from trivox.platform.records import Segment
from trivox.policy.branches.asr import asr_completion, asr_prompt
from trivox.policy.branches.realtime import Heard, Said, realtime_prompt, reasoning
from trivox.policy.branches.speech import (
    chunk_ids,
    chunks_of,
    speech_completion,
    speech_segments,
)
from trivox.policy.branches.tts import REFERENCE_FRAMES, tts_constraint, tts_prompt
from trivox.policy.codec.interface import CodecSpec
from trivox.policy.text import without_directives
from trivox.policy.vocabulary import nano_token_map

TOKENS = nano_token_map(CodecSpec("small", 16_000, 25.0, (16, 16)))
AUDIO_ONLY = dataclasses.replace(TOKENS, carries="none")
CODES = np.array([[0, 1], [2, 3], [4, 5]], np.int32)
UNSPEAKABLE = ["", "…", "room 7", "naïve", "🙂", "你好"]
WORD = st.text("abcz'", min_size=1, max_size=5)
DIRECTIVE = st.text("slow ", max_size=5).map(lambda name: f"({' '.join(name.split())})")


def test_asr() -> None:
    assert asr_prompt(TOKENS, 3) == [3, 8, 8, 8, 6]
    assert asr_completion(TOKENS, "a b") == [17, 16, 18, 1]


def test_tts_prompt_of_a_text_alone() -> None:
    assert tts_prompt(TOKENS, "A, b!") == [4, 6, 17, 16, 18, 7]
    assert tts_prompt(TOKENS, "A, b!") == tts_prompt(TOKENS, "a b")
    assert tts_prompt(TOKENS, "a (b) c") == [4, 6, 17, 16, 44, 18, 45, 16, 19, 7]


def test_tts_prompt_with_all_that_it_may_hold() -> None:
    prompt = tts_prompt(TOKENS, "a", "Ab", CODES, [Said("user", "B."), Said("assistant", "c d")])
    voice = [9, 46, 63, 48, 65, 50, 67]
    context = [12, 18, 13, 19, 16, 20]
    assert prompt == [4, *voice, 10, 17, 18, *context, 6, 17, 7]


def test_tts_prompt_holds_the_first_frames_of_a_reference() -> None:
    codes = np.arange(60, dtype=np.int32).reshape(30, 2) % 16
    prompt = tts_prompt(TOKENS, "a", voice=codes)
    assert prompt[:2] == [4, 9] and prompt[-3:] == [6, 17, 7]
    np.testing.assert_array_equal(TOKENS.read_codes(prompt), codes[:REFERENCE_FRAMES])


@pytest.mark.parametrize("text", UNSPEAKABLE)
def test_what_cannot_be_said(text: str) -> None:
    with pytest.raises(UnspeakableText):
        tts_prompt(TOKENS, text)
    with pytest.raises(UnspeakableText):
        tts_constraint(TOKENS, text)
    with pytest.raises(UnspeakableText):
        realtime_prompt(TOKENS, text, [Heard(1)])
    with pytest.raises(UnspeakableText):
        realtime_prompt(TOKENS, "a", [Said("user", text)])


@pytest.mark.parametrize("text", ["(", ")(", "()", "( )", "(slow)", "(slow) (low)"])
def test_a_text_without_a_word_is_refused(text: str) -> None:
    with pytest.raises(UnspeakableText, match="the text is empty"):
        tts_constraint(TOKENS, text)


def test_realtime_prompt() -> None:
    """A turn is audio or text; instruction after the persona; the reply comes after the last mark."""
    turns = [Heard(2), Said("assistant", "B!"), Said("user", "c"), Said("assistant", "a"), Heard(1)]
    heard = [12, 8, 8, 13, 18, 12, 19, 13, 17, 12, 8, 13]
    assert realtime_prompt(TOKENS, "A b", turns) == [5, 11, 17, 16, 18, *heard]
    assert realtime_prompt(TOKENS, "a", turns, "C") == [5, 11, 17, 10, 19, *heard]


def test_reasoning() -> None:
    assert reasoning(TOKENS, "A, b") == [14, 17, 16, 18, 15]


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("a b", ["a", "b"]),
        ("a (slow) b c", ["a", "(slow) b", "c"]),
        ("(slow) (low) a", ["(slow) (low) a"]),
        ("a (pause)", ["a", "(pause)"]),
        ("a(slow)b", ["a", "(slow)b"]),
        ("a ( b", ["a", "b"]),
        ("", []),
        ("()(", ["()"]),
    ],
)
def test_chunks(text: str, chunks: list[str]) -> None:
    assert chunks_of(text) == chunks


@given(st.lists(st.tuples(st.lists(DIRECTIVE, max_size=2), WORD), min_size=1, max_size=6))
def test_a_chunk_is_a_word_with_the_directives_before_it(
    parts: list[tuple[list[str], str]],
) -> None:
    wanted = [" ".join([*directives, word]) for directives, word in parts]
    assert chunks_of(" ".join(wanted)) == wanted
    assert [without_directives(chunk) for chunk in wanted] == [word for _, word in parts]


def test_chunks_begin_with_a_space() -> None:
    assert chunk_ids(TOKENS, ["a", "(b) c"]) == [[16, 17], [16, 44, 18, 45, 16, 19]]


# " ab" and its one frame, " (c) d" and its two, the end.
COMPLETION = [16, 17, 18, 46, 63, 16, 44, 19, 45, 16, 20, 48, 65, 50, 67, 1]


def test_speech_goes_word_by_word() -> None:
    assert speech_completion(TOKENS, CODES, ["ab", "(c) d"], [1, 2]) == COMPLETION
    assert TOKENS.read_text(COMPLETION) == "ab (c) d"
    np.testing.assert_array_equal(TOKENS.read_codes(COMPLETION), CODES)


def test_speech_without_words() -> None:
    assert speech_completion(AUDIO_ONLY, CODES) == [46, 63, 48, 65, 50, 67, 1]
    assert speech_completion(AUDIO_ONLY, CODES[:0]) == [1]


def test_speech_of_a_tokenizer_goes_word_by_word() -> None:
    tokens = tokenizer_map()
    said = speech_completion(tokens, CODES % 4, ["turn", "Café"], [2, 1])
    first = tokens.audio_offsets[0]
    audio = [first, first + 5, first + 2, first + 7]
    turn, cafe = tokens.text_ids(" turn"), tokens.text_ids(" Café")
    assert said == [*turn, *audio, *cafe, first, first + 5, tokens.eos]
    assert tokens.read_text(said) == "turn Café"


@pytest.mark.parametrize(
    ("frames", "said"), [([1, 1], "the chunks have 2 frames, the codes 3"), ([3], "zip")]
)
def test_frames_that_do_not_fit(frames: list[int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        speech_completion(TOKENS, CODES, ["a", "b"], frames)


def runs(segments: tuple[Segment, ...]) -> list[tuple[str, int, int, bool]]:
    return [(s.kind.value, s.start, s.end, s.in_loss) for s in segments]


def test_given_words_are_no_action() -> None:
    """But for the space with which the model went on to the second word; the first space had to come."""
    assert runs(speech_segments(TOKENS, COMPLETION, chosen_text=False)) == [
        ("text", 0, 1, False),
        ("text", 1, 3, False),
        ("audio", 3, 5, True),
        ("text", 5, 6, True),
        ("text", 6, 11, False),
        ("audio", 11, 16, True),
    ]


def test_chosen_words_are_actions_and_so_is_reasoning() -> None:
    ids = [14, 17, 16, 15, 16, 17, 46, 63, 1]
    assert runs(speech_segments(TOKENS, ids, chosen_text=True)) == [
        ("reasoning", 0, 4, True),
        ("text", 4, 6, True),
        ("audio", 6, 9, True),
    ]


def test_segments_of_what_was_cut_off() -> None:
    """In the reasoning, in a word, in a frame; nothing at all."""
    assert runs(speech_segments(TOKENS, [14, 17], True)) == [("reasoning", 0, 2, True)]
    assert runs(speech_segments(TOKENS, [16], False)) == [("text", 0, 1, False)]
    assert runs(speech_segments(TOKENS, [46], False)) == [("audio", 0, 1, True)]
    assert speech_segments(TOKENS, [], False) == ()


@given(st.lists(st.sampled_from([1, 14, 15, 16, 17, 46, 62]), max_size=12), st.booleans())
def test_segments_cover_every_token_once(ids: list[int], chosen: bool) -> None:
    segments = speech_segments(TOKENS, ids, chosen)
    assert [i for s in segments for i in range(s.start, s.end)] == list(range(len(ids)))
    assert all(s.end > s.start for s in segments)
