"""Words that all pages share."""

from typing import TYPE_CHECKING

from trivox.platform.records import Branch, JudgeKind

if TYPE_CHECKING:
    from trivox.dashboards.queries.source import Source

BRANCHES = tuple(branch.value for branch in Branch)
JUDGES = {
    JudgeKind.HUMAN.value: "people",
    JudgeKind.GRM.value: "generative judges",
    JudgeKind.SIMULATED.value: "simulated judges",
}


def damage_notes(source: "Source") -> tuple[str, ...]:
    """What could not be read, for every page that would have counted it."""
    found = source.rollups.damage
    if not found:
        return ()
    first = f"{found[0].path}: {found[0].cause}"
    return (
        f"{len(found)} damaged files are left out of all figures, first {first}. Bring them back from a backup.",
    )


def judges_note(kind: str | None) -> tuple[str, ...]:
    """Said wherever figures are not of people."""
    if kind in (None, JudgeKind.HUMAN.value):
        return ()
    return (
        f"The judges are {JUDGES[str(kind)]}, not people: these figures say nothing of what listeners prefer.",
    )
