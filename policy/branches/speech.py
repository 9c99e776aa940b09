"""What tts and realtime say: audio tokens, word by word with their text where the model's token map says so."""

import itertools
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trivox.platform.records import Segment, SegmentKind
from trivox.policy.vocabulary import TokenMap

# A word, with the directives before it: what holds from a word on stands with it.
_CHUNK = re.compile(r"(?:\s*\([^()]*\))*\s*[^\s()]+|\s*\([^()]*\)")


def chunks_of(text: str) -> list[str]:
    """The words of a text, each with the directives in front of it: "a (slow) b" -> ["a", "(slow) b"]."""
    return [" ".join(found.split()) for found in _CHUNK.findall(text)]


def chunk_ids(tokens: TokenMap, chunks: Sequence[str]) -> list[list[int]]:
    """Ids of each chunk, with the space that begins it."""
    return [tokens.text_ids(f" {chunk}") for chunk in chunks]


def speech_completion(
    tokens: TokenMap,
    codes: npt.NDArray[np.int32],
    chunks: Sequence[str] = (),
    frames: Sequence[int] = (),
) -> list[int]:
    """codes int32 [n_frames, Q], then the end; before the frames of each chunk stands its text where the model
    carries words. frames: how many belong to each chunk, n_frames in all."""
    audio = tokens.audio_ids(codes)
    if tokens.carries == "none":
        return [*audio, tokens.eos]
    depth, at, said = len(tokens.audio_offsets), 0, list[int]()
    for ids, count in zip(chunk_ids(tokens, chunks), frames, strict=True):
        said += ids + audio[at : at + count * depth]
        at += count * depth
    if at != len(audio):
        raise ValueError(f"the chunks have {at // depth} frames, the codes {len(audio) // depth}")
    return [*said, tokens.eos]


def speech_segments(tokens: TokenMap, ids: Sequence[int], chosen_text: bool) -> tuple[Segment, ...]:
    """The runs of reasoning, text and audio (the end token with it) in a completion.

    chosen_text: whether the model chose the words itself (realtime) or was given them (tts). What was given is no
    action: no loss covers it, but for the first token of each word, with which the model chose to go on.
    """
    segments: list[Segment] = []
    for kind, run in itertools.groupby(_kinds(tokens, ids)):
        begin = segments[-1].end if segments else 0
        end = begin + len(list(run))
        if kind is SegmentKind.TEXT and not chosen_text:
            segments += _given(begin, end)
        else:
            segments.append(Segment(kind, "assistant", begin, end, True))
    return tuple(segments)


def _given(begin: int, end: int) -> list[Segment]:
    first = Segment(SegmentKind.TEXT, "assistant", begin, begin + 1, begin > 0)
    rest = Segment(SegmentKind.TEXT, "assistant", begin + 1, end, False)
    return [first, rest] if end > begin + 1 else [first]


def _kinds(tokens: TokenMap, ids: Sequence[int]) -> list[SegmentKind]:
    kinds, thinking = list[SegmentKind](), False
    for token in ids:
        thinking = thinking or token == tokens.think
        if thinking:
            kinds.append(SegmentKind.REASONING)
        else:
            is_audio = tokens.is_audio(token) or token == tokens.eos
            kinds.append(SegmentKind.AUDIO if is_audio else SegmentKind.TEXT)
        thinking = thinking and token != tokens.end_think
    return kinds
