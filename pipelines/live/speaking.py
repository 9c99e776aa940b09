"""`/v1/audio/speech`: an utterance as bytes, while it is being spoken."""

import asyncio
import struct
from collections.abc import AsyncIterator

import numpy as np

from trivox.pipelines.live.hub import Hub, Version
from trivox.pipelines.live.pcm import RateChange, to_pcm16
from trivox.platform.errors import WorkError
from trivox.policy.engine import Drawn, Request
from trivox.policy.streaming import Piece, SpeechStream

RATE = 24_000
"""Hz of what leaves: what clients of this API take headerless PCM for."""
_UNKNOWN = 0xFFFFFFFF


class Spoken:
    """The audio of one request as it comes. Use it from the loop that it was made in."""

    def __init__(self, hub: Hub, version: Version, request: Request) -> None:
        """Raises Busy."""
        speaker = version.speaker
        codec = speaker.backbone.codec
        self.hub, self._loop = hub, asyncio.get_running_loop()
        self._stream = SpeechStream(speaker.tokens, codec)
        self._change = RateChange(codec.spec.sample_rate, RATE)
        # As many as the request has tokens, at most: not more than its sampling allows.
        self._pieces: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._ticket = hub.draw(version, request, self._take)

    async def pcm(self) -> AsyncIterator[bytes]:
        """16-bit PCM at RATE; leaving early cancels the request. Raises what the engine raised, and WorkError
        where nothing was said."""
        sounded = False
        try:
            while (piece := await self._pieces.get()) is not None:
                if isinstance(piece, Exception):
                    raise piece
                sounded = True
                yield piece
            if not sounded:
                raise WorkError("the policy said nothing for this text: try another seed")
        finally:
            self.hub.cancel(self._ticket)

    def _take(self, drawn: Drawn) -> None:
        if drawn.error is not None:
            self._put(drawn.error)
            return
        last = drawn.finish_reason is not None
        piece = self._stream.push(drawn.token)
        if last:
            piece = Piece(np.concatenate([piece.samples, self._stream.flush()]))
        if len(piece.samples):
            self._put(to_pcm16(self._change.push(piece.samples, last)))
        if last:
            self._put(None)

    def _put(self, item: bytes | Exception | None) -> None:
        if item != b"":
            try:
                self._loop.call_soon_threadsafe(self._pieces.put_nowait, item)
            except RuntimeError:  # the loop has ended, and with it whoever would read
                return


def wav_header(rate: int = RATE) -> bytes:
    """Of a WAV file of 16-bit PCM, mono, whose length is not known yet, as programs write it to a pipe."""
    riff = struct.pack("<4sI4s", b"RIFF", _UNKNOWN, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return riff + form + struct.pack("<4sI", b"data", _UNKNOWN)


async def begun(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same parts, once the first is there: an error before it is raised here, where it can still be an answer
    with a status of its own."""
    first = await anext(parts)

    async def all_parts() -> AsyncIterator[bytes]:
        try:
            yield first
            async for part in parts:
                yield part
        finally:
            await parts.aclose()  # type: ignore[attr-defined]  # an async generator

    return all_parts()
