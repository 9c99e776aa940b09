"""One reply or utterance as it grows: its frames decoded in chunks, its words with the place where they begin."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trivox.policy.codec import Codec
from trivox.policy.streaming.codes import CodeReader
from trivox.policy.vocabulary import TokenMap

Wave = npt.NDArray[np.float32]
_UNFINISHED = "\ufffd"
"""What a tokenizer reads in a character of which some bytes are still to come."""


@dataclass(frozen=True)
class Piece:
    """What one token brought: samples float32 [n] at the codec's rate, often none; text that goes on the words so
    far, often ""."""

    samples: Wave
    text: str = ""


@dataclass(frozen=True)
class Word:
    """text that goes on the words before it, and the frame that its audio begins with."""

    text: str
    frame: int


class SpeechStream:
    """Samples and words of one completion while its tokens come.

    All samples, with those of `flush`, are those of `codec.decode(tokens.read_codes(ids))`, bit for bit: that is
    the same stream, drained. Hidden reasoning is neither said nor heard; it is kept in `thought`.
    """

    def __init__(self, tokens: TokenMap, codec: Codec, thinks: bool = False) -> None:
        """thinks: the completion begins with hidden reasoning."""
        self.tokens, self.codec = tokens, codec
        self.frames, self.words = 0, list[Word]()
        self.ids, self._spoken, self._thinks = list[int](), list[int](), thinks
        self._reader, self._stream = CodeReader(tokens), codec.stream()

    @property
    def text(self) -> str:
        """The words so far."""
        return "".join(word.text for word in self.words)

    @property
    def thought(self) -> str:
        return self.tokens.read_text(self.ids[: len(self.ids) - len(self._spoken)])

    @property
    def seconds(self) -> float:
        """Of the audio that the frames so far make, decoded or not."""
        return self.frames / self.codec.spec.frame_rate

    def push(self, token: int) -> Piece:
        """Take a token of the completion."""
        self.ids.append(token)
        if self._thinks:
            self._thinks = token != self.tokens.end_think
            return Piece(_none())
        self._spoken.append(token)
        codes = self._reader.push(token)
        if self.tokens.is_audio(token):
            self.frames += len(codes)
            return Piece(self._stream.push(codes) if len(codes) else _none())
        return Piece(_none(), self._said())

    def flush(self) -> Wave:
        """The samples that are left, after the last token; the stream takes no more."""
        return self._stream.flush()

    def said_until(self, seconds: float) -> str:
        """The words whose audio has begun when `seconds` of it have been played: what was heard of them."""
        played = seconds * self.codec.spec.frame_rate
        return "".join(word.text for word in self.words if word.frame < played).strip()

    def _said(self) -> str:
        """What the last token adds to the words."""
        before, now = self.text, self.tokens.read_text(self._spoken)
        if now.endswith(_UNFINISHED) or not now.startswith(before):
            return ""
        new = now[len(before) :]
        if new:
            self.words.append(Word(new, self.frames))
        return new


def _none() -> Wave:
    return np.zeros(0, np.float32)
