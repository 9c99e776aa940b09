"""The live routes on a real server and a real port, with clients that behave and clients that do not."""

import asyncio
import base64
import io
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.pipelines.live.conftest import RATE, SPEECH, TINY, TUNED
from trivox.app import build_app
from trivox.pipelines.live.access import TokenAccess
from trivox.pipelines.live.hub import Hub
from trivox.pipelines.live.limits import LiveLimits
from trivox.pipelines.live.live import Live
from trivox.pipelines.live.pcm import to_pcm16

TOKEN = "a-token-for-tests-only"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
WAIT_S = 60
SMALL = 1 << 13
Event = dict[str, Any]


class Server:
    def __init__(self, live: Live, port: int) -> None:
        self.live, self.address = live, ("127.0.0.1", port)
        self.host = f"127.0.0.1:{port}"
        self.http = f"http://{self.host}/v1"

    def socket(self, model: str = TINY, **options: Any) -> connect:
        url = f"ws://{self.host}/v1/realtime?model={model}"
        return connect(url, **{"additional_headers": HEADERS, "max_size": None} | options)

    def settled(self) -> bool:
        """Whether nobody is connected and nothing is drawn, soon."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            if not self.live.sockets and not self.live.hub.under_way:
                return all(v.engine.busy == 0 for v in self.live.hub._versions.values())
            time.sleep(0.05)
        return False


@contextmanager
def serving(root: Path, **limits: Any) -> Iterator[Server]:
    live = Live(Hub(root, slots=4), TINY, limits=LiveLimits(**limits))
    app = build_app(live, TokenAccess(TOKEN))
    opened = socket.socket()
    # A client that does not read is then noticed after kilobytes, not after the megabytes of a fast network.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    opened.bind(("127.0.0.1", 0))
    settings = {"log_config": None, "ws_max_size": live.limits.frame_bytes}
    server = uvicorn.Server(uvicorn.Config(app, ws_per_message_deflate=False, **settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Server(live, opened.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(20)
        opened.close()


@pytest.fixture(scope="module")
def server(live_root: Path) -> Iterator[Server]:
    with serving(live_root, sessions=4, frame_bytes=1 << 17, upload_bytes=1 << 20) as made:
        yield made


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(work(), WAIT_S)

    asyncio.run(limited())


async def send(client: ClientConnection, kind: str, **fields: Any) -> None:
    await client.send(json.dumps({"type": kind, **fields}))


async def until(client: ClientConnection, kind: str) -> list[Event]:
    """Events up to the next of a kind, that one last."""
    seen: list[Event] = []
    while not seen or seen[-1]["type"] != kind:
        seen.append(json.loads(await client.recv()))
    return seen


async def speak(client: ClientConnection, wave: np.ndarray, size: int = 3200) -> None:
    for at in range(0, len(wave), size):
        data = base64.b64encode(to_pcm16(wave[at : at + size])).decode()
        await send(client, "input_audio_buffer.append", audio=data)


def hearing(**fields: Any) -> Event:
    """A session at the rate of the test's clip."""
    heard = {"format": {"type": "audio/pcm", "rate": RATE}, **fields}
    return {"audio": {"input": heard}, "max_output_tokens": 80, "seed": 5}


