"""The speech of one request, piece by piece, from an engine that is stepped."""

from collections.abc import Iterator

from trivox.policy.engine import InProcessEngine, Request
from trivox.policy.streaming.speech import Piece, SpeechStream


def stream_of(engine: InProcessEngine, request: Request, stream: SpeechStream) -> Iterator[Piece]:
    """The pieces of a request as they come, a piece for each token, and the flushed rest last.

    Leaving early cancels the request. Raises as `InProcessEngine.submit`, and the error of a request that fails.
    The engine may have other requests under way, whose tokens are lost here.
    """
    key = object()
    engine.submit(key, request)
    try:
        ended = False
        while not ended:
            for drawn in engine.step():
                if drawn.key is not key:
                    continue
                if drawn.error is not None:
                    raise drawn.error
                yield stream.push(drawn.token)
                ended = drawn.finish_reason is not None
        yield Piece(stream.flush())
    finally:
        engine.cancel(key)
