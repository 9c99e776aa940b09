"""Text files with a place for every complaint."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trivox.platform.errors import BadImport, NotFound
from trivox.platform.personas.registry import resolve
from trivox.platform.records import Persona
from trivox.platform.store import Workspace


def read_text(path: Path) -> str:
    """Raises BadImport for a file that is not there or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadImport(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise BadImport(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None


def json_lines(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(`path:line`, the object of that line); empty lines are passed over. Raises BadImport."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            raw = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadImport(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
        if not isinstance(raw, dict):
            raise BadImport(f"{where}: an object is expected, not {type(raw).__name__}")
        yield where, raw


def read_replies(ws: Workspace, path: Path) -> list[tuple[Persona, str]]:
    """Replies to be checked: JSON lines with `persona` (name or name@version) and `text`; raises BadImport."""
    replies = []
    for where, raw in json_lines(path, read_text(path)):
        for field in ("persona", "text"):
            if not isinstance(raw.get(field), str):
                raise BadImport(f"{where}: {field}: {raw.get(field)!r} is no text")
        try:
            replies.append((resolve(ws, Persona, raw["persona"]), raw["text"]))
        except NotFound as error:
            raise BadImport(f"{where}: persona: {error}") from None
    if not replies:
        raise BadImport(f"{path}: no reply is in it")
    return replies
