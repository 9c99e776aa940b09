"""Personas and rubrics in files that people edit: TOML (`[[persona]]`, `[[rubric]]`) and JSON lines.

A JSON line is one record with a `kind`. In both forms `version` may be left out: it is then the next of its name.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trivox.platform.errors import BadImport, NotFound, UsageError
from trivox.platform.personas.files import json_lines, read_text
from trivox.platform.personas.registry import (
    add,
    every,
    persona_of,
    revise_persona,
    revise_rubric,
    rubric_of,
)
from trivox.platform.records import Persona, Rubric
from trivox.platform.store import Workspace


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int | None = Field(None, ge=1)
    parents: tuple[str, ...] = ()


class PersonaEntry(_Entry):
    """A persona as people write it."""

    description: str
    traits: dict[str, str] = {}


class Criterion(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float
    description: str


class Metric(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Literal["wer", "cer"]
    normaliser: str


class RubricEntry(_Entry):
    """A rubric as people write it."""

    criteria: dict[str, Criterion]
    metrics: dict[str, Metric] = {}


Entry = PersonaEntry | RubricEntry
_KINDS: dict[str, type[PersonaEntry] | type[RubricEntry]] = {
    "persona": PersonaEntry,
    "rubric": RubricEntry,
}


@dataclass(frozen=True)
class Placed:
    """An entry and where it stands: the path, and the line where it is known."""

    entry: Entry
    where: str


def read(path: Path) -> list[Placed]:
    """The entries of a .toml or .jsonl file; raises BadImport that names file, line and field."""
    if path.suffix not in (".toml", ".jsonl"):
        raise BadImport(f"{path}: personas are read from .toml and .jsonl files")
    text = read_text(path)
    found = list(_of_toml(path, text) if path.suffix == ".toml" else _of_lines(path, text))
    if not found:
        raise BadImport(f"{path}: no [[persona]] and no [[rubric]] is in it")
    return found


def take(ws: Workspace, placed: Iterable[Placed]) -> list[Persona | Rubric]:
    """Registers entries, all or none, and returns them as stored; raises BadImport with the place."""
    taken = []
    with ws.records.transaction():
        for one in placed:
            try:
                taken.append(_register(ws, one.entry))
            except (UsageError, NotFound) as error:
                raise BadImport(f"{one.where}: {error}") from None
    return taken


def records(placed: Iterable[Placed], project: str) -> list[Persona | Rubric]:
    """The entries as records of no workspace; what has no version is version 1. Raises BadImport."""
    made: list[Persona | Rubric] = []
    for one in placed:
        try:
            made.append(_record(project, one.entry))
        except UsageError as error:
            raise BadImport(f"{one.where}: {error}") from None
    return made


def export(ws: Workspace) -> list[Persona | Rubric]:
    """Everything that is registered, parents first."""
    return [*every(ws, Persona), *every(ws, Rubric)]


def write(path: Path, written: Iterable[Persona | Rubric]) -> None:
    """A file that `read` reads: TOML or JSON lines by its ending; raises UsageError for another."""
    if path.suffix not in (".toml", ".jsonl"):
        raise UsageError(f"{path}: personas are written to .toml and .jsonl files")
    form = _toml if path.suffix == ".toml" else _line
    path.write_text("".join(form(record) for record in written), encoding="utf-8", newline="\n")


def _record(project: str, entry: Entry) -> Persona | Rubric:
    version = entry.version or 1
    if isinstance(entry, PersonaEntry):
        return persona_of(
            project, entry.name, entry.description, entry.traits, version, entry.parents
        )
    return rubric_of(project, entry.name, _criteria(entry), _metrics(entry), version, entry.parents)


def _register(ws: Workspace, entry: Entry) -> Persona | Rubric:
    if entry.version is not None:
        return add(ws, _record(ws.project, entry))
    if isinstance(entry, PersonaEntry):
        return revise_persona(ws, entry.name, entry.description, entry.traits, entry.parents)
    return revise_rubric(ws, entry.name, _criteria(entry), _metrics(entry))


def _criteria(entry: RubricEntry) -> dict[str, tuple[float, str]]:
    return {name: (each.weight, each.description) for name, each in entry.criteria.items()}


def _metrics(entry: RubricEntry) -> dict[str, tuple[str, str]]:
    return {language: (m.metric, m.normaliser) for language, m in entry.metrics.items()}


def _of_lines(path: Path, text: str) -> Iterator[Placed]:
    for where, raw in json_lines(path, text):
        kind = raw.pop("kind", None)
        if not isinstance(kind, str) or kind not in _KINDS:
            raise BadImport(f"{where}: kind: {kind!r} is neither 'persona' nor 'rubric'")
        yield Placed(_entry(kind, raw, where), where)


def _of_toml(path: Path, text: str) -> Iterator[Placed]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadImport(f"{path}: not valid TOML: {error}") from None
    for kind, rows in tables.items():
        if kind not in _KINDS or not isinstance(rows, list):
            raise BadImport(f"{path}: {kind}: only [[persona]] and [[rubric]] tables are read")
        lines = _headers(text, kind)
        for index, raw in enumerate(rows):
            # Written as an inline array an entry has no line of its own: it is then counted.
            line = lines[index] if len(lines) == len(rows) else None
            where = f"{path}:{line}" if line else f"{path}: {kind} {index + 1}"
            yield Placed(_entry(kind, raw, where), where)


def _headers(text: str, kind: str) -> list[int]:
    header = re.compile(rf"\s*\[\[\s*{kind}\s*\]\]")
    return [number for number, line in enumerate(text.split("\n"), 1) if header.match(line)]


def _entry(kind: str, raw: Any, where: str) -> Entry:
    try:
        return _KINDS[kind].model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or kind
        raise BadImport(f"{where}: {field}: {first['msg']}") from None


def _plain(record: Persona | Rubric) -> dict[str, Any]:
    common = {
        "name": record.name,
        "version": record.version,
        "parents": list(record.parents),
    }
    if isinstance(record, Persona):
        return {**common, "description": record.description, "traits": record.traits}
    criteria = {k: {"weight": w, "description": d} for k, (w, d) in record.criteria.items()}
    metrics = {k: {"metric": m, "normaliser": n} for k, (m, n) in record.metrics.items()}
    return {**common, "criteria": criteria, "metrics": metrics}


def _line(record: Persona | Rubric) -> str:
    row = {"kind": type(record).__name__.lower(), **_plain(record)}
    return json.dumps(row, ensure_ascii=False) + "\n"


def _toml(record: Persona | Rubric) -> str:
    rows = "".join(f"{key} = {_value(value)}\n" for key, value in _plain(record).items())
    return f"[[{type(record).__name__.lower()}]]\n{rows}\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_string(key)} = {_value(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return _string(value) if isinstance(value, str) else repr(value)


def _string(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's, but for the one control character that JSON lets through."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
