"""`trivox data import` as a function."""

import re
from pathlib import Path

from trivox.pipelines.imports.intake import Intake, Request
from trivox.pipelines.imports.languages import language_tag
from trivox.pipelines.imports.layouts import Layout, detect, read_rows
from trivox.pipelines.imports.publish import publish
from trivox.pipelines.imports.report import ImportReport
from trivox.pipelines.imports.splits import SplitPlan
from trivox.pipelines.imports.terms import Terms
from trivox.platform.errors import ConfigError
from trivox.platform.progress import progress
from trivox.platform.records import Branch
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import storage_check

_NAME = re.compile(r"\w[\w.-]*")
TENTH_FOR_TEST = SplitPlan()
TRAIN_AND_ANNOTATE = Terms()
ROWS_BETWEEN_CHECKS = 100


def import_source(
    workspace: Workspace,
    source: str,
    *,
    name: str,
    branch: Branch,
    language: str,
    layout: str = Layout.AUTO,
    split: SplitPlan = TENTH_FOR_TEST,
    terms: Terms = TRAIN_AND_ANNOTATE,
    min_rate: int = 0,
    audio_root: Path | None = None,
    add: bool = False,
) -> ImportReport:
    """Take prompts and speech from source into the set name; a set of that name gets a new version.

    language: BCP-47, for rows that name none. min_rate: Hz, recordings below it are refused. audio_root:
    folder that a manifest's audio paths are relative to. add: to what the set's latest version holds. Good rows
    are taken, the others reported. SQL is written once at the end: an import that is broken off leaves no set.

    Raises NotFound, ConfigError, BadImport (nothing could be taken), RefusedByConsent, DiskFull, BudgetSpent (the
    project keeps all that its budget of storage allows: the same import goes on when that is raised).
    """
    request = make_request(name, branch, language, terms, min_rate)
    found = detect(source, _layout(layout))
    intake = Intake(workspace, request, _source_name(source, found))
    check_room = storage_check(workspace)
    rows = progress(read_rows(source, found, audio_root), f"importing {name}")
    for number, read in enumerate(rows):
        if number % ROWS_BETWEEN_CHECKS == 0:
            check_room()
        intake.add(read)
    return publish(intake, found.value, split, source, add)


def make_request(
    name: str, branch: Branch, language: str, terms: Terms, min_rate: int = 0
) -> Request:
    """The options checked; raises ConfigError, BadImport."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"name {name!r}: write letters, digits, '_', '-' and '.' only")
    tag = language_tag(language)
    if tag is None:
        raise ConfigError(
            f"language {language!r} is no BCP-47 tag: write one such as en-US or zh-CN"
        )
    if min_rate < 0:
        raise ConfigError(f"min rate {min_rate} Hz: give 0 or more")
    return Request(name, branch, tag, terms, min_rate)


def _layout(name: str) -> Layout:
    try:
        return Layout(name)
    except ValueError:
        raise ConfigError(f"layout {name!r}: choose from {', '.join(Layout)}") from None


def _source_name(source: str, layout: Layout) -> str:
    """What stands before a row's label to say where it came from; no path of this machine."""
    path = Path(source)
    if layout in (Layout.JSONL, Layout.TEXT):
        return ""
    return (
        f"{path.resolve().name}/" if path.is_dir() else f"{path.name if path.exists() else source}:"
    )
