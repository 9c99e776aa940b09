"""Events on their way to one client: in order, audio not far ahead of its playing, and counted."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from trivox.pipelines.live.events import LiveEvent, ReplyAudio, ReplyDone, ReplyStarted, ReplyText
from trivox.pipelines.live.session import LiveSession
from trivox.pipelines.live.telling import Event

_STEP_S = 0.02
_OF_REPLY = (ReplyStarted, ReplyText, ReplyAudio, ReplyDone)


class Outbox:
    """Two lanes: what a reply says waits until the listener is near; everything else goes first.

    Filled from any thread, emptied by one task of the loop that it was made in.
    """

    def __init__(self, lead_s: float) -> None:
        self.lead_s = lead_s
        self._first: deque[LiveEvent | Event] = deque()
        self._reply: deque[LiveEvent] = deque()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def put(self, event: LiveEvent | Event) -> None:
        """From any thread."""
        lane = self._reply if isinstance(event, _OF_REPLY) else self._first
        lane.append(event)  # type: ignore[arg-type]  # events of a reply are no dicts
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:  # the loop has ended, and with it whoever would read
            return

    @property
    def waiting(self) -> int:
        return len(self._first) + len(self._reply)

    async def events(self, session: LiveSession) -> AsyncIterator[LiveEvent | Event]:
        """What is due, for ever."""
        while True:
            self._changed.clear()
            if self._first:
                yield self._first.popleft()
            elif self._reply and self._wait_s(session) == 0:
                if (event := self._next(session)) is not None:
                    yield event
            else:
                await self._pause(_STEP_S if self._reply else None)

    def _wait_s(self, session: LiveSession) -> float:
        event = self._reply[0]
        if not isinstance(event, ReplyAudio):
            return 0
        ahead = session.ahead_s(event.item)
        return 0 if ahead is None else max(0.0, ahead - self.lead_s)

    def _next(self, session: LiveSession) -> LiveEvent | None:
        """The next event; words that follow each other are put together, audio of a reply that was broken off is
        dropped."""
        event = self._reply.popleft()
        if isinstance(event, ReplyAudio) and session.ahead_s(event.item) is None:
            return None
        while isinstance(event, ReplyText) and self._reply:
            after = self._reply[0]
            if not isinstance(after, ReplyText) or after.item != event.item:
                break
            event = ReplyText(event.reply, event.item, event.text + after.text)
            self._reply.popleft()
        return event

    async def _pause(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
