"""A token map whose text is by a tokenizer, as a language model that users bring has it."""

from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from trivox.policy.vocabulary import MARKS, TokenMap, audio_token

WORDS = ["turn on the light in the kitchen", "Wait, it's 10 o'clock! Café? naïve"]
BOOKS = 2
ENTRIES = 4


def byte_tokenizer(special: bool = True) -> Any:
    """Byte-level BPE: <pad> 0, <eos> 1, the 256 bytes, some merges; then marks and codes as added tokens, codes
    special or not."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(WORDS, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>")
    made.add_tokens([*(f"<|{mark}|>" for mark in MARKS), "<|/think|>"], special_tokens=True)
    made.add_tokens(
        [audio_token(book, code) for book in range(BOOKS) for code in range(ENTRIES)],
        special_tokens=special,
    )
    return made


def tokenizer_map(special: bool = True) -> TokenMap:
    tokenizer = byte_tokenizer(special)
    marks = {mark: tokenizer.convert_tokens_to_ids(f"<|{mark}|>") for mark in MARKS}
    first = tokenizer.convert_tokens_to_ids(audio_token(0, 0))
    return TokenMap(
        pad=0,
        eos=1,
        **marks,
        end_think=tokenizer.convert_tokens_to_ids("<|/think|>"),
        text_by="tokenizer",
        characters={},
        audio_offsets=(first, first + ENTRIES),
        codebook_sizes=(ENTRIES,) * BOOKS,
        layout="flat",
        carries="words",
        vocab_size=first + BOOKS * ENTRIES,
        tokenizer=tokenizer,
    )
