"""What the code imports is declared, what is declared is imported, and all of it is locked."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["annotation", "dashboards", "pipelines", "platform", "policy", "reward_models"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

OTHER_NAMES = {
    "markdown-it-py": "markdown_it",
    "argon2-cffi": "argon2",
    "python-ulid": "ulid",
    "scikit-learn": "sklearn",
}
WITHOUT_IMPORT = {
    "python-multipart": "FastAPI reads forms with it",
    "websockets": "uvicorn serves WebSockets with it",
}
UNDECLARED = {
    "distillmos": "requirements/offline-models.txt",
    "hibari": "requirements/offline-models.txt",
    "speechmos": "requirements/offline-models.txt",
    "label_studio_sdk": "an extra",
    "pandas": "evalica gives its tables as pandas'",
    "psycopg": "of the extra postgres",
    "adbc_driver_postgresql": "of the extra dev: a peer of the bench store-ingest",
    "adbc_driver_sqlite": "of the extra dev: a peer of the bench store-ingest",
    "duckdb": "of the extra dev: a peer of the bench store-query",
    "selenium": "of the extra dev: the bench of the annotators' page drives a browser",
    "mlflow": "of the extra mlflow",
    "sounddevice": "of the extra microphone",
    "pydantic_core": "one version of pydantic needs exactly one of it",
}


def names(requirements: list[str]) -> set[str]:
    """Distribution names, normalised."""
    return {re.split(r"[\[<>=]", one)[0].lower() for one in requirements}


def locked() -> dict[str, str]:
    """Normalised name -> version of requirements/lock.txt."""
    lines = (ROOT / "requirements" / "lock.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins}


def imported(folders: list[str]) -> set[str]:
    """Top-level packages of other people that the modules import, also inside functions."""
    found = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).split(".")[0])
    return {name for name in found if name not in {*sys.stdlib_module_names, "trivox"}}


def declared() -> set[str]:
    """Import names of the runtime dependencies."""
    found = names(PROJECT["dependencies"]) - WITHOUT_IMPORT.keys()
    return {OTHER_NAMES.get(name, name.replace("-", "_")) for name in found}


def test_every_import_is_declared() -> None:
    assert imported([*FOLDERS, "src"]) - declared() - UNDECLARED.keys() == set()


def test_every_dependency_is_imported() -> None:
    assert declared() - imported([*FOLDERS, "src"]) == set()


@pytest.mark.parametrize("group", ["dependencies", "dev"])
def test_every_dependency_is_locked(group: str) -> None:
    wanted = PROJECT.get(group) or PROJECT["optional-dependencies"][group]
    assert names(wanted) - locked().keys() == set()


def test_torch_is_pinned_to_the_locked_version() -> None:
    assert f"torch=={locked()['torch']}" in PROJECT["dependencies"]


def test_the_lock_suits_every_machine() -> None:
    """No package of a CUDA build, and no version that only one index has."""
    strange = [name for name in locked() if name.startswith(("nvidia", "triton"))]
    assert strange + [name for name, version in locked().items() if "+" in version] == []