def test_a_spoken_turn_gets_a_spoken_reply(server: Server, sentence: np.ndarray) -> None:
    async def work() -> None:
        async with server.socket() as client:
            created = (await until(client, "session.created"))[-1]["session"]
            assert (
                created["model"] == TINY and created["audio"]["output"]["format"]["rate"] == 24_000
            )
            await send(client, "session.update", session=hearing(transcription={"model": TINY}))
            shown = (await until(client, "session.updated"))[-1]["session"]
            assert shown["audio"]["input"]["format"]["rate"] == RATE
            await speak(client, np.concatenate([sentence, np.zeros(RATE, np.float32)]))
            events = await until(client, "response.done")
            kinds = [event["type"] for event in events]
            order = [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
                "conversation.item.added",
                "conversation.item.done",
                "response.created",
                "response.output_item.added",
                "response.content_part.added",
                "response.output_audio.done",
                "response.output_audio_transcript.done",
                "response.output_item.done",
                "response.done",
            ]
            places = [kinds.index(kind) for kind in order]
            assert places == sorted(places)
            done = events[-1]["response"]
            assert done["status"] in ("completed", "incomplete") and "done" in done["timings"]
            deltas = [e["delta"] for e in events if e["type"].endswith("transcript.delta")]
            assert "".join(deltas) == done["output"][0]["content"][0]["transcript"]
            names = [event["event_id"] for event in events]
            assert len(set(names)) == len(names)
            if "conversation.item.input_audio_transcription.completed" not in kinds:
                await until(client, "conversation.item.input_audio_transcription.completed")

    run(work)
    assert server.settled()


def test_turns_by_hand_typed_turns_and_cancelling(server: Server, sentence: np.ndarray) -> None:
    async def work() -> None:
        async with server.socket() as client:
            await send(client, "session.update", session=hearing(turn_detection=None))
            await send(client, "input_audio_buffer.commit", event_id="mine")
            error = (await until(client, "error"))[-1]["error"]
            assert "no audio to commit" in error["message"]
            await speak(client, sentence[:9000])
            await send(client, "input_audio_buffer.clear")
            await until(client, "input_audio_buffer.cleared")
            text = {"type": "input_text", "text": "what is the time"}
            message = {"type": "message", "role": "user", "content": [text]}
            await send(client, "conversation.item.create", item=message)
            await until(client, "conversation.item.done")
            await send(client, "response.create", response={"instructions": "mary"})
            started = (await until(client, "response.output_item.added"))[-1]["item"]
            await send(client, "response.cancel")
            events = await until(client, "conversation.item.truncated")
            assert events[-1]["item_id"] == started["id"]
            end = dict(item_id=started["id"], content_index=0, audio_end_ms=0)
            await send(client, "conversation.item.truncate", **end)
            assert (await until(client, "conversation.item.truncated"))[-1]["transcript"] == ""

    run(work)
    assert server.settled()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("not json", "invalid_json"),
        ("[1]", "invalid_json"),
        ("[" * 90_000, "invalid_json"),
        ("{}", "unknown_event"),
        ('{"type": "session.delete"}', "unknown_event"),
        (b"\x00\x01", "invalid_frame"),
        ('{"type": "input_audio_buffer.append", "audio": "???"}', "invalid_value"),
        ('{"type": "input_audio_buffer.append", "audio": "QQ=="}', "BrokenAudio"),
        ('{"type": "session.update", "session": {"audio": {"input": {"format": 5}}}}', "invalid_value"),
        ('{"type": "session.update", "session": {"persona": "nobody"}}', "NotFound"),
        ('{"type": "session.update", "session": {"audio": {"output": {"voice": "/etc/x"}}}}', "NotFound"),
    ],
)  # fmt: skip
def test_a_bad_frame_is_answered_and_the_next_is_taken(
    server: Server, frame: str | bytes, code: str
) -> None:
    async def work() -> None:
        async with server.socket() as client:
            await client.send(frame)
            assert (await until(client, "error"))[-1]["error"]["code"] == code
            await send(client, "input_audio_buffer.clear")
            await until(client, "input_audio_buffer.cleared")

    run(work)


async def closed(client: ClientConnection) -> tuple[int, str]:
    """Read until the server closes: code and reason."""
    try:
        while True:
            await client.recv()
    except ConnectionClosed as error:
        assert error.rcvd is not None
        return error.rcvd.code, error.rcvd.reason


def test_nothing_but_garbage_is_closed(server: Server) -> None:
    async def work() -> None:
        async with server.socket() as client:
            for _ in range(20):
                await client.send("garbage")
            code, reason = await closed(client)
            assert code == 1008 and reason.startswith("20 frames that are no events")

    run(work)
    assert server.settled()


