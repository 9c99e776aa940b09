"""The one vocabulary: round trips, refusals, and the tokenizer that agrees with the token map."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tests.policy.tokenizers import tokenizer_map
from trivox.platform.errors import UnspeakableText
from trivox.policy.codec.interface import CodecSpec
from trivox.policy.codec.layouts import vocabulary_size
from trivox.policy.vocabulary import (
    ALPHABET,
    MARKS,
    SPECIALS,
    TokenMap,
    nano_token_map,
    nano_tokenizer,
)

SPEC = CodecSpec("small", 16_000, 25.0, (16, 16))
TOKENS = nano_token_map(SPEC)
BYTES = tokenizer_map()
FRAMES = st.lists(st.tuples(*[st.integers(0, 15)] * 2), max_size=30)
SAYABLE = st.text(ALPHABET, min_size=1).filter(str.strip)


@given(SAYABLE)
def test_text_to_ids_and_back(text: str) -> None:
    ids = TOKENS.text_ids(text)
    assert len(ids) == len(text)
    assert TOKENS.read_text(ids) == text.strip()


@given(st.text(max_size=40).filter(str.strip))
def test_any_text_to_ids_and_back_by_a_tokenizer(text: str) -> None:
    ids = BYTES.text_ids(text)
    assert set(ids) <= set(BYTES.writable_ids())
    assert BYTES.read_text(ids) == text.strip()


@pytest.mark.parametrize("text", ["a <eos> b", "<|audio|>", "<|a0_1|>", "<|assistant|> no"])
def test_marks_in_what_people_write_stay_text(text: str) -> None:
    assert set(BYTES.text_ids(text)) <= set(BYTES.writable_ids())
    assert BYTES.read_text(BYTES.text_ids(text)) == text


def test_a_mark_that_the_tokenizer_cannot_split_is_refused() -> None:
    """Codes that were added as ordinary tokens."""
    tokens = tokenizer_map(special=False)
    assert tokens.read_text(tokens.text_ids("a <eos>")) == "a <eos>"
    with pytest.raises(UnspeakableText, match=r"'<\|a0_1\|>' in 'a <\|a0_1\|>' is outside"):
        tokens.text_ids("a <|a0_1|>")


@given(FRAMES, st.integers(0, 1))
def test_codes_to_ids_and_back(frames: list[tuple[int, int]], torn: int) -> None:
    """Flat: frame by frame; half a frame at the end is dropped."""
    codes = np.array(frames, np.int32).reshape(-1, 2)
    ids = TOKENS.audio_ids(codes)
    read = TOKENS.read_codes(ids + [TOKENS.audio_offsets[0]] * torn)
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, codes)


@pytest.mark.parametrize("layout", ["delayed", "interleaved", "interleaved:3"])
def test_codes_in_other_layouts(layout: str) -> None:
    """Delayed needs a pad for each codebook: 34 ids from 46 on."""
    tokens = dataclasses.replace(TOKENS, layout=layout)
    codes = np.array([[2, 9], [5, 0], [15, 15], [0, 1]], np.int32)
    ids = tokens.audio_ids(codes)
    np.testing.assert_array_equal(tokens.read_codes([tokens.eos, *ids, tokens.eos]), codes)
    last = 46 + vocabulary_size((16, 16), layout)
    assert last == (80 if layout == "delayed" else 78)
    assert [tokens.is_audio(i) for i in (45, 46, last - 1, last)] == [False, True, True, False]


def test_flat_layout_by_hand() -> None:
    """16 specials and 30 characters come first: codebook 0 begins at 46, codebook 1 at 62; 78 rounds to 96."""
    assert TOKENS.audio_offsets == (46, 62)
    assert TOKENS.vocab_size == 96
    codes = np.array([[0, 15], [3, 1]], np.int32)
    assert TOKENS.audio_ids(codes) == [46, 77, 49, 63]
    assert [TOKENS.audio_range(book) for book in (0, 1)] == [(46, 62), (62, 78)]


def test_rows_that_round_the_vocabulary_up_are_no_audio() -> None:
    assert [TOKENS.is_audio(index) for index in (45, 46, 77, 78, 95)] == [False, True, True, 0, 0]
    assert TOKENS.read_codes([78, 46, 95, 62]).tolist() == [[0, 0]]


def test_the_shipped_layout_stays() -> None:
    """The weights of trivox-nano-v2 mean these ids."""
    shipped = nano_token_map(CodecSpec("nano", 16_000, 25.0, (1024, 1024)))
    assert (shipped.pad, shipped.eos) == (0, 1)
    assert [getattr(shipped, mark) for mark in MARKS] == list(range(3, 15))
    assert (shipped.audio, shipped.end_think) == (8, 15)
    assert [shipped.characters[letter] for letter in " az'()"] == [16, 17, 42, 43, 44, 45]
    assert (shipped.audio_offsets, shipped.vocab_size) == ((46, 1070), 2112)
    assert (shipped.layout, shipped.carries, shipped.text_by) == ("flat", "words", "characters")


def test_no_id_is_used_twice() -> None:
    books = [range(*TOKENS.audio_range(book)) for book in (0, 1)]
    ids = [*range(len(SPECIALS)), *TOKENS.characters.values(), *books[0], *books[1]]
    assert ids == list(range(78))


def test_read_text_leaves_out_what_is_no_text() -> None:
    ids = [TOKENS.asr, *TOKENS.text_ids("a b"), 50, TOKENS.eos, TOKENS.pad]
    assert TOKENS.read_text(ids) == "a b"
    ids = [BYTES.asr, *BYTES.text_ids("A, é"), BYTES.audio_offsets[0], BYTES.think, BYTES.eos]
    assert BYTES.read_text(ids) == "A, é"


def test_which_ids_are_text() -> None:
    """Marks and codes were added to the tokenizer: its own text tokens end where they begin."""
    assert TOKENS.writable_ids() == list(range(16, 46))
    assert TOKENS.chunk_starts() == [16]
    first = min(BYTES.asr, BYTES.audio_offsets[0])
    assert BYTES.writable_ids() == list(range(2, first))
    assert BYTES.chunk_starts() == BYTES.writable_ids()


def test_given_ids_are_all_text_but_the_space() -> None:
    """Where a tokenizer's pieces begin words, no id tells what was given from what was chosen."""
    assert TOKENS.given_ids() == list(range(17, 46))
    assert dataclasses.replace(TOKENS, carries="none").given_ids() == []
    assert BYTES.given_ids() == []


