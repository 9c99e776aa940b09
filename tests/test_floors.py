"""Imports point down the floors, and the lowest floor is light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOP = "top"
FLOORS = [
    "platform",
    "policy",
    "reward_models",
    "annotation",
    "pipelines",
    "dashboards",
    TOP,
]
HEAVY = ["ray", "torch", "transformers"]


def floor_of(module: str) -> str:
    """The floor of a dotted name under trivox; modules of trivox itself are the top."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else TOP


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every trivox import, also those inside functions and TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == "trivox")


def upward(source: str, floor: str) -> list[str]:
    """What a file on this floor imports from above it. `from trivox import __version__` is free."""
    height = FLOORS.index(floor)
    return [
        f"line {line}: {name}"
        for line, name in imported(source)
        if name != "trivox.__version__" and FLOORS.index(floor_of(name)) > height
    ]


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("floor", FLOORS[:-1])
def test_imports_point_down(floor: str) -> None:
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in modules(floor)
        if (wrong := upward(path.read_text(encoding="utf-8"), floor))
    }
    assert modules(floor), f"{floor}/ has no module: the test looks in the wrong place"
    assert found == {}


@pytest.mark.parametrize(
    ("source", "floor", "wrong"),
    [
        ("from trivox.policy import vocabulary", "platform", 1),
        ("from trivox import policy", "platform", 1),
        ("def f():\n    import trivox.pipelines.rounds", "annotation", 1),
        ("import trivox.cli", "dashboards", 1),
        ("from trivox.cli import main", "pipelines", 1),
        ("from trivox.platform import errors", "policy", 0),
        ("from trivox.policy.codec import rvq", "policy", 0),
        ("from trivox import __version__", "platform", 0),
        ("import platform, policy_of_others", "platform", 0),
    ],
)
def test_upward_imports_are_seen(source: str, floor: str, wrong: int) -> None:
    assert len(upward(source, floor)) == wrong


def loaded_by(*names: str) -> list[str]:
    """Heavy packages that a fresh interpreter has loaded after importing these modules."""
    imports = "; ".join(f"import {name}" for name in names)
    code = f"import sys; {imports}; print(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_platform_loads_nothing_heavy() -> None:
    names = [
        ".".join(("trivox", *path.relative_to(ROOT).with_suffix("").parts))
        for path in modules("platform")
        if path.name != "__init__.py" and "migrations" not in path.parts
    ]
    assert loaded_by(*names) == []


def test_trivox_loads_nothing_heavy() -> None:
    assert loaded_by("trivox") == []
