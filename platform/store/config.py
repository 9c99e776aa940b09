"""`trivox.toml`, the file that makes a folder a workspace."""

import json
import tomllib
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field

from trivox.platform.config import load_toml
from trivox.platform.errors import ConfigError, NewerWorkspace, NotFound

FILE = "trivox.toml"
VERSION = 1


class WorkspaceConfig(BaseModel):
    """Paths are relative to the workspace; audio, tables and artefacts may be any fsspec URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace_version: Annotated[int, Field(ge=1, le=VERSION)] = VERSION
    project: Annotated[str, Field(min_length=1)] = "default"
    database: Annotated[str, Field(min_length=1)] = "sqlite:///trivox.db"
    audio: Annotated[str, Field(min_length=1)] = "audio"
    tables: Annotated[str, Field(min_length=1)] = "tables"
    artefacts: Annotated[str, Field(min_length=1)] = "artefacts"

    def database_url(self, root: Path) -> sa.URL:
        """With a relative SQLite path taken from root; ConfigError when it is no URL."""
        try:
            url = sa.make_url(self.database)
        except sa.exc.ArgumentError:
            raise ConfigError(
                f"{root / FILE}: database {self.database!r} is not a URL such as sqlite:///trivox.db"
            ) from None
        if url.get_backend_name() == "sqlite" and url.database:
            return url.set(database=str(root / url.database))
        # The driver need not be named; psycopg 3 is the one that the extra `postgres` installs.
        plain = url.drivername in ("postgresql", "postgres")
        return url.set(drivername="postgresql+psycopg") if plain else url

    def to_toml(self) -> str:
        return (
            "# A Trivox workspace. Paths are relative to this folder.\n"
            f"workspace_version = {self.workspace_version}\n"
            f"project = {json.dumps(self.project)}\n"
            "# or postgresql://user@host/name, its password in ~/.pgpass or PGPASSWORD\n"
            f"database = {json.dumps(self.database)}\n"
            "# or URLs such as s3://bucket/audio, keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY\n"
            f"audio = {json.dumps(self.audio)}\n"
            f"tables = {json.dumps(self.tables)}\n"
            f"artefacts = {json.dumps(self.artefacts)}\n"
        )


def workspace_config(project: str, database: str | None, storage: str | None) -> WorkspaceConfig:
    """database and storage: URLs, None for what lies in the workspace's own folder."""
    base = f"{storage.rstrip('/')}/" if storage else ""
    places = {name: f"{base}{name}" for name in ("audio", "tables", "artefacts")}
    given = {"project": project} | ({"database": database} if database else {}) | places
    return WorkspaceConfig.model_validate(given)


def read_config(root: Path) -> WorkspaceConfig:
    """The configuration of the workspace at root.

    Raises NotFound when it is none, NewerWorkspace by its version before anything else is looked at,
    ConfigError for a wrong key.
    """
    path = root / FILE
    if not path.is_file():
        raise NotFound(f"{root} is not a Trivox workspace (no {FILE}): run `trivox init {root}`")
    _check_version(path)
    return load_toml(path, WorkspaceConfig)


def _check_version(path: Path) -> None:
    try:
        version = tomllib.loads(path.read_text(encoding="utf-8")).get("workspace_version")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return  # load_toml says what is wrong
    if isinstance(version, int) and version > VERSION:
        raise NewerWorkspace(
            f"{path.parent} is a workspace of version {version}, newer than {VERSION}, the newest that"
            " this Trivox knows: update Trivox, or open a workspace of its own version"
        )
