"""Labelling in the browser while a round waits: a server in a thread, for as long as there is something to judge.

with serve_labels(workspace, round_id) as labels:
    print(labels.url)
    left = labels.wait()
"""

import secrets
import socket
import threading
import time
from types import TracebackType
from typing import Self

import uvicorn

from trivox.annotation.pages import LOOPBACK, NEXT_STEP, create_app
from trivox.annotation.waiting import waiting_tasks
from trivox.platform.errors import ConfigError, UsageError, WorkError
from trivox.platform.store import Workspace

START_S = 20.0
STOP_S = 10.0
LAST_PAGE_S = 5.0  # for the browser to show the last page after the last judgement
SETTLE_S = 1.0  # for the rest of that page: its style and icon
LOOK_S = 2.0  # between looks at what still waits: judgements may come from elsewhere too

__all__ = ["LabelServer", "create_app", "serve_labels", "waiting_tasks"]


class LabelServer:
    """A running label server. url: the link to print, good for one browser, once."""

    def __init__(
        self, workspace: Workspace, round: str | None, opened: socket.socket, next_step: str
    ) -> None:
        token = secrets.token_urlsafe(32)
        host, self.port = opened.getsockname()[:2]
        self.url = f"http://{host}:{self.port}/?token={token}"
        self._workspace, self._round, self._socket = workspace, round, opened
        self._finished = threading.Event()
        app = create_app(
            workspace, token, round=round, next_step=next_step, on_finished=self._finished.set
        )
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
        self._thread = threading.Thread(target=self._run, name="trivox-labels", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Returns when the server answers; raises WorkError when it does not."""
        self._thread.start()
        end = time.monotonic() + START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise WorkError(
                    f"the label server on port {self.port} did not start: try another port"
                )
            time.sleep(0.01)

    def waiting(self) -> int:
        """How many comparisons still wait for a person's judgement."""
        return len(waiting_tasks(self._workspace, self._round))

    def wait(self, timeout: float | None = None) -> int:
        """Block until all is judged, or the person has nothing left, or timeout seconds; returns waiting().

        More than 0 after that means that the rest waits for another person (the overlap asked for).
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self._finished.is_set() and self.waiting():
            left = LOOK_S if end is None else min(LOOK_S, end - time.monotonic())
            if left <= 0 or not self._thread.is_alive():
                return self.waiting()
            self._finished.wait(left)
        if self._finished.wait(LAST_PAGE_S):
            time.sleep(SETTLE_S)
        return self.waiting()

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


def serve_labels(
    workspace: Workspace,
    round: str | None,
    host: str = LOOPBACK[0],
    port: int = 0,
    *,
    next_step: str = NEXT_STEP,
) -> LabelServer:
    """A label server for what waits in the round, to be used as a context manager; port 0: any free one.

    Raises UsageError when nothing waits, ConfigError for a host that is not this machine or a port that
    is taken.
    """
    if host not in LOOPBACK:
        raise ConfigError(f"host is {host!r}: labels are served on {' or '.join(LOOPBACK)} only")
    if not waiting_tasks(workspace, round):
        raise UsageError(f"round {round}: no comparison waits for a person")
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        opened.close()
        raise ConfigError(f"port {port} of {host} cannot be used: {error}; give another") from None
    return LabelServer(workspace, round, opened, next_step)
