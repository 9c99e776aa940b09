"""One WebSocket: events of the client to a session, what the session tells to the client, and an end for both."""

import asyncio
import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from ulid import ULID

from trivox.pipelines.live.access import SUBPROTOCOL, subprotocols
from trivox.pipelines.live.config import SocketConfig, updated, with_persona
from trivox.pipelines.live.events import ReplyAudio, UserTurn
from trivox.pipelines.live.hub import Version
from trivox.pipelines.live.live import Live
from trivox.pipelines.live.pcm import from_pcm16
from trivox.pipelines.live.recognising import transcript_of
from trivox.pipelines.live.sending import Outbox
from trivox.pipelines.live.session import LiveSession, LiveSettings
from trivox.pipelines.live.telling import Event, Teller
from trivox.pipelines.live.wire import (
    Append,
    BadEvent,
    Clear,
    ClientEvent,
    Commit,
    ItemCreate,
    ResponseCancel,
    ResponseCreate,
    SessionUpdate,
    Truncate,
    parse,
)
from trivox.platform.errors import TrivoxError, UsageError

POLICY_VIOLATION, TRY_AGAIN, NORMAL, SERVER_ERROR = 1008, 1013, 1000, 1011
CLOSE_S = 5.0
"""For a close frame to leave: a client that reads nothing until then gets none, the connection ends without."""


class Place:
    """One of the sockets that may be open. closing: why it is about to be closed, "" until then."""

    def __init__(self) -> None:
        self.closing = ""


