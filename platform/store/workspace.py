"""A workspace: the folder that holds everything a project makes."""

import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from trivox.platform.errors import StoreError, UsageError
from trivox.platform.records import Project
from trivox.platform.store.audio import AudioStore
from trivox.platform.store.config import FILE, WorkspaceConfig, read_config
from trivox.platform.store.engine import make_engine
from trivox.platform.store.faults import file_errors, sql_errors
from trivox.platform.store.files import write_atomically
from trivox.platform.store.migrations import migrate
from trivox.platform.store.objects import Objects
from trivox.platform.store.projects import VARIABLE, find_project, prefix_of
from trivox.platform.store.records import Records
from trivox.platform.store.remote import RemoteParts
from trivox.platform.store.tables import Tables


class Workspace:
    """records in SQL, tables in Parquet and audio in FLAC, of one current project."""

    def __init__(
        self, root: Path, config: WorkspaceConfig, engine: sa.Engine, project: str | None = None
    ) -> None:
        self.root = root
        self.config = config
        self.project = project or config.project
        self.records = Records(engine, str(root))
        prefix = prefix_of(self.records, self.project)
        self.tables = _tables(config.tables, root, self.project)
        self.artefacts = Objects(_below(config.artefacts, prefix), root)
        self.audio = AudioStore(_below(config.audio, prefix), root)
        self._engine = engine

    @classmethod
    def create(cls, root: Path, config: WorkspaceConfig | None = None) -> Self:
        """Make a workspace at root, a folder that may be there but holds none yet.

        A database that is named by URL is migrated and may serve other workspaces too. Raises UsageError when
        there is a workspace, DiskFull, DatabaseLost; then nothing is left behind but tables in such a database.
        """
        root = root.resolve()
        if (root / FILE).exists():
            raise UsageError(f"{root} is a Trivox workspace already: nothing to do")
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file: name a folder for the workspace")
        made_root = not root.exists()
        with file_errors(root):
            (root.parent if made_root else root).mkdir(parents=True, exist_ok=True)
            draft = _draft_folder(root, made_root)
            try:
                _fill(draft, config or WorkspaceConfig())
                _move(draft, root, made_root)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        return cls.open(root)

    @classmethod
    def open(cls, root: Path, project: str | None = None) -> Self:
        """The workspace at root, its database migrated when it is of an older version.

        project: to work in; None: that of the variable TRIVOX_PROJECT, or else of trivox.toml.
        Raises NotFound, NewerWorkspace, ConfigError, StoreError, DatabaseLost.
        """
        root = root.resolve()
        config = read_config(root)
        url = config.database_url(root)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise StoreError(
                f"{root}: its database {url.database} is missing: bring it back from a backup,"
                f" or make a new workspace elsewhere with `trivox init`"
            )
        engine = make_engine(url)
        try:
            with sql_errors(str(root)):
                migrate(engine, root)
            ws = cls(root, config, engine, project or os.environ.get(VARIABLE))
            if ws.project != config.project:
                find_project(ws.records, ws.project)
            return ws
        except BaseException:
            engine.dispose()
            raise

    def stored_bytes(self) -> int:
        """Bytes of the project's audio and tables, counted now."""
        return sum(one.size for one in self.audio.stored()) + self.tables.stored_bytes()

    def close(self) -> None:
        """Close the connections to the database; the workspace can still be used and opens new ones."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _below(place: str, prefix: str) -> str:
    return f"{place.rstrip('/')}/{prefix}" if prefix else place


def _tables(place: str, root: Path, project: str) -> Tables:
    """At a folder below root, or at a URL with copies below root."""
    if "://" not in place:
        return Tables(root / place, project)
    copies = root / "cache" / "tables"
    return Tables(copies, project, RemoteParts(Objects(place, root), copies))


def _draft_folder(root: Path, made_root: bool) -> Path:
    # Beside or inside root, thus on the same disk: moving is then a rename.
    place = root.parent if made_root else root
    return Path(tempfile.mkdtemp(prefix=f".{root.name}-", suffix=".unfinished", dir=place))


def _fill(draft: Path, config: WorkspaceConfig) -> None:
    for folder in (config.audio, config.tables):
        if "://" not in folder:
            (draft / folder).mkdir(parents=True)
    engine = make_engine(config.database_url(draft))
    try:
        with sql_errors(str(draft)):
            migrate(engine, draft)
        Records(engine, str(draft)).add(Project(config.project, config.project, datetime.now(UTC)))
    finally:
        engine.dispose()
    write_atomically(draft / FILE, config.to_toml().encode())


def _move(draft: Path, root: Path, made_root: bool) -> None:
    if made_root:
        draft.chmod(0o755)
        os.rename(draft, root)
        return
    names = sorted((path.name for path in draft.iterdir()), key=lambda name: name == FILE)
    taken = [name for name in names if (root / name).exists()]
    if taken:
        raise UsageError(
            f"{root} holds {taken[0]!r} already: choose an empty folder, or move it away"
        )
    moved: list[str] = []
    try:
        for name in names:  # trivox.toml last: with it the folder becomes a workspace
            os.rename(draft / name, root / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            os.rename(root / name, draft / name)
        raise