def test_a_frame_that_is_too_large_is_closed(server: Server) -> None:
    async def work() -> None:
        async with server.socket() as client:
            await until(client, "session.created")
            await client.send("x" * ((1 << 17) + 1))
            assert (await closed(client))[0] == 1009

    run(work)
    assert server.settled()


def test_a_hundred_sockets_get_four_places(server: Server) -> None:
    async def work() -> None:
        clients = [await server.socket() for _ in range(100)]
        try:
            opened = [json.loads(await c.recv())["type"] for c in clients[:4]]
            assert opened == ["session.created"] * 4
            refused = [await closed(client) for client in clients[4:]]
            assert set(refused) == {
                (1013, "4 sessions are open, the most at once: try again later")
            }
            assert len(server.live.sockets) == 4
        finally:
            await asyncio.gather(*(client.close() for client in clients))

    run(work)
    assert server.settled()


def test_leaving_in_mid_sentence_leaves_nothing(server: Server, sentence: np.ndarray) -> None:
    async def work() -> None:
        for _ in range(3):
            client = await server.socket()
            await send(client, "session.update", session=hearing())
            await speak(client, np.concatenate([sentence, np.zeros(RATE, np.float32)]))
            await until(client, "response.created")
            client.transport.abort()

    run(work)
    assert server.settled()


def closing(server: Server) -> str:
    return "".join(place.closing for place in [*server.live.sockets])


def test_a_client_that_reads_nothing_is_closed(live_root: Path, sentence: np.ndarray) -> None:
    """It asks and asks; what waits for it stays bounded, and the close says why once it reads again."""

    async def work(server: Server) -> None:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        plain.connect(server.address)
        async with server.socket(max_queue=1, sock=plain) as client:
            await until(client, "session.created")
            client.transport.pause_reading()
            asked = hearing() | {"instructions": "a" * 2000}
            end = time.monotonic() + WAIT_S
            while not closing(server) and time.monotonic() < end:
                try:
                    async with asyncio.timeout(0.2):
                        await send(client, "session.update", session=asked)
                except TimeoutError:
                    continue
            assert "read" in closing(server)
            client.transport.resume_reading()
            code, reason = await closed(client)
            assert code == 1013 and reason.endswith("read faster")

    with serving(live_root, stall_s=0.5, queue=64) as server:
        run(lambda: work(server))
        assert server.settled()


def test_an_idle_socket_is_closed(live_root: Path) -> None:
    async def work(server: Server) -> None:
        async with server.socket() as client:
            assert await closed(client) == (1008, "idle for 0.3 s")

    with serving(live_root, idle_s=0.3) as server:
        run(lambda: work(server))
        assert server.settled()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        (HEADERS | {"Origin": "https://evil.example"}, 403),
    ],
)
def test_who_is_not_let_in(server: Server, headers: dict[str, str], status: int) -> None:
    async def work() -> None:
        with pytest.raises(InvalidStatus) as refused:
            await server.socket(additional_headers=headers)
        assert refused.value.response.status_code == status

    run(work)
    answer = httpx.get(f"{server.http}/models", headers=headers)
    assert answer.status_code == status and answer.json()["error"]["message"]
    assert TOKEN not in answer.text


def test_a_browsers_page_of_this_server_is_let_in(server: Server) -> None:
    async def work() -> None:
        protocols = ["realtime", f"openai-insecure-api-key.{TOKEN}"]
        options = {"additional_headers": {}, "origin": f"http://{server.host}"}
        async with server.socket(subprotocols=protocols, **options) as client:
            assert client.subprotocol == "realtime"
            await until(client, "session.created")

    run(work)


