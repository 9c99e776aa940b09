"""One vocabulary for text and audio tokens, and the map that says which id is what."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import UnspeakableText
from trivox.policy.codec.interface import CodecSpec

TOKEN_MAP_FILE = "token_map.json"
SPECIALS = (
    "<pad>",
    "<eos>",
    "<unk>",
    "<|asr|>",
    "<|tts|>",
    "<|realtime|>",
    "<|text|>",
    "<|audio|>",
)
ALPHABET = " abcdefghijklmnopqrstuvwxyz'"
# Row counts that are a multiple of 32 let matrix products use whole tiles.
_ROW_MULTIPLE = 32


@dataclass(frozen=True)
class TokenMap:
    """Which ids are text, which are audio, and how codes are laid out in a sequence.

    text_block and frame_block: a tts completion carries its text along, text_block characters before every
    frame_block frames while there are any (as CosyVoice 2 does for streams, Du et al. 2024, section 2.3): what
    is being said then stands near, and reading it does not have to be found out. 0 for none.

    layout "flat": frame by frame, all codebooks of a frame before the next frame, codebook q at
    audio_offsets[q] + code. asr_codebooks: how many of the codebooks the asr branch reads.
    """

    pad: int
    eos: int
    asr: int
    tts: int
    realtime: int
    text: int
    audio: int
    characters: dict[str, int]
    audio_offsets: tuple[int, ...]
    codebook_sizes: tuple[int, ...]
    layout: str
    asr_codebooks: int
    text_block: int
    frame_block: int
    vocab_size: int

    def text_ids(self, text: str) -> list[int]:
        """Ids of a text in the model's alphabet.

        Raises UnspeakableText, naming the characters, for a text that is empty or outside the alphabet.
        """
        strange = sorted(set(text) - self.characters.keys())
        if strange or not text.strip():
            raise UnspeakableText(text, strange, "".join(self.characters))
        return [self.characters[character] for character in text]

    def read_text(self, ids: list[int]) -> str:
        """The text of the ids; ids that are no text are left out."""
        letters = {index: character for character, index in self.characters.items()}
        return "".join(letters.get(index, "") for index in ids).strip()

    def audio_ids(self, codes: npt.NDArray[np.int32], codebooks: int | None = None) -> list[int]:
        """int32 [n_frames, Q] -> flat ids of the first `codebooks` codebooks (all of them by default)."""
        chosen = codes[:, :codebooks]
        offsets = np.array(self.audio_offsets[: chosen.shape[1]])
        flat: list[int] = (chosen + offsets).reshape(-1).tolist()
        return flat

    def interleaved(self, text: list[int], audio: list[int]) -> list[int]:
        """Flat audio ids with the text ids among them, as a tts completion carries them along."""
        if not self.text_block:
            return audio
        size = self.frame_block * len(self.audio_offsets)
        blocks: list[int] = []
        for block in range(-(-len(audio) // size)):
            blocks += text[block * self.text_block : (block + 1) * self.text_block]
            blocks += audio[block * size : (block + 1) * size]
        return blocks

    def read_codes(self, ids: list[int]) -> npt.NDArray[np.int32]:
        """Ids of a tts completion -> int32 [n_frames, Q]; what is no audio is left out, and so is a frame that
        is incomplete at the end."""
        depth, first = len(self.audio_offsets), self.audio_offsets[0]
        ids = [index for index in ids if index >= first]
        whole = len(ids) - len(ids) % depth
        offsets = np.array(self.audio_offsets, np.int32)
        return np.array(ids[:whole], np.int32).reshape(-1, depth) - offsets

    def audio_range(self, codebook: int) -> tuple[int, int]:
        """First id and the id after the last of one codebook."""
        first = self.audio_offsets[codebook]
        return first, first + self.codebook_sizes[codebook]

    def save(self, folder: Path) -> None:
        (folder / TOKEN_MAP_FILE).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path) -> "TokenMap":
        raw = json.loads((folder / TOKEN_MAP_FILE).read_text())
        for name in ("audio_offsets", "codebook_sizes"):
            raw[name] = tuple(raw[name])
        return cls(**raw)


def nano_token_map(codec: CodecSpec) -> TokenMap:
    """Specials, then the alphabet, then the codebooks of the codec one after the other."""
    characters = {letter: len(SPECIALS) + index for index, letter in enumerate(ALPHABET)}
    offset, offsets = len(SPECIALS) + len(ALPHABET), []
    for size in codec.codebook_sizes:
        offsets.append(offset)
        offset += size
    names = {name.strip("<|>"): index for index, name in enumerate(SPECIALS) if name != "<unk>"}
    return TokenMap(
        **names,
        characters=characters,
        audio_offsets=tuple(offsets),
        codebook_sizes=codec.codebook_sizes,
        layout="flat",
        asr_codebooks=1,
        text_block=2,
        frame_block=3,
        vocab_size=-(-offset // _ROW_MULTIPLE) * _ROW_MULTIPLE,
    )


def nano_tokenizer(tokens: TokenMap) -> Any:
    """The same vocabulary as a transformers tokenizer: one token per character or `<|a0_17|>` mark."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {name: index for index, name in enumerate(SPECIALS)} | tokens.characters
    for book, (offset, size) in enumerate(
        zip(tokens.audio_offsets, tokens.codebook_sizes, strict=True)
    ):
        vocabulary |= {f"<|a{book}_{code}|>": offset + code for code in range(size)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"<[^<>]*>|."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