class Closing(Exception):
    """The socket is to be closed, with a code and a reason that a person can read."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


async def converse(socket: WebSocket, live: Live, model: str) -> None:
    """Serve a socket from its acceptance to its close; nothing of it is left afterwards."""
    asked = subprotocols(socket)
    await socket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in asked else None)
    place = Place()
    if len(live.sockets) >= live.limits.sessions:
        full = f"{live.limits.sessions} sessions are open, the most at once: try again later"
        await _close(socket, Closing(TRY_AGAIN, full))
        return
    live.sockets.add(place)
    try:
        conversation = await _opened(socket, live, model)
        if conversation is not None:
            await conversation.run(place)
    finally:
        live.sockets.discard(place)


async def _opened(socket: WebSocket, live: Live, model: str) -> "Conversation | None":
    try:
        version = await run_in_threadpool(live.hub.version, model)
        persona = await run_in_threadpool(live.find_persona, live.persona)
        config = with_persona(SocketConfig(LiveSettings("")), persona, version.resident.backbone)
    except TrivoxError as error:
        await _close(socket, Closing(POLICY_VIOLATION, str(error)))
        return None
    return Conversation(socket, live, version, config)


class Conversation:
    """A socket with its session."""

    def __init__(
        self, socket: WebSocket, live: Live, version: Version, config: SocketConfig
    ) -> None:
        self.socket, self.live, self.version, self.config = socket, live, version, config
        self.id, self._bad = str(ULID()), 0
        self.outbox = Outbox(live.limits.lead_s)
        self.session = LiveSession(
            live.hub, version, config.settings, self.outbox.put, self.id, keeper=live.keeper
        )
        self._rate = version.resident.backbone.codec.spec.sample_rate
        self.teller = Teller(self.id, self._rate, config.output_rate)
        self._writing: set[asyncio.Task[None]] = set()

    async def run(self, place: Place) -> None:
        """Until the client goes, or has to."""
        tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._send())]
        try:
            done, _ = await asyncio.wait(
                tasks,
                timeout=self.live.limits.session_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            closing = Closing(
                NORMAL, f"the session lasted {self.live.limits.session_s:g} s, the most"
            )
            for task in done:
                closing = _why(task)
        finally:
            for task in [*tasks, *self._writing]:
                task.cancel()
            await asyncio.gather(*tasks, *self._writing, return_exceptions=True)
            await run_in_threadpool(self.session.close)
        place.closing = closing.reason
        await _close(self.socket, closing)

    async def _receive(self) -> None:
        self._tell("session.created", session=self._shown())
        idle = self.live.limits.idle_s
        while True:
            try:
                # Not asyncio.wait_for: that of Python 3.11 may swallow a cancellation.
                async with asyncio.timeout(idle):
                    message = await self.socket.receive()
            except TimeoutError:
                raise Closing(POLICY_VIOLATION, f"idle for {idle:g} s") from None
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", NORMAL))
            if self.outbox.waiting > self.live.limits.queue:
                raise Closing(TRY_AGAIN, f"{self.outbox.waiting} events wait for you: read faster")
            try:
                await self._take(_text(message))
            except BadEvent as error:
                self._refuse(error)
            except TrivoxError as error:
                self.outbox.put(self.teller.error(error))

    def _refuse(self, error: BadEvent) -> None:
        self._bad += 1
        self.outbox.put(self.teller.error(error))
        if self._bad >= self.live.limits.bad_frames:
            raise Closing(POLICY_VIOLATION, f"{self._bad} frames that are no events: {error}")

    async def _take(self, text: str) -> None:
        event = parse(text)
        if isinstance(event, Append):
            wave = from_pcm16(event.pcm())
            await run_in_threadpool(self.session.hear, wave, self.config.input_rate)
        elif isinstance(event, SessionUpdate):
            await self._update(event)
        else:
            await run_in_threadpool(self._act, event)

    def _act(self, event: ClientEvent) -> None:
        session = self.session
        if isinstance(event, Commit):
            session.commit()
        elif isinstance(event, Clear):
            session.clear()
            self._tell("input_audio_buffer.cleared")
        elif isinstance(event, ItemCreate):
            session.say(" ".join(part.text for part in event.item.content))
        elif isinstance(event, Truncate):
            session.truncate(event.item_id, event.audio_end_ms / 1000)
        elif isinstance(event, ResponseCreate):
            session.respond(self._for_one(event))
        elif isinstance(event, ResponseCancel) and not session.cancel():
            raise UsageError("no response is under way: there is nothing to cancel")

    def _for_one(self, event: ResponseCreate) -> LiveSettings:
        fields = event.response
        return (self._updated(fields) if fields is not None else self.config).settings

    def _updated(self, fields: Any) -> SocketConfig:
        backbone = self.version.resident.backbone
        return updated(self.config, fields, backbone, self.live.find_persona)

    async def _update(self, event: SessionUpdate) -> None:
        self.config = await run_in_threadpool(self._updated, event.session)
        await run_in_threadpool(self.session.configure, self.config.settings)
        self.teller.target = self.config.output_rate
        self._tell("session.updated", session=self._shown())

    async def _send(self) -> None:
        async for event in self.outbox.events(self.session):
            if isinstance(event, dict):
                await self._frame(event)
                continue
            for told in self.teller.tell(event):
                await self._frame(told)
            if isinstance(event, ReplyAudio):
                self.session.sent(event.item, len(event.samples) / self._rate)
            if isinstance(event, UserTurn) and self.config.transcribes:
                self._write_down(event)

    async def _frame(self, event: Event) -> None:
        stall = self.live.limits.stall_s
        try:
            async with asyncio.timeout(stall):
                await self.socket.send_text(json.dumps(event))
        except TimeoutError:
            raise Closing(TRY_AGAIN, f"nothing was read for {stall:g} s: read faster") from None

    def _write_down(self, event: UserTurn) -> None:
        """Transcribe a turn beside the conversation."""
        if event.samples is None:
            return
        task = asyncio.create_task(self._transcribe(event))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _transcribe(self, event: UserTurn) -> None:
        assert event.samples is not None  # `_write_down` holds that
        kind = "conversation.item.input_audio_transcription"
        where = {"item_id": event.item, "content_index": 0}
        try:
            text = await transcript_of(self.live.hub, self.version, event.samples)
            self._tell(f"{kind}.completed", **where, transcript=text)
        except TrivoxError as error:
            self._tell(f"{kind}.failed", **where, error=self.teller.error(error)["error"])

    def _tell(self, kind: str, **fields: Any) -> None:
        self.outbox.put(self.teller.event(kind, **fields))

    def _shown(self) -> Event:
        return self.config.shown(self.id, self.version.policy.name)


def _text(message: Any) -> str:
    text = message.get("text")
    if text is None:
        raise BadEvent("a binary frame: send events as text, audio in base64", "invalid_frame")
    return str(text)


def _why(task: "asyncio.Task[None]") -> Closing:
    error = task.exception()
    if isinstance(error, Closing):
        return error
    if isinstance(error, WebSocketDisconnect):
        return Closing(NORMAL, "the client has gone")
    raise error or RuntimeError("a task of a socket ended by itself")


async def _close(socket: WebSocket, closing: Closing) -> None:
    """At most CLOSE_S; a frame's reason has at most 123 bytes (RFC 6455, section 5.5)."""
    if socket.client_state is not WebSocketState.CONNECTED:
        return
    if socket.application_state is not WebSocketState.CONNECTED:
        return
    reason = closing.reason.encode()[:123].decode(errors="ignore")
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close(closing.code, reason)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        return
