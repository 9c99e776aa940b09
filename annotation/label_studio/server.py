"""A Label Studio server of the workspace's own: on this machine alone, sign-up closed, nothing sent home."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from trivox.annotation.label_studio import environment
from trivox.annotation.label_studio.connection import (
    TRIVOX_URL,
    Connection,
    find_connection,
    folder_of,
    keep,
)
from trivox.platform.errors import ConfigError, UsageError, WorkError
from trivox.platform.store import Workspace

PORT = 8081
START_S = 900.0
STOP_S = 10.0
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
BANNED = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)
"""Where its webhooks may not go: the server's own list without 127.0.0.0/8, where Trivox listens."""


class ServerFailed(WorkError):
    """The server did not start, or ended."""


@dataclass(frozen=True)
class Running:
    connection: Connection
    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> int:
        return self.process.wait()


def server_connection(workspace: Workspace, port: int, trivox_url: str | None) -> Connection:
    """How the workspace's own server is reached; made at its first start, with accounts that nobody has seen.

    Raises UsageError when the workspace works with a server that is not its own.
    """
    known = find_connection(workspace)
    if known is None:
        made = Connection.own(port, trivox_url or TRIVOX_URL)
    elif known.admin is None:
        raise UsageError(
            f"{workspace.root} works with {known.url}: that one is not Trivox's to run"
        )
    elif urlsplit(known.url).port != port:
        raise UsageError(
            f"{workspace.root} knows its server as {known.url}, not port {port}: what was pushed has that address"
        )
    else:
        made = known if trivox_url is None else known.model_copy(update={"trivox_url": trivox_url})
    if made != known:
        keep(workspace, made)
    return made


def environment_of(connection: Connection, data: Path) -> dict[str, str]:
    """All that the server gets to see. Nothing is inherited that it might take for its own: it also reads bare
    HOST, DEBUG, PORT, USERNAME and PASSWORD."""
    own = {
        "BASE_DATA_DIR": str(data),
        "HOST": connection.url,
        "PORT": str(urlsplit(connection.url).port),
        "USERNAME": connection.admin or "",
        "PASSWORD": connection.password or "",
        # Both count at the first start alone.
        "USER_TOKEN": connection.token,
        "ENABLE_LEGACY_API_TOKEN": "true",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LOCAL_FILES_SERVING_ENABLED": "false",
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        "USER_ADDITIONAL_BANNED_SUBNETS": ",".join(BANNED),
        "DEBUG": "false",
        "LOG_LEVEL": "INFO",
    }
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**kept, "HOME": str(data), **{f"LABEL_STUDIO_{name}": own[name] for name in own}}


@contextmanager
def serving(workspace: Workspace, port: int, trivox_url: str | None = None) -> Iterator[Running]:
    """The server while the context lasts. Raises NotFound, UsageError, ConfigError, ServerFailed."""
    folder = folder_of(workspace)
    command = environment.executable(environment.place_of(folder))
    connection = server_connection(workspace, port, trivox_url)
    check_free(port)
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    log = folder / "server.log"
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(opened, "ab") as file:
        process = subprocess.Popen(
            [str(command), "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)],
            env=environment_of(connection, data),
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )  # fmt: skip
    running = Running(connection, process, log)
    try:
        _wait_until_ready(running)
        yield running
    finally:
        _stop(process)


def check_free(port: int) -> None:
    """Raises ConfigError for a port that is taken: the server would silently move to the next one."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"port {port} cannot be used: {error}; give another") from None


def _wait_until_ready(running: Running) -> None:
    """The first start makes a database: a minute or more."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if running.process.poll() is not None:
            code = running.process.returncode
            raise ServerFailed(f"label-studio ended with {code}: see {running.log}")
        try:
            if httpx.get(f"{running.connection.url}/health", timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise ServerFailed(f"label-studio did not answer within {START_S:.0f} s: see {running.log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and what it started: it has a process group of its own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(STOP_S)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait()
            return
