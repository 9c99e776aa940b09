"""The three operational regimes as token sequences: what each branch is given and what it may say."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trivox.policy.text import speakable
from trivox.policy.vocabulary import TokenMap


def asr_prompt(tokens: TokenMap, codes: npt.NDArray[np.int32]) -> list[int]:
    """`<|asr|> <|audio|> codes <|text|>`; codes int32 [n_frames, Q], of which the asr branch reads the first."""
    heard = tokens.audio_ids(codes, tokens.asr_codebooks)
    return [tokens.asr, tokens.audio, *heard, tokens.text]


def tts_prompt(tokens: TokenMap, text: str) -> list[int]:
    """`<|tts|> <|text|> characters <|audio|>`, of the text as `speakable` writes it; raises UnspeakableText."""
    return [tokens.tts, tokens.text, *tokens.text_ids(speakable(text)), tokens.audio]


@dataclass(frozen=True)
class Constraint:
    """Which ids may follow at position `step` of a completion: the decoding constraint of a branch.

    allowed: bool [period, vocab_size]; the row for a step is step % period.
    """

    allowed: npt.NDArray[np.bool_]

    @property
    def period(self) -> int:
        return len(self.allowed)


def asr_constraint(tokens: TokenMap) -> Constraint:
    """Text or end."""
    allowed = np.zeros((1, tokens.vocab_size), np.bool_)
    allowed[0, [*tokens.characters.values(), tokens.eos]] = True
    return Constraint(allowed)


def tts_constraint(tokens: TokenMap) -> Constraint:
    """Codebook q at position q of each frame; the end only between frames."""
    depth = len(tokens.audio_offsets)
    allowed = np.zeros((depth, tokens.vocab_size), np.bool_)
    for book in range(depth):
        first, last = tokens.audio_range(book)
        allowed[book, first:last] = True
    allowed[0, tokens.eos] = True
    return Constraint(allowed)