def test_text_outside_the_alphabet_is_named() -> None:
    with pytest.raises(UnspeakableText) as caught:
        TOKENS.text_ids("café 7")
    assert caught.value.strange == ["7", "é"]
    line = str(caught.value)
    assert "'7' 'é' in 'café 7'" in line
    assert repr(ALPHABET) in line
    assert "\n" not in line


@pytest.mark.parametrize("text", ["", "   "])
@pytest.mark.parametrize("tokens", [TOKENS, BYTES])
def test_empty_text_is_refused(text: str, tokens: TokenMap) -> None:
    with pytest.raises(UnspeakableText, match="the text is empty"):
        tokens.text_ids(text)


def test_map_survives_the_disk(tmp_path: Path) -> None:
    TOKENS.save(tmp_path)
    assert TokenMap.load(tmp_path) == TOKENS


def test_map_of_a_tokenizer_survives_the_disk(tmp_path: Path) -> None:
    BYTES.save(tmp_path)
    BYTES.tokenizer.save_pretrained(tmp_path)
    read = TokenMap.load(tmp_path)
    assert read == BYTES
    assert read.text_ids("the light") == BYTES.text_ids("the light")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> object:
    """As transformers alone loads it, from a folder."""
    folder = tmp_path_factory.mktemp("tokenizer")
    nano_tokenizer(TOKENS).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_tokenizer_knows_the_specials(tokenizer) -> None:  # type: ignore[no-untyped-def]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (TOKENS.pad, TOKENS.eos)
    names = {mark: f"<|{mark}|>" for mark in MARKS} | {"end_think": "<|/think|>"}
    for field, mark in names.items():
        assert tokenizer.convert_tokens_to_ids(mark) == getattr(TOKENS, field)
    assert tokenizer("<|tts|><|text|>ab<|speech|>").input_ids == [4, 6, 17, 18, 7]


def test_tokenizer_agrees_with_the_map(tokenizer) -> None:  # type: ignore[no-untyped-def]
    @given(SAYABLE, FRAMES)
    def agree(text: str, frames: list[tuple[int, int]]) -> None:
        marks = "".join(f"<|a0_{one}|><|a1_{two}|>" for one, two in frames)
        expected = TOKENS.text_ids(text) + TOKENS.audio_ids(
            np.array(frames, np.int32).reshape(-1, 2)
        )
        ids = tokenizer(text + marks).input_ids
        assert ids == expected
        assert tokenizer.decode(ids) == text + marks

    agree()


def test_tokenizer_has_unk_for_the_rest(tokenizer) -> None:  # type: ignore[no-untyped-def]
    assert tokenizer("aéb").input_ids == [17, SPECIALS.index("<unk>"), 18]
