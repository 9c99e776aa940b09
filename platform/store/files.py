"""Whole files or none."""

import os
import secrets
from pathlib import Path

from trivox.platform.store.faults import file_errors


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write content to path so that a reader, or a crash, finds the old file or all of the new.

    Raises DiskFull and StoreError; then neither the file nor a temporary one is left.
    """
    with file_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            with unfinished.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
