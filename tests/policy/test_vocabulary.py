"""The one vocabulary: round trips, refusals, and the tokenizer that agrees with the token map."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from trivox.platform.errors import UnspeakableText
from trivox.policy.codec.interface import CodecSpec
from trivox.policy.vocabulary import ALPHABET, SPECIALS, TokenMap, nano_token_map, nano_tokenizer

SPEC = CodecSpec("small", 16_000, 25.0, (16, 16))
TOKENS = nano_token_map(SPEC)
FRAMES = st.lists(st.tuples(*[st.integers(0, 15)] * 2), max_size=30)
SAYABLE = st.text(ALPHABET, min_size=1).filter(str.strip)


@given(SAYABLE)
def test_text_to_ids_and_back(text: str) -> None:
    ids = TOKENS.text_ids(text)
    assert len(ids) == len(text)
    assert TOKENS.read_text(ids) == text.strip()


@given(FRAMES, st.integers(0, 1))
def test_codes_to_ids_and_back(frames: list[tuple[int, int]], torn: int) -> None:
    """Flat: frame by frame; half a frame at the end is dropped."""
    codes = np.array(frames, np.int32).reshape(-1, 2)
    ids = TOKENS.audio_ids(codes)
    read = TOKENS.read_codes(ids + [TOKENS.audio_offsets[0]] * torn)
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, codes)


def test_flat_layout_by_hand() -> None:
    """8 specials and 28 characters come first: codebook 0 begins at 36, codebook 1 at 52; 68 rounds to 96."""
    assert TOKENS.audio_offsets == (36, 52)
    assert TOKENS.vocab_size == 96
    codes = np.array([[0, 15], [3, 1]], np.int32)
    assert TOKENS.audio_ids(codes) == [36, 67, 39, 53]
    assert TOKENS.audio_ids(codes, codebooks=1) == [36, 39]
    assert [TOKENS.audio_range(book) for book in (0, 1)] == [(36, 52), (52, 68)]


def test_the_shipped_layout_stays() -> None:
    """The weights of trivox-nano-v1 mean these ids."""
    shipped = nano_token_map(CodecSpec("nano", 16_000, 25.0, (512, 512)))
    assert (shipped.pad, shipped.eos, shipped.asr, shipped.tts) == (0, 1, 3, 4)
    assert (shipped.realtime, shipped.text, shipped.audio) == (5, 6, 7)
    assert [shipped.characters[letter] for letter in " az'"] == [8, 9, 34, 35]
    assert (shipped.audio_offsets, shipped.vocab_size) == ((36, 548), 1088)


def test_no_id_is_used_twice() -> None:
    books = [range(*TOKENS.audio_range(book)) for book in (0, 1)]
    ids = [*range(len(SPECIALS)), *TOKENS.characters.values(), *books[0], *books[1]]
    assert ids == list(range(68))


def test_read_text_leaves_out_what_is_no_text() -> None:
    ids = [TOKENS.asr, *TOKENS.text_ids("a b"), 40, TOKENS.eos, TOKENS.pad]
    assert TOKENS.read_text(ids) == "a b"


def test_text_outside_the_alphabet_is_named() -> None:
    with pytest.raises(UnspeakableText) as caught:
        TOKENS.text_ids("café 7")
    assert caught.value.strange == ["7", "é"]
    line = str(caught.value)
    assert "'7' 'é' in 'café 7'" in line
    assert repr(ALPHABET) in line
    assert "\n" not in line


@pytest.mark.parametrize("text", ["", "   "])
def test_empty_text_is_refused(text: str) -> None:
    with pytest.raises(UnspeakableText, match="the text is empty"):
        TOKENS.text_ids(text)


def test_map_survives_the_disk(tmp_path: Path) -> None:
    TOKENS.save(tmp_path)
    assert TokenMap.load(tmp_path) == TOKENS


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> object:
    """As transformers alone loads it, from a folder."""
    folder = tmp_path_factory.mktemp("tokenizer")
    nano_tokenizer(TOKENS).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def test_tokenizer_knows_the_specials(tokenizer) -> None:  # type: ignore[no-untyped-def]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (TOKENS.pad, TOKENS.eos)
    names = {"asr": "<|asr|>", "tts": "<|tts|>", "realtime": "<|realtime|>"}
    names |= {"text": "<|text|>", "audio": "<|audio|>", "pad": "<pad>", "eos": "<eos>"}
    for field, mark in names.items():
        assert tokenizer.convert_tokens_to_ids(mark) == getattr(TOKENS, field)
    assert tokenizer("<|tts|><|text|>ab<|audio|>").input_ids == [4, 6, 9, 10, 7]


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
    assert tokenizer("aéb").input_ids == [9, SPECIALS.index("<unk>"), 10]
