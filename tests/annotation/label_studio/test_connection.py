"""The file with the secrets, the server's environment, and what an address may be."""

import os
import socket
from pathlib import Path

import pytest

from trivox.annotation.label_studio import environment, server
from trivox.annotation.label_studio.connection import (
    FILE,
    Connection,
    connect,
    find_connection,
    folder_of,
    keep,
    safe_url,
    the_connection,
)
from trivox.platform.errors import ConfigError, NotFound, UsageError
from trivox.platform.store import Workspace

TOKEN = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org",
        "ftp://127.0.0.1",
        "https://",
        "https://me:secret@host",
        "example.org",
        "",
    ],
)
def test_secrets_go_over_tls_or_stay_here(address: str) -> None:
    with pytest.raises(ValueError, match="https://host"):
        safe_url(address)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://ls.example.org/", "https://ls.example.org"),
        ("http://127.0.0.1:8081/?x=1", "http://127.0.0.1:8081"),
        ("http://localhost/ls/", "http://localhost/ls"),
    ],
)
def test_addresses_are_kept_in_one_form(given: str, kept: str) -> None:
    assert safe_url(given) == kept


def test_secrets_are_for_their_owner_alone(workspace: Workspace) -> None:
    made = connect(workspace, "https://ls.example.org", TOKEN, "https://trivox.example.org")
    folder = folder_of(workspace)
    assert [one.name for one in folder.iterdir()] == [FILE]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    assert find_connection(workspace) == made
    assert TOKEN not in repr(made) and made.secret not in repr(made)


def test_a_new_token_keeps_the_secret_and_another_server_is_refused(workspace: Workspace) -> None:
    first = connect(workspace, "https://ls.example.org", TOKEN, "https://trivox.example.org")
    second = connect(workspace, "https://ls.example.org", "b" * 40, "https://trivox.example.org")
    assert (second.secret, second.token) == (first.secret, "b" * 40)
    with pytest.raises(UsageError, match="works with https://ls.example.org"):
        connect(workspace, "https://other.example.org", TOKEN, "https://trivox.example.org")
    with pytest.raises(UsageError, match="not Trivox's to run"):
        server.server_connection(workspace, 8081, None)


def test_what_is_damaged_or_missing_is_said_without_the_token(workspace: Workspace) -> None:
    with pytest.raises(NotFound, match="serve --install"):
        the_connection(workspace)
    with pytest.raises(ConfigError, match="http on this machine"):
        connect(workspace, "http://ls.example.org", TOKEN, "https://trivox.example.org")
    (folder_of(workspace) / FILE).write_text(f'{{"token": "{TOKEN}"')
    with pytest.raises(ConfigError, match="damaged") as told:
        find_connection(workspace)
    assert TOKEN not in str(told.value)


def test_the_server_inherits_nothing_that_it_could_take_for_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HOST", "DEBUG", "PASSWORD", "LABEL_STUDIO_DEBUG", "DJANGO_DB", "AWS_SECRET"):
        monkeypatch.setenv(name, "true")
    made = server.environment_of(Connection.own(8081, "http://127.0.0.1:8080"), tmp_path)
    others = {name for name in made if not name.startswith("LABEL_STUDIO_")}
    assert others <= {"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "HOME"}
    assert made["LABEL_STUDIO_DEBUG"] == "false" and made["HOME"] == str(tmp_path)
    assert made["LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK"] == "true"
    banned = made["LABEL_STUDIO_USER_ADDITIONAL_BANNED_SUBNETS"].split(",")
    assert "10.0.0.0/8" in banned and "127.0.0.0/8" not in banned


def test_a_taken_port_is_refused() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        with pytest.raises(ConfigError, match="cannot be used"):
            server.check_free(held.getsockname()[1])


def test_accounts_of_an_own_server_are_new_each_time(workspace: Workspace) -> None:
    first = server.server_connection(workspace, 8081, None)
    assert server.server_connection(workspace, 8081, None) == first
    assert first.token != Connection.own(8081, first.trivox_url).token
    moved = server.server_connection(workspace, 8081, "http://127.0.0.1:9000")
    assert (moved.trivox_url, moved.token) == ("http://127.0.0.1:9000", first.token)
    with pytest.raises(UsageError, match="not port 8082"):
        server.server_connection(workspace, 8082, None)
    keep(workspace, moved)


def test_the_environment_is_named_or_in_the_workspace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    assert environment.place_of(tmp_path) == (tmp_path / "venv").resolve()
    with pytest.raises(NotFound, match="--install"):
        environment.executable(tmp_path / "venv")
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path / "other"))
    assert environment.place_of(tmp_path) == (tmp_path / "other").resolve()
    assert environment.pinned().startswith(environment.TESTED)
    assert os.access(environment.REQUIREMENTS, os.R_OK)
