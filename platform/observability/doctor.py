"""Is everything here that work needs: versions, GPU, disk, database, object storage, permissions.

Every check answers; none raises. What only a higher floor knows (GPU, cluster) is handed in as a check.
"""

import importlib.metadata
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa

from trivox.platform.errors import TrivoxError
from trivox.platform.store import Workspace
from trivox.platform.store.migrations import HEAD, current_revision
from trivox.platform.store.objects import Objects, redacted

LEAST_FREE = 5 << 30
PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "ray",
    "polars",
    "pyarrow",
    "sqlalchemy",
    "psycopg",
    "s3fs",
)
OPTIONAL = {"psycopg", "s3fs"}


class Health(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """What one check found; told in words, with the way out where something is wrong."""

    check: str
    health: Health
    told: str


Check = Callable[[], Finding]


def examine(root: Path, more: Sequence[Check] = ()) -> list[Finding]:
    """Every check of the workspace at root, and those handed in."""
    checks: list[Check] = [versions, lambda: disk(root), lambda: permissions(root)]
    findings = [check() for check in checks]
    try:
        with Workspace.open(root) as ws:
            findings += [database(ws), storage(ws)]
    except TrivoxError as error:
        findings.append(Finding("workspace", Health.FAILED, str(error)))
    return findings + [_safely(check) for check in more]


def versions() -> Finding:
    found, missing = {"python": sys.version.split()[0]}, []
    for name in ("trivox", *PACKAGES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing += [] if name in OPTIONAL else [name]
    told = ", ".join(f"{name} {version}" for name, version in found.items())
    if missing:
        return Finding(
            "versions",
            Health.FAILED,
            f"not installed: {', '.join(missing)}: pip install trivox; {told}",
        )
    return Finding("versions", Health.OK, told)


def disk(root: Path) -> Finding:
    there = next(path for path in (root.resolve(), *root.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    told = f"{free / 1e9:.1f} GB free at {there}"
    if free < LEAST_FREE:
        return Finding("disk", Health.WARNING, f"{told}: rounds stop when none is left; free some")
    return Finding("disk", Health.OK, told)


def permissions(root: Path) -> Finding:
    """Whether this user can write there, and whether others can read what may hold a password."""
    if not root.is_dir():
        return Finding("permissions", Health.FAILED, f"{root} is no folder: trivox init {root}")
    probe = root / f".doctor-{secrets.token_hex(4)}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Finding(
            "permissions",
            Health.FAILED,
            f"{root} cannot be written by uid {os.getuid()}: {error.strerror}",
        )
    settings = root / "trivox.toml"
    secret = settings.is_file() and _has_password(settings)
    if secret and settings.stat().st_mode & 0o077:
        return Finding(
            "permissions",
            Health.WARNING,
            f"{settings} holds a password that others may read: chmod 600, or ~/.pgpass",
        )
    return Finding("permissions", Health.OK, f"{root} is writable by uid {os.getuid()}")


def database(ws: Workspace) -> Finding:
    """One read and one write that is undone."""
    shown = redacted(ws.config.database)
    try:
        with ws.records.statements(write=True) as connection:
            revision = current_revision(connection)
            name = connection.dialect.name
            version = ".".join(map(str, connection.dialect.server_version_info or ()))
            connection.execute(sa.text("CREATE TEMPORARY TABLE doctor_probe (one INTEGER)"))
            connection.execute(sa.text("DROP TABLE doctor_probe"))
    except TrivoxError as error:
        return Finding("database", Health.FAILED, str(error))
    if revision != HEAD:
        return Finding(
            "database",
            Health.FAILED,
            f"{shown} is at revision {revision}, not {HEAD}: update Trivox",
        )
    return Finding("database", Health.OK, f"{name} {version} at revision {revision}: {shown}")


def storage(ws: Workspace) -> Finding:
    """Whether the places for audio and artefacts take a file and give it back."""
    for url in (ws.config.audio, ws.config.artefacts):
        if "://" not in url:
            continue
        probe = f"doctor/{secrets.token_hex(4)}"
        try:
            objects = Objects(url, ws.root)
            objects.probe(probe)
        except TrivoxError as error:
            return Finding("storage", Health.FAILED, str(error))
    return Finding(
        "storage",
        Health.OK,
        f"audio {redacted(ws.config.audio)}, artefacts {redacted(ws.config.artefacts)}",
    )


def _has_password(settings: Path) -> bool:
    from trivox.platform.store.config import read_config

    try:
        return sa.make_url(read_config(settings.parent).database).password is not None
    except (TrivoxError, sa.exc.ArgumentError):
        return False


def _safely(check: Check) -> Finding:
    try:
        return check()
    except Exception as error:  # a health check that dies tells nobody anything
        return Finding(getattr(check, "__name__", "check"), Health.FAILED, repr(error))
