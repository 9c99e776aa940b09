"""Rows that could not be taken, kept where they can be mended and imported again.

`quarantine/NAME-…/rows.jsonl` in the workspace has one JSON object a refused row: `row`, `reason`, `remedy`,
and what was refused as `values` (keys and values), `raw` (the text of a line) or `file` (bytes too long or too
damaged for a line, kept beside it). To mend: put the keys of a manifest right in `values`, then
`trivox data import …/rows.jsonl --name NAME --add`.
"""

import base64
import json
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trivox.pipelines.imports.rows import Held, Lines, Refusal
from trivox.platform.store.faults import file_errors

FOLDER, ROWS = "quarantine", "rows.jsonl"
_BLOCK = 1 << 20
LONGEST_RAW = 1 << 16
"""Bytes of a row that are kept within the line; longer ones go beside it."""


@dataclass
class Quarantine:
    """Written as refusals come, so that nothing is lost by an import that breaks off."""

    root: Path
    name: str
    folder: Path = field(init=False)
    count: int = 0

    def __post_init__(self) -> None:
        self.folder = self.root / FOLDER / f"{self.name}-{secrets.token_hex(4)}"

    @property
    def file(self) -> Path | None:
        return self.folder / ROWS if self.count else None

    def keep(self, refusals: Iterable[Refusal]) -> None:
        """Raises DiskFull: then nothing more should be imported either."""
        for one in refusals:
            with file_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                line = {"row": one.row, "reason": one.reason, "remedy": one.remedy}
                line |= self._held(one.held)
                with (self.folder / ROWS).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line, ensure_ascii=False, default=self._beside) + "\n")
            self.count += 1

    def _held(self, held: Held | None) -> dict[str, Any]:
        if isinstance(held, Lines):
            return self._lines(held)
        return {"values": self._plain(held)} if held is not None else {}

    def _lines(self, held: Lines) -> dict[str, Any]:
        if held.length > LONGEST_RAW:
            return {"file": self._copy(held), "length": held.length}
        try:
            return {"raw": held.read().decode("utf-8").rstrip("\r\n")}
        except UnicodeDecodeError:
            return {"file": self._copy(held), "length": held.length}

    def _copy(self, held: Lines) -> str:
        """A block at a time: the line may be longer than memory."""
        name = f"row-{self.count:06d}.bin"
        with held.open() as source, (self.folder / name).open("wb") as target:
            left = held.length
            while left and (block := source.read(min(left, _BLOCK))):
                target.write(block)
                left -= len(block)
        return name

    def _plain(self, values: Any) -> Any:
        if isinstance(values, Mapping):
            return {str(key): self._plain(value) for key, value in values.items()}
        if isinstance(values, list | tuple):
            return [self._plain(value) for value in values]
        return self._beside(values) if isinstance(values, bytes) else values

    def _beside(self, value: Any) -> Any:
        """Bytes go into a file beside the rows when they are long; what JSON has no word for is written as
        text."""
        if not isinstance(value, bytes):
            return str(value)
        if len(value) <= 256:
            return {"base64": base64.b64encode(value).decode()}
        name = f"bytes-{self.count:06d}-{secrets.token_hex(2)}.bin"
        (self.folder / name).write_bytes(value)
        return {"file": name}

    def discard(self) -> None:
        """For rows that are kept elsewhere still: nothing was imported."""
        shutil.rmtree(self.folder, ignore_errors=True)
