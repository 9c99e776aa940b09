"""What a session tells, as server events of the socket."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np

from trivox.pipelines.live.events import (
    LiveEvent,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    Truncated,
    UserStarted,
    UserStopped,
    UserTurn,
)
from trivox.pipelines.live.pcm import RateChange, to_pcm16
from trivox.pipelines.live.wire import BadEvent
from trivox.platform.errors import Busy, TrivoxError, UsageError
from trivox.platform.records import FinishReason

Event = dict[str, Any]
STATUS = {
    FinishReason.END: "completed",
    FinishReason.LENGTH: "incomplete",
    FinishReason.INTERRUPTED: "cancelled",
    FinishReason.FAILED: "failed",
}


class Teller:
    """Writes server events, numbered. rate: Hz of the codec; target: Hz that the client asked for."""

    def __init__(self, session: str, rate: int, target: int) -> None:
        self.session, self.rate, self.target = session, rate, target
        self._count = 0
        self._change: RateChange | None = None
        self._started: str | None = None

    def event(self, kind: str, **fields: Any) -> Event:
        self._count += 1
        return {"type": kind, "event_id": f"event_{self.session}_{self._count}", **fields}

    def error(self, error: TrivoxError) -> Event:
        code = error.code if isinstance(error, BadEvent) else type(error).__name__
        kind = "invalid_request_error" if isinstance(error, UsageError) else "server_error"
        told = {
            "type": "rate_limit_error" if isinstance(error, Busy) else kind,
            "code": code,
            "message": str(error),
            "param": error.param if isinstance(error, BadEvent) else None,
            "event_id": (error.event or None) if isinstance(error, BadEvent) else None,
        }
        return self.event("error", error=told)

    def tell(self, event: LiveEvent) -> Iterator[Event]:
        if isinstance(event, UserStarted):
            at = round(1000 * event.at_s)
            yield self.event(
                "input_audio_buffer.speech_started", item_id=event.item, audio_start_ms=at
            )
        elif isinstance(event, UserStopped):
            at = round(1000 * event.at_s)
            yield self.event(
                "input_audio_buffer.speech_stopped", item_id=event.item, audio_end_ms=at
            )
        elif isinstance(event, UserTurn):
            yield from self._turn(event)
        elif isinstance(event, Truncated):
            yield self.event(
                "conversation.item.truncated",
                item_id=event.item,
                content_index=0,
                audio_end_ms=round(1000 * event.heard_s),
                transcript=event.text,
            )
        else:
            yield from self._reply(event)

    def _turn(self, event: UserTurn) -> Iterator[Event]:
        if event.samples is not None:
            yield self.event(
                "input_audio_buffer.committed", item_id=event.item, previous_item_id=event.before
            )
            content: Event = {"type": "input_audio", "transcript": None}
        else:
            content = {"type": "input_text", "text": event.text}
        item = _item(event.item, "user", "completed", content)
        for kind in ("conversation.item.added", "conversation.item.done"):
            yield self.event(kind, previous_item_id=event.before, item=item)

    def _reply(self, event: ReplyStarted | ReplyText | ReplyAudio | ReplyDone) -> Iterator[Event]:
        part = {
            "response_id": event.reply,
            "item_id": event.item,
            "output_index": 0,
            "content_index": 0,
        }
        if isinstance(event, ReplyStarted):
            yield from self._began(event, part)
        elif isinstance(event, ReplyText):
            yield self.event("response.output_audio_transcript.delta", **part, delta=event.text)
        elif isinstance(event, ReplyAudio):
            assert self._change is not None  # a reply that began
            yield from self._audio(part, self._change.push(event.samples))
        elif self._started != event.reply:
            assert event.error is not None  # one that never began has failed
            yield self.error(event.error)
        else:
            yield from self._ended(event, part)

    def _began(self, event: ReplyStarted, part: Event) -> Iterator[Event]:
        self._started, self._change = event.reply, RateChange(self.rate, self.target)
        item = _item(event.item, "assistant", "in_progress")
        yield self.event("response.created", response=_response(event.reply, "in_progress"))
        yield self.event(
            "response.output_item.added", response_id=event.reply, output_index=0, item=item
        )
        yield self.event("conversation.item.added", previous_item_id=event.before, item=item)
        yield self.event(
            "response.content_part.added", **part, part={"type": "audio", "transcript": ""}
        )

    def _audio(self, part: Event, samples: Any) -> Iterator[Event]:
        if len(samples):
            delta = base64.b64encode(to_pcm16(samples)).decode()
            yield self.event("response.output_audio.delta", **part, delta=delta)

    def _ended(self, event: ReplyDone, part: Event) -> Iterator[Event]:
        assert self._change is not None  # a reply that began

        if event.reason is not FinishReason.INTERRUPTED:
            rest = self._change.push(np.zeros(0, np.float32), last=True)
            yield from self._audio(part, rest)
        self._started = None
        done = "completed" if event.reason is FinishReason.END else "incomplete"
        content = {"type": "output_audio", "transcript": event.text}
        item = _item(event.item, "assistant", done, content)
        yield self.event("response.output_audio.done", **part)
        yield self.event("response.output_audio_transcript.done", **part, transcript=event.text)
        yield self.event(
            "response.content_part.done", **part, part={"type": "audio", "transcript": event.text}
        )
        yield self.event(
            "response.output_item.done", response_id=event.reply, output_index=0, item=item
        )
        yield self.event("conversation.item.done", previous_item_id=None, item=item)
        yield self.event("response.done", response=self._done(event, item))

    def _done(self, event: ReplyDone, item: Event) -> Event:
        status = STATUS[event.reason]
        details: Event = {"type": status}
        if event.reason is FinishReason.LENGTH:
            details["reason"] = "max_output_tokens"
        elif event.reason is FinishReason.INTERRUPTED:
            details["reason"] = event.cause
        elif event.error is not None:
            details["error"] = self.error(event.error)["error"]
        return _response(event.reply, status) | {
            "status_details": None if status == "completed" else details,
            "output": [item],
            "usage": {"output_tokens": event.tokens},
            "timings": event.timings,
        }


def _item(id: str, role: str, status: str, *content: Event) -> Event:
    return {
        "id": id,
        "object": "realtime.item",
        "type": "message",
        "role": role,
        "status": status,
        "content": list(content),
    }


def _response(id: str, status: str) -> Event:
    return {
        "id": id,
        "object": "realtime.response",
        "status": status,
        "status_details": None,
        "output": [],
        "output_modalities": ["audio"],
    }
