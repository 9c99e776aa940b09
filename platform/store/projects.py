"""Projects: several teams in one database, each with its own storage prefix, roles, quotas and budgets."""

import re
from datetime import UTC, datetime

from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import Project
from trivox.platform.records.budgets import ProjectPlan
from trivox.platform.store.records import Records

VARIABLE = "TRIVOX_PROJECT"
"""Environment variable: the project to work in, instead of the one in trivox.toml."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def create_project(records: Records, name: str, prefix: str | None = None) -> ProjectPlan:
    """Make a project whose audio and artefacts lie below prefix (None: its name).

    Raises UsageError for a name or prefix that is no plain path, for one that is there already, and for a prefix
    that holds, or lies in, another project's.
    """
    chosen = name if prefix is None else prefix
    for part in (name, *chosen.split("/")):
        if not _NAME.fullmatch(part) or len(chosen) < 3:  # "ab" is a folder of audio
            raise UsageError(
                f"project {name!r} with prefix {chosen!r}: letters, digits, '.', '_' and '-', 3 to 64 of them, a "
                "letter or digit first; a prefix may have several such parts between '/'"
            )
    now = datetime.now(UTC)
    plan = ProjectPlan(name, name, chosen, now)
    with records.transaction():
        if records.find(Project, id=name):
            raise UsageError(f"project {name!r} is there already: choose another name")
        for other in records.find(ProjectPlan):
            if f"{chosen}/".startswith(f"{other.prefix}/") or f"{other.prefix}/".startswith(
                f"{chosen}/"
            ):
                raise UsageError(
                    f"prefix {chosen!r} and {other.prefix!r} of project {other.project} overlap: give "
                    "another --prefix"
                )
        records.add(Project(name, name, now), plan)
    return plan


def find_project(records: Records, name: str) -> str:
    """name, if it is a project; NotFound names those there are."""
    if not records.find(Project, id=name):
        known = ", ".join(one.id for one in records.find(Project)) or "none"
        raise NotFound(
            f"no project {name!r} in this workspace; there is {known}: trivox project create {name}"
        )
    return name


def prefix_of(records: Records, project: str) -> str:
    """Where a project's files lie below the workspace's places: "" for the first one, which has them all."""
    plans = records.find(ProjectPlan, project=project)
    return plans[0].prefix if plans else ""
