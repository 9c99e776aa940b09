"""The three operational regimes as token sequences: what each branch is given and what it may say."""

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from trivox.platform.records import Segment, SegmentKind
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
    """Which ids may follow at each step of a completion: the decoding constraint of a branch.

    allowed: bool [period, vocab_size]; the row of the n-th chosen token is n % period. given: ids that the
    completion carries at these steps without a choice, -1 where the model chooses; after its end it chooses.
    """

    allowed: npt.NDArray[np.bool_]
    given: tuple[int, ...] = ()

    @property
    def period(self) -> int:
        return len(self.allowed)

    def at(self, step: int) -> npt.NDArray[np.bool_]:
        """bool [vocab_size]: what may follow at this step, counted from 0."""
        if step < len(self.given) and self.given[step] >= 0:
            only = np.zeros(self.allowed.shape[1], np.bool_)
            only[self.given[step]] = True
            return only
        carried = self._given_before[min(step, len(self.given))]
        row: npt.NDArray[np.bool_] = self.allowed[(step - carried) % self.period]
        return row

    @cached_property
    def _given_before(self) -> list[int]:
        """How many tokens are given before each step, up to the end of `given`."""
        return list(itertools.accumulate((token >= 0 for token in self.given), initial=0))


def asr_constraint(tokens: TokenMap) -> Constraint:
    """Text or end."""
    allowed = np.zeros((1, tokens.vocab_size), np.bool_)
    allowed[0, [*tokens.characters.values(), tokens.eos]] = True
    return Constraint(allowed)


def tts_constraint(tokens: TokenMap, text: str = "") -> Constraint:
    """Codebook q at position q of each frame; the end only between frames; the text carried along."""
    depth = len(tokens.audio_offsets)
    allowed = np.zeros((depth, tokens.vocab_size), np.bool_)
    for book in range(depth):
        first, last = tokens.audio_range(book)
        allowed[book, first:last] = True
    allowed[0, tokens.eos] = True
    return Constraint(allowed, _carried(tokens, text))


def _carried(tokens: TokenMap, text: str) -> tuple[int, ...]:
    if not text or not tokens.text_block:
        return ()
    ids = tokens.text_ids(speakable(text))
    blocks = -(-len(ids) // tokens.text_block)
    chosen = [-1] * (blocks * tokens.frame_block * len(tokens.audio_offsets))
    return tuple(tokens.interleaved(ids, chosen))


def tts_completion(tokens: TokenMap, text: str, codes: npt.NDArray[np.int32]) -> list[int]:
    """What the tts branch says for codes int32 [n_frames, Q] of the text: both interleaved, then the end."""
    carried = tokens.interleaved(tokens.text_ids(speakable(text)), tokens.audio_ids(codes))
    return [*carried, tokens.eos]


def tts_segments(tokens: TokenMap, ids: list[int]) -> tuple[Segment, ...]:
    """The runs of carried text and of audio (the end token with it) in a tts completion; a loss covers audio."""
    carried = set(tokens.characters.values())
    segments: list[Segment] = []
    for is_text, run in itertools.groupby(ids, lambda token: token in carried):
        begin = segments[-1].end if segments else 0
        kind = SegmentKind.TEXT if is_text else SegmentKind.AUDIO
        segments.append(Segment(kind, "assistant", begin, begin + len(list(run)), not is_text))
    return tuple(segments)
