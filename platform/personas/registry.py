"""The registry of personas and rubrics: immutable versions by name, and where each comes from."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from trivox.platform.errors import NotFound, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import Persona, Rubric
from trivox.platform.store import Workspace
from trivox.platform.text.normalise import normaliser_for

Versioned = TypeVar("Versioned", bound=Persona | Rubric)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SUM_TOLERANCE = 1e-6
METRICS = ("wer", "cer")


def reference(record: Persona | Rubric) -> str:
    """`name@version`: how prompts and parents name it."""
    return f"{record.name}@{record.version}"


def persona_of(
    project: str,
    name: str,
    description: str,
    traits: Mapping[str, str],
    version: int = 1,
    parents: Sequence[str] = (),
) -> Persona:
    """A checked persona; raises UsageError for a name, a description or a trait that cannot be."""
    _check_name("persona", name, version)
    if not description.strip():
        raise UsageError(f"persona {name}: description is empty: say in a line who it is")
    for trait, value in traits.items():
        if not trait.strip() or not value.strip():
            raise UsageError(
                f"persona {name}: trait {trait!r} is {value!r}: name both, or leave it out"
            )
    what = (project, name, version, description, dict(traits), list(parents))
    return Persona(
        derived_id("pe", *what), project, name, version, description, dict(traits), tuple(parents)
    )


def rubric_of(
    project: str,
    name: str,
    criteria: Mapping[str, tuple[float, str]],
    metrics: Mapping[str, tuple[str, str]] | None = None,
    version: int = 1,
    parents: Sequence[str] = (),
) -> Rubric:
    """A checked rubric: weights above 0 that sum to 1, metrics that fit their languages; raises UsageError."""
    _check_name("rubric", name, version)
    for criterion, (weight, _) in criteria.items():
        if not weight > 0:
            raise UsageError(f"rubric {name}: weight of {criterion} is {weight}: give more than 0")
    total = math.fsum(weight for weight, _ in criteria.values())
    if abs(total - 1) > _SUM_TOLERANCE:
        raise UsageError(f"rubric {name}: the weights sum to {total:g}: they have to sum to 1")
    for language, (metric, normaliser) in (metrics or {}).items():
        _check_metric(name, language, metric, normaliser)
    kept = dict(metrics or {})
    what = (project, name, version, dict(criteria), kept, list(parents))
    return Rubric(
        derived_id("ru", *what), project, name, version, dict(criteria), tuple(parents), kept
    )


def add(ws: Workspace, record: Versioned) -> Versioned:
    """Add one version as it is and return it as stored; the same again changes nothing.

    Raises UsageError when name@version is there with another content, NotFound for an unknown parent.
    """
    kind = type(record)
    with ws.records.transaction():
        there = _find(ws, kind, name=record.name, version=record.version)
        if there and content(there[0]) != content(record):
            raise UsageError(
                f"{_kind(kind)} {reference(record)} is registered with another content and versions never "
                f"change: give it version {newest(ws, kind, record.name).version + 1}"
            )
        if there:
            return there[0]
        for parent in record.parents:
            resolve(ws, kind, parent)
        ws.records.add(record)
        return record


def revise_persona(
    ws: Workspace,
    name: str,
    description: str,
    traits: Mapping[str, str],
    parents: Sequence[str] = (),
) -> Persona:
    """The next version of a persona, with the one before it as first parent; the newest if it is the same."""
    with ws.records.transaction():
        last = _last(ws, Persona, name)
        if last and (last.description, last.traits) == (description, dict(traits)):
            return last
        version, before = (last.version + 1, [reference(last)]) if last else (1, [])
        over = [*dict.fromkeys([*before, *parents])]
        return add(ws, persona_of(ws.project, name, description, traits, version, over))


def revise_rubric(
    ws: Workspace,
    name: str,
    criteria: Mapping[str, tuple[float, str]],
    metrics: Mapping[str, tuple[str, str]] | None = None,
) -> Rubric:
    """The next version of a rubric, with the one before it as parent; the newest if it is the same."""
    with ws.records.transaction():
        last = _last(ws, Rubric, name)
        if last and (last.criteria, last.metrics) == (dict(criteria), dict(metrics or {})):
            return last
        version, parents = (last.version + 1, [reference(last)]) if last else (1, [])
        return add(ws, rubric_of(ws.project, name, criteria, metrics, version, parents))


def every(ws: Workspace, kind: type[Versioned]) -> list[Versioned]:
    """All versions, in the order of adding."""
    return _find(ws, kind)


def current(ws: Workspace, kind: type[Versioned]) -> list[Versioned]:
    """The newest version of each name, in the order in which the names came."""
    latest: dict[str, Versioned] = {}
    for record in _find(ws, kind):
        if record.name not in latest or record.version > latest[record.name].version:
            latest[record.name] = record
    return list(latest.values())


def newest(ws: Workspace, kind: type[Versioned], name: str) -> Versioned:
    """Raises NotFound, with the names that there are."""
    found = _last(ws, kind, name)
    if found is None:
        known = ", ".join(reference(record) for record in current(ws, kind)[-8:]) or "none yet"
        raise NotFound(f"no {_kind(kind)} {name!r} in {ws.root}; registered: {known}")
    return found


def resolve(ws: Workspace, kind: type[Versioned], asked: str) -> Versioned:
    """By `name@version`, or by name alone its newest version; raises NotFound."""
    name, at, version = asked.partition("@")
    last = newest(ws, kind, name)
    if not at:
        return last
    found = [one for one in _find(ws, kind, name=name) if str(one.version) == version]
    if not found:
        raise NotFound(
            f"no {_kind(kind)} {asked!r} in {ws.root}: the newest of that name is {reference(last)}"
        )
    return found[0]


def lineage(ws: Workspace, record: Versioned) -> list[Versioned]:
    """record, then its parents, then theirs, up to the roots; each once."""
    found = [record]
    for one in found:  # grows while it is walked
        seen = {reference(other) for other in found}
        found += [resolve(ws, type(record), p) for p in one.parents if p not in seen]
    return found


def provenance(ws: Workspace, persona: Persona) -> dict[str, str | None]:
    """Trait -> the first parent that has it with the same value; None: the persona's own."""
    parents = [resolve(ws, Persona, parent) for parent in persona.parents]
    return {
        trait: next((reference(p) for p in parents if p.traits.get(trait) == value), None)
        for trait, value in persona.traits.items()
    }


def content(record: Persona | Rubric) -> dict[str, Any]:
    """What a version says, whatever its id and project."""
    return {name: v for name, v in asdict(record).items() if name not in ("id", "project")}


def _last(ws: Workspace, kind: type[Versioned], name: str) -> Versioned | None:
    return max(_find(ws, kind, name=name), key=lambda one: one.version, default=None)


def _find(ws: Workspace, kind: type[Versioned], **equal: Any) -> list[Versioned]:
    return ws.records.find(kind, project=ws.project, **equal)


def _kind(kind: type[Any]) -> str:
    return kind.__name__.lower()


def _check_name(kind: str, name: str, version: int) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{kind} {name!r}: name it with a-z, 0-9, - and _ alone")
    if version < 1:
        raise UsageError(f"{kind} {name}: version is {version}: versions begin at 1")


def _check_metric(name: str, language: str, metric: str, normaliser: str) -> None:
    known = normaliser_for(language).label
    if metric not in METRICS:
        raise UsageError(
            f"rubric {name}: metric of {language} is {metric!r}: give one of {', '.join(METRICS)}"
        )
    if normaliser != known:
        raise UsageError(
            f"rubric {name}: normaliser of {language} is {normaliser!r}: this version has {known!r}"
        )
