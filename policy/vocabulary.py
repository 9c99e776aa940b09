"""One vocabulary for text and audio tokens, and the map that says which id is what."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import UnspeakableText
from trivox.policy.codec.interface import CodecSpec
from trivox.policy.codec.layouts import flatten, unflatten, vocabulary_size
from trivox.policy.text import speakable

TOKEN_MAP_FILE = "token_map.json"
MARKS = (
    "asr",
    "tts",
    "realtime",
    "text",
    "speech",
    "audio",
    "voice",
    "instruction",
    "persona",
    "user",
    "assistant",
    "think",
)
"""Marks of the prompts; as tokens they stand in `<|…|>`."""
SPECIALS = ("<pad>", "<eos>", "<unk>", *(f"<|{mark}|>" for mark in MARKS), "<|/think|>")
ALPHABET = " abcdefghijklmnopqrstuvwxyz'()"
# Row counts that are a multiple of 32 let matrix products use whole tiles.
_ROW_MULTIPLE = 32


@dataclass(frozen=True)
class TokenMap:
    """Which ids are text, which are audio, and how codes are laid out in a sequence.

    text_by: "characters" (those of `characters`) or "tokenizer", the one in the backbone's folder.
    layout: how several codebooks share the sequence (trivox.policy.codec.layouts); audio_offsets: the first id of
    each codebook. carries: "words" if speech goes word by word with its text, as StepAudio's realtime branch
    interleaves text and audio; "none" if it is audio alone. voices: those that an instruction may name.
    """

    pad: int
    eos: int
    asr: int
    tts: int
    realtime: int
    text: int
    speech: int
    audio: int
    voice: int
    instruction: int
    persona: int
    user: int
    assistant: int
    think: int
    end_think: int
    text_by: Literal["characters", "tokenizer"]
    characters: dict[str, int]
    audio_offsets: tuple[int, ...]
    codebook_sizes: tuple[int, ...]
    layout: str
    carries: Literal["words", "none"]
    vocab_size: int
    voices: tuple[str, ...] = ()
    tokenizer: Any = field(default=None, repr=False, compare=False)

    def written(self, text: str) -> str:
        """A text as the model reads and writes it: as it stands, or in the alphabet where there is one."""
        return speakable(text) if self.text_by == "characters" else text

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text; what reads like a mark or a code in it stays text.

        Raises UnspeakableText, naming the characters, for a text that is empty or outside the alphabet.
        """
        if self.text_by == "tokenizer":
            return self._tokenized(text)
        strange = sorted(set(text) - self.characters.keys())
        if strange or not text.strip():
            raise UnspeakableText(text, strange, "".join(self.characters))
        return [self.characters[character] for character in text]

    def read_text(self, ids: Sequence[int]) -> str:
        """The text of the ids; ids that are no text are left out."""
        if self.text_by == "tokenizer":
            kept = [index for index in ids if index in self._writable]
            return str(self.tokenizer.decode(kept)).strip()
        return "".join(self._letters.get(index, "") for index in ids).strip()

    def writable_ids(self) -> list[int]:
        """Every id that is text."""
        if self.text_by == "characters":
            return list(self.characters.values())
        return self._tokenizer_ids

    def chunk_starts(self) -> list[int]:
        """Ids that may begin a word where speech carries its words."""
        if self.text_by == "characters":
            return [self.characters[" "]]
        return self._tokenizer_ids

    def given_ids(self) -> list[int]:
        """Text that tts completions hold without the model having chosen it: all but the space, with which it goes
        on to the next word."""
        if self.carries == "none" or self.text_by == "tokenizer":
            return []
        return [index for letter, index in self.characters.items() if letter != " "]

    def audio_ids(self, codes: npt.NDArray[np.int32]) -> list[int]:
        """int32 [n_frames, Q] -> ids in the map's layout."""
        ids = flatten(codes, self.codebook_sizes, self.layout) + self.audio_offsets[0]
        listed: list[int] = ids.tolist()
        return listed

    def read_codes(self, ids: Sequence[int]) -> npt.NDArray[np.int32]:
        """Ids of a completion -> int32 [n_frames, Q]; what is no audio is left out, and so is a frame that
        is incomplete at the end."""
        audio = [index - self.audio_offsets[0] for index in ids if self.is_audio(index)]
        return unflatten(audio, self.codebook_sizes, self.layout)

    def is_audio(self, index: int) -> bool:
        return self.audio_offsets[0] <= index < self._audio_end

    def audio_range(self, codebook: int) -> tuple[int, int]:
        """First id and the id after the last of one codebook."""
        first = self.audio_offsets[codebook]
        return first, first + self.codebook_sizes[codebook]

    def save(self, folder: Path) -> None:
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "tokenizer"}
        text = json.dumps(named, indent=2, ensure_ascii=False)
        (folder / TOKEN_MAP_FILE).write_text(text)

    @classmethod
    def load(cls, folder: Path) -> "TokenMap":
        raw = json.loads((folder / TOKEN_MAP_FILE).read_text())
        for name in ("audio_offsets", "codebook_sizes", "voices"):
            raw[name] = tuple(raw.get(name, ()))
        if raw["text_by"] == "tokenizer":
            from transformers import AutoTokenizer

            raw["tokenizer"] = AutoTokenizer.from_pretrained(folder)
        return cls(**raw)

    def _tokenized(self, text: str) -> list[int]:
        """Raises UnspeakableText, and so for tokens that the tokenizer takes for something else than text."""
        if not text.strip():
            raise UnspeakableText(text, [], "any text")
        read = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        ids: list[int] = read["input_ids"]
        if strange := sorted(set(ids) - self._writable):
            names = self.tokenizer.convert_ids_to_tokens(strange)
            raise UnspeakableText(text, names, "any text but marks and codes")
        return ids

    @cached_property
    def _writable(self) -> frozenset[int]:
        return frozenset(self.writable_ids())

    @cached_property
    def _audio_end(self) -> int:
        """The id after the last of audio: rows that only round the vocabulary up are none."""
        return self.audio_offsets[0] + vocabulary_size(self.codebook_sizes, self.layout)

    @cached_property
    def _letters(self) -> dict[int, str]:
        return {index: character for character, index in self.characters.items()}

    @cached_property
    def _tokenizer_ids(self) -> list[int]:
        """Ids of the tokenizer's own text tokens: below the marks and codes, which were added to it."""
        added = min(self.audio_offsets[0], self.asr)
        special = set(self.tokenizer.all_special_ids)
        return [index for index in range(added) if index not in special]


