"""Which exports left the workspace, and whose data is in them."""

import json
import secrets
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from trivox.platform.errors import CorruptObject
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically

FOLDER = "exports"
NOTICE = "FORGOTTEN.json"


class ExportEntry(BaseModel):
    """people: ids of the speakers heard in it and of the judges whose answers are in it. forgotten: deletions
    since."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    project: str
    folder: str
    format: str
    created_at: str
    speakers: tuple[str, ...] = ()
    annotators: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()


def register_export(
    ws: Workspace,
    out: Path,
    form: str,
    created_at: str,
    speakers: Iterable[str],
    annotators: Iterable[str],
) -> None:
    """Raises DiskFull."""
    entry = ExportEntry(
        id=secrets.token_hex(8),
        project=ws.project,
        folder=str(out.resolve()),
        format=form,
        created_at=created_at,
        speakers=tuple(sorted(set(speakers))),
        annotators=tuple(sorted(set(annotators))),
    )
    _write(ws, entry)


def _write(ws: Workspace, entry: ExportEntry) -> None:
    write_atomically(ws.root / FOLDER / f"{entry.id}.json", entry.model_dump_json().encode())


def exports(ws: Workspace) -> list[ExportEntry]:
    """All of the workspace, oldest first. Raises CorruptObject."""
    found = []
    for path in sorted((ws.root / FOLDER).glob("*.json")):
        try:
            found.append(ExportEntry.model_validate(json.loads(path.read_text(encoding="utf-8"))))
        except (ValueError, ValidationError) as error:
            raise CorruptObject(f"{path}: no entry of an export: {error}") from None
    return sorted(found, key=lambda one: one.created_at)


def mark_exports(ws: Workspace, deletion: str, kind: str, subject: str) -> None:
    """Note the deletion with every export that holds the person's data, and, where its folder is there still,
    in it."""
    for one in exports(ws):
        held = one.speakers if kind == "speaker" else one.annotators
        if subject not in held or deletion in one.forgotten:
            continue
        if Path(one.folder).is_dir():
            told = {"deletion": deletion, "remedy": "delete this folder and export again"}
            write_atomically(Path(one.folder) / NOTICE, json.dumps(told).encode())
        _write(ws, one.model_copy(update={"forgotten": (*one.forgotten, deletion)}))


def exports_of(ws: Workspace, deletion: str) -> list[str]:
    return [one.folder for one in exports(ws) if deletion in one.forgotten]
