"""`trivox data validate SOURCE` as a function: an import into a workspace that is thrown away."""

from pathlib import Path

from trivox.annotation.imports import import_speechjudge
from trivox.annotation.people.audit import THE_SYSTEM
from trivox.pipelines.exports.forms import FORMS
from trivox.pipelines.imports.bundle import import_bundle, is_bundle
from trivox.pipelines.imports.human_prompts import import_human_prompts
from trivox.pipelines.imports.layouts import Layout
from trivox.pipelines.imports.preferences import Asked, import_preferences
from trivox.pipelines.imports.rows import Refusal
from trivox.pipelines.imports.service import TRAIN_AND_ANNOTATE, import_source
from trivox.platform.records import Branch, JudgeKind
from trivox.platform.store import Workspace

NAME = "try"
MEND = "mend it in the file and import that again"


def take_source(
    workspace: Workspace,
    source: str,
    *,
    branch: Branch,
    language: str,
    layout: str,
    judges: JudgeKind | None = None,
) -> list[Refusal]:
    """Import for a try, in any layout that `trivox data import` takes, and say what was refused.

    judges: of preferences whose rows do not say who judged. Raises as the import of that layout does.
    """
    path = Path(source)
    if layout == Layout.AUTO and is_bundle(path):
        return import_bundle(workspace, path).refused
    if layout == "speechjudge":
        told = import_speechjudge(workspace, THE_SYSTEM, path)
        return [Refusal(f"{path.name}:{one.row}", one.reason, MEND) for one in told.refused]
    if layout == "asterisk":
        return list(import_human_prompts(workspace, path, name=NAME).refused)
    if layout in FORMS:
        return import_preferences(
            workspace, path, Asked(NAME, layout, language, TRAIN_AND_ANNOTATE, judges)
        ).refused
    report = import_source(
        workspace, source, name=NAME, branch=branch, language=language, layout=layout
    )
    return list(report.refused)
