"""What changed from one version of a dataset to another."""

from dataclasses import dataclass
from typing import Any

from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.versions import (
    MEMBERS,
    PARTS,
    Manifest,
    folder_of,
    read_members,
)
from trivox.platform.store import Workspace

SHOWN = 20


@dataclass
class PartChange:
    """Counts, and the first ids of each kind of change."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    ids: tuple[tuple[str, str], ...] = ()

    def note(self, sign: str, id: str) -> None:
        name = {"+": "added", "-": "removed", "~": "changed"}[sign]
        setattr(self, name, getattr(self, name) + 1)
        if len(self.ids) < SHOWN:
            self.ids += ((sign, id),)


@dataclass(frozen=True)
class Difference:
    """filters: name -> (before, after), of those that differ; parts: those with changes."""

    before: Manifest
    after: Manifest
    filters: dict[str, tuple[Any, Any]]
    parts: dict[str, PartChange]

    @property
    def same(self) -> bool:
        return self.before.hash == self.after.hash


def difference(ws: Workspace, before: Manifest, after: Manifest) -> Difference:
    """Which prompts, judgements, preferences, other rows and filters changed. Parts of equal hash are not read."""
    one, other = before.filters.plain(), after.filters.plain()
    filters = {
        name: (one.get(name), other.get(name))
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    }
    differing = {name for name in PARTS if before.parts.get(name) != after.parts.get(name)}
    parts = _changes(ws, before, after, differing) if differing else {}
    return Difference(before, after, filters, parts)


def _changes(
    ws: Workspace, before: Manifest, after: Manifest, differing: set[str]
) -> dict[str, PartChange]:
    found = {name: PartChange() for name in PARTS if name in differing}
    with Members() as old, Members() as new:
        for members, version in ((old, before), (new, after)):
            for rows in read_members(folder_of(ws, version) / MEMBERS):
                for part in differing.intersection(row[0] for row in rows):
                    members.add(part, [(id, digest) for name, id, digest in rows if name == part])
        for part, change in found.items():
            _compare(part, change, old, new)
    return {name: change for name, change in found.items() if change.ids}


def _compare(part: str, change: PartChange, old: Members, new: Members) -> None:
    for rows in old.rows(part, 5000):
        there = new.known(part, [id for id, _ in rows])
        for id, digest in rows:
            if id not in there:
                change.note("-", id)
            elif there[id] != digest:
                change.note("~", id)
    for rows in new.rows(part, 5000):
        there = old.known(part, [id for id, _ in rows])
        for id, _ in rows:
            if id not in there:
                change.note("+", id)
