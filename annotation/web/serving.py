"""The web app in a thread of this process, on this machine alone: for labelling beside a round, and for tests."""

import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn
from fastapi import FastAPI

from trivox.platform.errors import ConfigError, WorkError

START_S = 20.0
STOP_S = 10.0


class ServedApp:
    """An app that runs in a thread on a socket, to be used as a context manager."""

    def __init__(self, app: FastAPI, opened: socket.socket) -> None:
        self._socket = opened
        self.host, self.port = opened.getsockname()[:2]
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,  # it would hold the token
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        self._thread = threading.Thread(target=self._run, name="trivox-site", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        """Returns when the server answers; raises WorkError when it does not."""
        self._thread.start()
        end = time.monotonic() + START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise WorkError(f"the server on port {self.port} did not start: try another port")
            time.sleep(0.01)

    def stop(self) -> None:
        """Close the server; what was judged is stored already."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        self._socket.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def listen(port: int = 0) -> socket.socket:
    """A socket on this machine alone; port 0: any free one. Raises ConfigError when it is taken."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        opened.close()
        raise ConfigError(f"port {port} cannot be used: {error}; give another") from None
    return opened
