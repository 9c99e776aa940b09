"""Client events of the socket, in the names of OpenAI's realtime API (the general-availability ones).

What is known is checked; fields that mean nothing here are left aside, and `session.updated` shows what holds.
"""

import base64
import binascii
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from trivox.platform.errors import UsageError


class BadEvent(UsageError):
    """A frame that is no event that is known. code, param: as the API's errors have them."""

    def __init__(self, message: str, code: str, param: str | None = None, event: str = "") -> None:
        super().__init__(message)
        self.code, self.param, self.event = code, param, event


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PcmFormat(_Wire):
    type: Literal["audio/pcm"]
    rate: int = Field(24_000, ge=8_000, le=48_000)


class ServerVad(_Wire):
    type: Literal["server_vad"] = "server_vad"
    threshold: float = Field(0.5, gt=0, lt=1)
    prefix_padding_ms: int = Field(300, ge=0, le=2_000)
    silence_duration_ms: int = Field(500, ge=32, le=10_000)
    create_response: bool = True
    interrupt_response: bool = True


class Transcription(_Wire):
    model: str | None = None


class AudioInput(_Wire):
    format: PcmFormat | None = None
    turn_detection: ServerVad | None = None
    transcription: Transcription | None = None


class AudioOutput(_Wire):
    format: PcmFormat | None = None
    voice: str | None = None


class AudioFields(_Wire):
    input: AudioInput | None = None
    output: AudioOutput | None = None


class SessionFields(_Wire):
    """persona, seed and reasoning are Trivox's own."""

    type: Literal["realtime"] = "realtime"
    instructions: str | None = Field(None, max_length=2_000)
    audio: AudioFields | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    max_output_tokens: Annotated[int, Field(ge=1, le=4_096)] | Literal["inf"] | None = None
    persona: str | None = Field(None, max_length=200)
    seed: int | None = None
    reasoning: bool | None = None


class _Event(_Wire):
    event_id: str = Field("", max_length=200)


class SessionUpdate(_Event):
    type: Literal["session.update"]
    session: SessionFields


class Append(_Event):
    type: Literal["input_audio_buffer.append"]
    audio: str

    def pcm(self) -> bytes:
        """Raises BadEvent for what is not base64."""
        try:
            return base64.b64decode(self.audio, validate=True)
        except (binascii.Error, ValueError):
            raise BadEvent(
                "audio is not base64: encode 16-bit PCM", "invalid_value", "audio", self.event_id
            ) from None


class Commit(_Event):
    type: Literal["input_audio_buffer.commit"]


class Clear(_Event):
    type: Literal["input_audio_buffer.clear"]


class InputText(_Wire):
    type: Literal["input_text"]
    text: str = Field(min_length=1, max_length=4_096)


class Message(_Wire):
    type: Literal["message"]
    role: Literal["user"]
    content: tuple[InputText, ...] = Field(min_length=1, max_length=16)


class ItemCreate(_Event):
    type: Literal["conversation.item.create"]
    item: Message


class Truncate(_Event):
    type: Literal["conversation.item.truncate"]
    item_id: str = Field(max_length=200)
    content_index: int = 0
    audio_end_ms: int = Field(ge=0)


class ResponseCreate(_Event):
    type: Literal["response.create"]
    response: SessionFields | None = None


class ResponseCancel(_Event):
    type: Literal["response.cancel"]
    response_id: str | None = None


ClientEvent = (
    SessionUpdate
    | Append
    | Commit
    | Clear
    | ItemCreate
    | Truncate
    | ResponseCreate
    | ResponseCancel
)
_EVENTS: TypeAdapter[Any] = TypeAdapter(Annotated[ClientEvent, Field(discriminator="type")])
KNOWN = tuple(kind.model_fields["type"].annotation.__args__[0] for kind in ClientEvent.__args__)


def parse(text: str) -> ClientEvent:
    """A frame as an event; raises BadEvent."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise BadEvent(f"a frame that is not JSON: {text[:40]!r}", "invalid_json") from None
    if not isinstance(raw, dict):
        raise BadEvent("a frame that is no JSON object: send one event a frame", "invalid_json")
    name = raw.get("event_id")
    event = name[:200] if isinstance(name, str) else ""
    if raw.get("type") not in KNOWN:
        raise BadEvent(
            f"events of type {str(raw.get('type'))[:60]!r} are not known: send {', '.join(KNOWN)}",
            "unknown_event",
            "type",
            event,
        )
    try:
        found: ClientEvent = _EVENTS.validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        param = ".".join(str(part) for part in first["loc"][1:])
        raise BadEvent(f"{param}: {first['msg']}", "invalid_value", param, event) from None
    return found
