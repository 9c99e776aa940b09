"""Databases for benches of the store: as many as are needed, with the same tables and tasks and no judgements."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trivox.bench.servers import Postgres
from trivox.bench.store_rows import with_tasks
from trivox.platform.store import Workspace
from trivox.platform.store.config import WorkspaceConfig

URL = "TRIVOX_BENCH_DATABASE"
"""Environment variable: OWN, or unset for SQLite."""
OWN = "postgresql"


@dataclass(frozen=True)
class Place:
    """A workspace at root, and the URL of its database."""

    root: Path
    url: str

    def adbc(self) -> Any:
        """A connection of ADBC that holds references and has every commit on the disk, as the store does."""
        if self.url.startswith("sqlite"):
            import adbc_driver_sqlite.dbapi

            connection = adbc_driver_sqlite.dbapi.connect(str(self.root / "trivox.db"))
            with connection.cursor() as cursor:
                cursor.executescript("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL")
            return connection
        import adbc_driver_postgresql.dbapi

        plain = self.url.replace("postgresql+psycopg://trivox@", "postgresql://")
        return adbc_driver_postgresql.dbapi.connect(f"{plain}&user=trivox")


class Places(Protocol):
    """prepare: make so many before the clock runs. next: one that nobody has used; the one before it goes."""

    name: str

    def prepare(self, count: int) -> None: ...

    def next(self) -> Place: ...


class SqlitePlaces:
    """Copies of one workspace."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0
        self._ready: list[Path] = []
        self._used: Path | None = None
        with_tasks(folder / "empty").close()

    def prepare(self, count: int) -> None:
        for _ in range(count):
            self._made += 1
            target = self._folder / f"ws{self._made}"
            self._ready.append(Path(shutil.copytree(self._folder / "empty", target)))

    def next(self) -> Place:
        if self._used is not None:
            shutil.rmtree(self._used)
        self._used = self._ready.pop()
        return Place(self._used, f"sqlite:///{self._used / 'trivox.db'}")


class PostgresPlaces:
    """Copies of one database, each with a workspace that names it."""

    name = "PostgreSQL"

    def __init__(self, folder: Path, server: Postgres) -> None:
        self._folder, self._server = folder, server
        self._ready: list[Place] = []
        self._used: Place | None = None
        self._template = server.fresh()
        with_tasks(folder / "empty", WorkspaceConfig(database=self._template)).close()

    def prepare(self, count: int) -> None:
        for _ in range(count):
            url = self._server.fresh(_database(self._template))
            root = self._folder / _database(url)
            Workspace.create(root, WorkspaceConfig(database=url)).close()
            self._ready.append(Place(root, url))
        self._server.sql("CHECKPOINT")  # what was copied is not written while a side is timed

    def next(self) -> Place:
        if self._used is not None:
            self._server.sql(f'DROP DATABASE "{_database(self._used.url)}" WITH (FORCE)')
        self._used = self._ready.pop()
        return self._used


def _database(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
