"""The virtual environment of the Label Studio server: its own, for it pins what Trivox needs in other versions."""

import os
import re
import subprocess
import sys
from pathlib import Path

from trivox.platform.errors import NotFound, UsageError, WorkError
from trivox.platform.progress import say

REQUIREMENTS = Path(__file__).with_name("server-requirements.txt")
VARIABLE = "TRIVOX_LABEL_STUDIO_VENV"
TESTED = "1.23."
_VERSION = "from importlib.metadata import version; print(version('label-studio'))"


class InstallFailed(WorkError):
    """pip could not install the server."""


def pinned() -> str:
    """The version of the server that server-requirements.txt asks for."""
    found = re.search(r"^label-studio==(\S+)$", REQUIREMENTS.read_text("utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def place_of(folder: Path) -> Path:
    """Where the environment is: as the environment variable says, else in the workspace's folder."""
    return Path(os.environ.get(VARIABLE) or folder / "venv").resolve()


def install(place: Path) -> None:
    """Make the environment, or bring it to the pinned versions; about a gigabyte. Raises InstallFailed."""
    if installed_version(place) == pinned():
        return
    say(f"label-studio {pinned()} into {place}: some minutes, about 1 GB")
    python = place / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(place)], place)
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    _run([str(python), "-m", "pip", "install", *quiet, "-r", str(REQUIREMENTS)], place)


def _run(command: list[str], place: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
        raise InstallFailed(f"{place}: {' '.join(command[1:4])} failed: {last[0]}")


def installed_version(place: Path) -> str | None:
    """None where there is no server. `label-studio --version` is not asked: it makes a database."""
    python = place / "bin" / "python"
    if not python.exists():
        return None
    done = subprocess.run(
        [str(python), "-I", "-c", _VERSION], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def executable(place: Path) -> Path:
    """The server's command. Raises NotFound where there is none, UsageError for a version never tried."""
    version = installed_version(place)
    if version is None:
        raise NotFound(
            f"no Label Studio server in {place}: add --install, or name its environment in {VARIABLE}"
        )
    if not version.startswith(TESTED):
        raise UsageError(
            f"{place} has label-studio {version}, Trivox knows {TESTED}x: add --install, or name another "
            f"environment in {VARIABLE}"
        )
    return place / "bin" / "label-studio"
