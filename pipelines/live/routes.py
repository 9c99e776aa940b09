"""The live routes of `trivox serve`: a WebSocket for conversations, transcriptions, speech, the models.

Shapes and names are those of OpenAI's API; docs/live.md has what is supported of it.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, Request, UploadFile, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from trivox.pipelines.live.access import (
    Authorise,
    Unauthorised,
    WrongOrigin,
    check_origin,
)
from trivox.pipelines.live.answers import LiveRoute, UnknownModel, error_answer
from trivox.pipelines.live.config import voice_of
from trivox.pipelines.live.conversation import converse
from trivox.pipelines.live.hub import Version
from trivox.pipelines.live.live import Live
from trivox.pipelines.live.recognising import HubHearer
from trivox.pipelines.live.speaking import RATE, Spoken, begun, wav_header
from trivox.pipelines.speaking import utterance
from trivox.pipelines.versions import version_names
from trivox.platform.audio.io import decode_audio
from trivox.platform.errors import NotFound, UsageError
from trivox.policy.hearing.long import Heard, LongTranscript, transcribe_long

PREFIX = "/v1"


class SpeechRequest(BaseModel):
    """seed is Trivox's own: another seed is another take."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(max_length=200)
    input: str = Field(min_length=1)
    voice: str = Field("", max_length=100)
    instructions: str = Field("", max_length=1_000)
    response_format: Literal["wav", "pcm"] = "wav"
    speed: float = Field(1.0, ge=1, le=1)
    seed: int = Field(0, ge=0, lt=1 << 63)


def live_routes(live: Live, authorise: Authorise) -> APIRouter:
    """authorise: says who asks, or raises Unauthorised."""

    def admitted(request: Request) -> None:
        check_origin(request, live.origins)
        authorise(request)

    router = APIRouter(prefix=PREFIX, route_class=LiveRoute, dependencies=[], tags=["speech"])
    allowed = [Depends(admitted)]

    @router.get("/models", dependencies=allowed)
    async def models() -> dict[str, Any]:
        """The policy versions that `model` may name."""
        names = await run_in_threadpool(version_names, live.root)
        listed = [{"id": name, "object": "model", "owned_by": "trivox"} for name in names]
        return {"object": "list", "data": listed}

    @router.post("/audio/speech", dependencies=allowed)
    async def speech(asked: SpeechRequest) -> Response:
        """Speak a text: 16-bit PCM at 24 kHz, as WAV or without a header, streamed while it is spoken."""
        version = await _version(live, asked.model)
        spoken = await _spoken(live, version, asked)
        parts = await begun(_bytes(spoken, asked.response_format))
        kind = "audio/wav" if asked.response_format == "wav" else f"audio/pcm;rate={RATE}"
        return StreamingResponse(parts, media_type=kind)

    @router.post("/audio/transcriptions", dependencies=allowed)
    async def transcriptions(
        file: UploadFile,
        model: Annotated[str, Form(max_length=200)],
        response_format: Annotated[Literal["json", "text", "verbose_json"], Form()] = "json",
    ) -> Response:
        """Write down a recording of any length."""
        version = await _version(live, model)
        data, name = await file.read(), (file.filename or "file")[:200]
        heard = await run_in_threadpool(_transcribed, live, version, data, name)
        return _transcription(heard, response_format)

    @router.websocket("/realtime")
    async def realtime(socket: WebSocket, model: str = "") -> None:
        try:
            check_origin(socket, live.origins)
            authorise(socket)
        except (Unauthorised, WrongOrigin) as error:
            await socket.send_denial_response(error_answer(error))
            return
        await converse(socket, live, model or live.model)

    return router


async def _version(live: Live, name: str) -> Version:
    try:
        return await run_in_threadpool(live.hub.version, name)
    except NotFound as error:
        raise UnknownModel(str(error)) from None


async def _spoken(live: Live, version: Version, asked: SpeechRequest) -> Spoken:
    if len(asked.input) > live.limits.text_length:
        raise UsageError(
            f"input has {len(asked.input)} characters and {live.limits.text_length} are spoken at once: cut it"
        )
    backbone = version.resident.backbone
    voice = voice_of(backbone, asked.voice)
    said = await run_in_threadpool(utterance, backbone, asked.input, asked.instructions, voice)
    return Spoken(live.hub, version, version.speaker.tts_request(said, asked.seed))


async def _bytes(spoken: Spoken, form: str) -> AsyncIterator[bytes]:
    parts = spoken.pcm()
    try:
        head = wav_header() if form == "wav" else b""
        async for part in parts:
            yield head + part
            head = b""
    finally:
        await parts.aclose()  # type: ignore[attr-defined]  # an async generator


def _transcribed(live: Live, version: Version, data: bytes, name: str) -> LongTranscript[Heard]:
    samples, rate = decode_audio(data, name)
    return transcribe_long(HubHearer(live.hub, version), samples, rate)


def _transcription(heard: LongTranscript[Heard], form: str) -> Response:
    if form == "text":
        return PlainTextResponse(f"{heard.text}\n")
    if form == "json":
        return JSONResponse({"text": heard.text})
    segments = [
        {"id": number, "start": one.start_s, "end": one.end_s, "text": one.text}
        for number, one in enumerate(heard.segments)
    ]
    told = {"task": "transcribe", "language": "english", "duration": heard.duration_s}
    return JSONResponse({**told, "text": heard.text, "segments": segments})
