"""Labelling in the browser while a round waits: the web app in a thread, as long as there is something to judge.

with serve_labels(workspace, round_id) as labels:
    print(labels.url)
    left = labels.wait()
"""

import secrets
import socket
import threading
import time

from fastapi import FastAPI

from trivox.annotation.waiting import waiting_tasks
from trivox.annotation.web.local import OneTimeLink
from trivox.annotation.web.serving import ServedApp, listen
from trivox.annotation.webapp import LOOPBACK, make_site
from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.store import Workspace

NEXT_STEP = "The round goes on in the terminal: it turns the judgements into preferences."
LAST_PAGE_S = 5.0  # for the browser to show the last page after the last judgement
SETTLE_S = 1.0  # for the rest of that page: its style and icon
LOOK_S = 2.0  # between looks at what still waits: judgements may come from elsewhere too

__all__ = ["LabelServer", "serve_labels", "waiting_tasks"]


class LabelServer(ServedApp):
    """A label server for a round. url: the link to print, good for one browser, once."""

    def __init__(
        self, workspace: Workspace, round: str | None, opened: socket.socket, next_step: str
    ) -> None:
        token = secrets.token_urlsafe(32)
        self._workspace, self._round = workspace, round
        self._finished = threading.Event()
        super().__init__(self._app(token, next_step), opened)
        self.url = f"{self.address}/enter/{token}"

    def _app(self, token: str, next_step: str) -> FastAPI:
        campaigns = self._campaigns()
        begin = f"/work/{campaigns[0]}" if len(campaigns) == 1 else "/"
        done = self._finished.set
        app = make_site(self._workspace, next_step=next_step, on_finished=done)
        app.state.link = OneTimeLink(token, begin)
        return app

    def _campaigns(self) -> list[str]:
        """Campaigns of what waits."""
        tasks = waiting_tasks(self._workspace, self._round)
        return list(dict.fromkeys(task.campaign for task in tasks))

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
            if left <= 0 or not self.running:
                return self.waiting()
            self._finished.wait(left)
        if self._finished.wait(LAST_PAGE_S):
            time.sleep(SETTLE_S)
        return self.waiting()


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
    return LabelServer(workspace, round, listen(port), next_step)