def test_an_unknown_model(server: Server) -> None:
    async def work() -> None:
        async with server.socket(model="gpt") as client:
            code, reason = await closed(client)
            assert code == 1008 and reason.startswith("no policy 'gpt'")

    run(work)
    asked = {"model": "gpt", "input": "hi"}
    answer = httpx.post(f"{server.http}/audio/speech", json=asked, headers=HEADERS)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")


def post(server: Server, **asked: Any) -> httpx.Response:
    body = {"model": TINY, "input": "go on and on", "voice": "alloy"} | asked
    return httpx.post(f"{server.http}/audio/speech", json=body, headers=HEADERS, timeout=WAIT_S)


def test_speech_is_the_speakers_on_any_version(server: Server) -> None:
    from trivox.platform.audio.io import resample
    from trivox.policy.speaker import TTS_SAMPLING

    version = server.live.hub.version(TINY)
    (whole,) = version.speaker.speak(["go on and on"], [1], TTS_SAMPLING)
    pcm = post(server, response_format="pcm", seed=1).content
    wanted = resample(whole.samples, RATE, 24_000)
    assert abs(len(pcm) // 2 - len(wanted)) <= 2
    samples, rate = soundfile.read(io.BytesIO(post(server, seed=1).content), dtype="int16")
    assert rate == 24_000 and samples.tobytes() == pcm
    assert post(server, model=TUNED, response_format="pcm", seed=1).content != pcm
    assert server.settled()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"response_format": "mp3"}, "'wav' or 'pcm'"),
        ({"voice": "/etc/passwd"}, "no voice '/etc/passwd'"),
        ({"input": ""}, "at least 1 character"),
        ({"input": "a" * 5000}, "5000 characters and 4096 are spoken at once"),
        ({"input": "\u4f60\u597d"}, "outside the model's alphabet"),
        ({"speed": 2}, "speed"),
        ({"input": "go (shouting) on"}, "shouting"),
    ],
)
def test_speech_that_cannot_be(server: Server, asked: Event, said: str) -> None:
    answer = post(server, **asked)
    assert answer.status_code in (400, 404) and said in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("form", ["json", "text", "verbose_json"])
def test_a_transcription(server: Server, form: str) -> None:
    data = {"model": TINY, "response_format": form}
    answer = httpx.post(
        f"{server.http}/audio/transcriptions",
        files={"file": ("turn.flac", SPEECH.read_bytes())},
        data=data,
        headers=HEADERS,
        timeout=WAIT_S,
    )
    assert answer.status_code == 200
    if form == "verbose_json":
        told = answer.json()
        assert told["duration"] == pytest.approx(2.3, abs=0.1) and told["segments"]
        assert told["text"] == " ".join(one["text"] for one in told["segments"])
    else:
        assert answer.text


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"no audio at all", 400, "not audio"),
        (b"", 400, "empty"),
        (b"x" * (2 << 20), 413, "more than 1048576 bytes"),
    ],
)
def test_a_recording_that_cannot_be(server: Server, body: bytes, status: int, said: str) -> None:
    answer = httpx.post(
        f"{server.http}/audio/transcriptions",
        files={"file": ("turn.wav", body)},
        data={"model": TINY},
        headers=HEADERS,
    )
    assert answer.status_code == status and said in answer.json()["error"]["message"]


def test_a_body_that_does_not_say_how_long_it_is(server: Server) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * (1 << 16)

    answer = httpx.post(f"{server.http}/audio/speech", content=endless(), headers=HEADERS)
    assert answer.status_code == 413 and answer.json()["error"]["code"] == "too_large"


def test_a_form_that_is_none(server: Server) -> None:
    headers = HEADERS | {"Content-Type": "multipart/form-data"}
    answer = httpx.post(f"{server.http}/audio/transcriptions", content=b"x", headers=headers)
    assert answer.status_code == 400 and answer.json()["error"]["message"]


def test_models(server: Server) -> None:
    listed = httpx.get(f"{server.http}/models", headers=HEADERS).json()
    assert [model["id"] for model in listed["data"]] == [TINY, TUNED]