def nano_token_map(codec: CodecSpec, voices: tuple[str, ...] = ()) -> TokenMap:
    """Specials, then the alphabet, then the codebooks of the codec one after the other."""
    marks = {name.strip("<|>"): index for index, name in enumerate(SPECIALS) if name != "<unk>"}
    marks["end_think"] = marks.pop("/think")
    characters = {letter: len(SPECIALS) + index for index, letter in enumerate(ALPHABET)}
    offset, offsets = len(SPECIALS) + len(ALPHABET), list[int]()
    for size in codec.codebook_sizes:
        offsets.append(offset)
        offset += size
    return TokenMap(
        **marks,
        text_by="characters",
        characters=characters,
        audio_offsets=tuple(offsets),
        codebook_sizes=codec.codebook_sizes,
        layout="flat",
        carries="words",
        vocab_size=-(-offset // _ROW_MULTIPLE) * _ROW_MULTIPLE,
        voices=voices,
    )


def nano_tokenizer(tokens: TokenMap) -> Any:
    """The same vocabulary as a transformers tokenizer: one token per character or `<|a0_17|>` mark."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {name: index for index, name in enumerate(SPECIALS)} | tokens.characters
    for book, (offset, size) in enumerate(
        zip(tokens.audio_offsets, tokens.codebook_sizes, strict=True)
    ):
        vocabulary |= {audio_token(book, code): offset + code for code in range(size)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"<[^<>]*>|."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def audio_token(book: int, code: int) -> str:
    """How a code is written as a token."""
    return f"<|a{book}_{code}|>"
