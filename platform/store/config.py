"""`trivox.toml`, the file that makes a folder a workspace."""

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
    """Paths are relative to the workspace; audio may be any fsspec URL, tables a folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workspace_version: Annotated[int, Field(ge=1, le=VERSION)] = VERSION
    project: Annotated[str, Field(min_length=1)] = "default"
    database: Annotated[str, Field(min_length=1)] = "sqlite:///trivox.db"
    audio: Annotated[str, Field(min_length=1)] = "audio"
    tables: Annotated[str, Field(min_length=1)] = "tables"

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
        return url

    def to_toml(self) -> str:
        return (
            "# A Trivox workspace. Paths are relative to this folder.\n"
            f"workspace_version = {self.workspace_version}\n"
            f'project = "{self.project}"\n'
            f'database = "{self.database}"  # or postgresql+psycopg://user@host/name\n'
            f'audio = "{self.audio}"\n'
            f'tables = "{self.tables}"\n'
        )


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
