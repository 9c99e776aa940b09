"""Speech while it is still being generated: tokens in, samples and words out."""

from trivox.policy.streaming.codes import CodeReader
from trivox.policy.streaming.speech import Piece, SpeechStream, Word
from trivox.policy.streaming.stepping import stream_of

__all__ = ["CodeReader", "Piece", "SpeechStream", "Word", "stream_of"]
