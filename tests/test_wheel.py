"""The built wheel holds everything that the tree holds, and nothing else.

A data file that package-data does not name works in an editable install and is missing from the wheel.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["annotation", "dashboards", "pipelines", "platform", "policy", "reward_models"]
WEIGHTS = "policy/checkpoints/trivox-nano-v2/"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names in a wheel that is built offline from a copy: a build leaves folders beside its source."""
    source = tmp_path_factory.mktemp("build") / "source"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in (*FOLDERS, "src"):
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / file, source)
    build = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    build += ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(source.parent)]
    done = subprocess.run([*build, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [built] = source.parent.glob("trivox-*.whl")
    with zipfile.ZipFile(built) as archive:
        return archive.namelist()


def expected() -> set[str]:
    """Every file of the six folders and of src/trivox, under its name in the package."""
    files = {f"trivox/{name}" for folder in FOLDERS for name in files_below(ROOT, folder)}
    return files | set(files_below(ROOT / "src", "trivox"))


def files_below(root: Path, folder: str) -> list[str]:
    """Files below a folder without following its links, relative to root; what Python left aside."""
    return [
        str((Path(place) / name).relative_to(root))
        for place, _, names in os.walk(root / folder)
        if "__pycache__" not in Path(place).parts
        for name in names
    ]


def test_every_file_of_the_tree_is_in_the_wheel(wheel: list[str]) -> None:
    assert sorted(expected() - set(wheel)) == []


def test_nothing_else_is_in_the_wheel(wheel: list[str]) -> None:
    strange = [name for name in wheel if ".dist-info/" not in name and name not in expected()]
    assert strange == []


def test_only_trivox_is_on_top(wheel: list[str]) -> None:
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"trivox"}


@pytest.mark.parametrize(
    "name",
    [
        "trivox/py.typed",
        "trivox/platform/errors.py",
        f"trivox/{WEIGHTS}config.json",
        f"trivox/{WEIGHTS}model.safetensors",
        f"trivox/{WEIGHTS}token_map.json",
        f"trivox/{WEIGHTS}codec/model.safetensors",
    ],
)
def test_wheel_has(wheel: list[str], name: str) -> None:
    assert name in wheel


def test_licence_and_notice_travel_along(wheel: list[str]) -> None:
    assert {Path(name).name for name in wheel if "/licenses/" in name} == {"LICENSE", "NOTICE"}
