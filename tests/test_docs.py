"""The documentation names what exists, all of it, and nothing else."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import trivox

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["annotation", "dashboards", "pipelines", "platform", "policy", "reward_models"]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
CLI_PAGE = ROOT / "docs" / "cli.md"
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def targets() -> set[str]:
    """Targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", read("Makefile"), re.MULTILINE))


def generated() -> str:
    """The command line's page as `make docs` writes it."""
    options = ["utils", "docs", "--name", "trivox", "--title", "The command line"]
    command = [sys.executable, "-m", "typer", "trivox.cli", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_readme_has_the_tree() -> None:
    shown = re.findall(r"^(\S+)/ {2,}\S", read("README.md"), re.MULTILINE)
    assert set(shown) == {*FOLDERS, "src/trivox", "tests", "docs", "requirements"}
    assert all((ROOT / folder).is_dir() for folder in shown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    named = re.findall(
        r"(?:^|`)make ([a-z][a-z -]*)", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {target for names in named for target in names.split()} <= targets()


def test_every_make_target_explains_itself() -> None:
    explained = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))
    assert explained == targets()
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(f"  {target} " in shown.stdout for target in targets())


def test_ci_runs_the_targets_of_people() -> None:
    run = re.findall(r"^make (.+)$", read(".ci/run"), re.MULTILINE)
    assert " ".join(run).split() == [
        "install",
        "lint",
        "types",
        "test",
        "test-label-studio",
    ]


def test_the_command_line_page_is_what_the_commands_say() -> None:
    assert CLI_PAGE.read_text(encoding="utf-8").strip() == generated().strip(), "run `make docs`"


def test_readme_names_every_command_and_no_other() -> None:
    documented = set(re.findall(r"^#+ `trivox ([a-z-]+)`", read("docs/cli.md"), re.MULTILINE))
    in_readme = set(re.findall(r"^\| `trivox ([a-z-]+)", read("README.md"), re.MULTILINE))
    assert in_readme == documented


def test_one_version() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert project["version"] == trivox.__version__
