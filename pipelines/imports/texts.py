"""Reader of plain text: one prompt a line."""

from collections.abc import Iterator
from pathlib import Path

from trivox.pipelines.imports.rows import Read, Refusal, Row, decoded_lines


def read_text_lines(path: Path) -> Iterator[Read]:
    """Each line that is not blank is a prompt."""
    for number, line in decoded_lines(path):
        yield line if isinstance(line, Refusal) else Row(f"{path.name}:{number}", text=line)
