"""How a workspace reaches its Label Studio: address, token and webhook secret, in a file for its owner alone."""

import os
import secrets
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from trivox.annotation.people.opaque import new_secret
from trivox.platform.errors import ConfigError, NotFound, UsageError
from trivox.platform.store import Workspace

FOLDER = "label-studio"
FILE = "connection.json"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TRIVOX_URL = "http://127.0.0.1:8080"
Address = Annotated[str, Field(max_length=500)]


class Connection(BaseModel):
    """url: of Label Studio. token: the legacy token or the personal access token of an account there. secret: what
    its webhooks send. trivox_url: how Label Studio and its users' browsers reach `trivox serve`. admin, password:
    of a server that Trivox runs, for its first sign-in; None elsewhere."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Address
    token: Annotated[str, Field(min_length=8, max_length=4000, repr=False)]
    secret: Annotated[str, Field(min_length=32, repr=False)]
    trivox_url: Address = TRIVOX_URL
    admin: str | None = None
    password: Annotated[str | None, Field(repr=False)] = None

    @field_validator("url", "trivox_url")
    @classmethod
    def _safe(cls, value: str) -> str:
        return safe_url(value)

    @classmethod
    def new(cls, url: str, token: str, trivox_url: str) -> Self:
        """With a secret of its own. Raises ConfigError for an address that a token must not go to."""
        try:
            return cls(url=url, token=token, secret=new_secret(), trivox_url=trivox_url)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ConfigError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    @classmethod
    def own(cls, port: int, trivox_url: str) -> Self:
        """For a new server on this machine, with an account and a token that nobody has seen."""
        made = cls.new(f"http://127.0.0.1:{port}", secrets.token_hex(20), trivox_url)
        return made.model_copy(
            update={"admin": "trivox@localhost.invalid", "password": secrets.token_urlsafe(18)}
        )


def safe_url(value: str) -> str:
    """The address without a slash at its end; ValueError unless it is https, or http on this machine."""
    parts = urlsplit(value)
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not parts.hostname or not (local or parts.scheme == "https") or parts.username:
        raise ValueError(f"{value!r}: https://host, or http on this machine: secrets go there")
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def folder_of(workspace: Workspace) -> Path:
    """Where the workspace keeps what concerns Label Studio; nobody else may look into it."""
    folder = workspace.root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    return folder


def find_connection(workspace: Workspace) -> Connection | None:
    """None when there is none. Raises ConfigError for a file that is not as Trivox wrote it."""
    path = workspace.root / FOLDER / FILE
    if not path.is_file():
        return None
    try:
        return Connection.model_validate_json(path.read_bytes())
    except ValidationError:  # its text would show the token
        raise ConfigError(f"{path} is damaged: `trivox label-studio connect` anew") from None


def the_connection(workspace: Workspace) -> Connection:
    """Raises NotFound when there is none."""
    found = find_connection(workspace)
    if found is None:
        raise NotFound(
            f"{workspace.root} has no Label Studio yet: `trivox label-studio serve --install`, or "
            "`trivox label-studio connect URL` to one that runs"
        )
    return found


def keep(workspace: Workspace, connection: Connection) -> None:
    """Write the file, whole or not at all, readable by its owner alone from its first byte."""
    path = folder_of(workspace) / FILE
    draft = path.with_name(f".{FILE}.{secrets.token_hex(4)}.tmp")
    try:
        opened = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(connection.model_dump_json(indent=1).encode())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def connect(workspace: Workspace, url: str, token: str, trivox_url: str) -> Connection:
    """Remember a Label Studio that runs already. Raises UsageError when the workspace has another one."""
    made = Connection.new(url, token, trivox_url)
    known = find_connection(workspace)
    if known is not None and known.url != made.url:
        raise UsageError(
            f"{workspace.root} works with {known.url}, not {made.url}: what was pushed lies there; "
            f"move {FOLDER}/{FILE} away to begin with another"
        )
    if known is not None:
        made = made.model_copy(
            update={"secret": known.secret, "admin": known.admin, "password": known.password}
        )
    keep(workspace, made)
    return made
