"""A real HTTP server on a real port that answers as a script says."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, str], bytes]
Script = Callable[[int, dict[str, Any]], Reply | float]
"""(number of the request from 0, its body) -> status, headers and body; or seconds to wait without an answer."""


def completion(text: str, top: dict[str, float] | None = None, **more: Any) -> bytes:
    choice: dict[str, Any] = {
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    if top is not None:
        tops = [{"token": token, "logprob": value} for token, value in top.items()]
        choice["logprobs"] = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": tops}]}
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return json.dumps({"choices": [choice | more], "usage": usage}).encode()


class Served:
    """url of a server, and what it was asked: bodies and headers."""

    def __init__(self, script: Script) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._script, self._lock = script, threading.Lock()
        self._stop = threading.Event()
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                served._answer(self)

            def log_message(self, *_: Any) -> None:
                """Nothing on stderr."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append({k.lower(): v for k, v in handler.headers.items()})
        found = self._script(number, body)
        if isinstance(found, float):
            self._stop.wait(found)
            return
        status, headers, content = found
        try:
            handler.send_response(status)
            for name, value in ({"content-length": str(len(content))} | headers).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client gave up: what is tested

    def close(self) -> None:
        self._stop.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def serving(script: Script) -> Iterator[Served]:
    served = Served(script)
    thread = threading.Thread(target=served.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.close()
        thread.join()


def ok(content: bytes) -> Reply:
    return 200, {"content-type": "application/json"}, content


def closed_port() -> str:
    """An address where nobody listens."""
    served = Served(lambda number, body: 0.0)
    served.server.server_close()
    time.sleep(0)
    return served.url
