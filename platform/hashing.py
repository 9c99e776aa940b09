"""Content hashes and the ids that are made of them."""

import hashlib
import json
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_files(paths: list[Path]) -> str:
    """One hash for several files: of their names and hashes, whatever the order given."""
    return content_hash({path.name: sha256_file(path) for path in paths})


def content_hash(value: Any) -> str:
    """sha256 of a JSON-serialisable value in canonical form: sorted keys, no spaces, UTF-8."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def derived_id(prefix: str, *parts: Any) -> str:
    """An id that depends on what a thing is made from, never on when: `prefix_` and 24 hexadecimal digits."""
    return f"{prefix}_{content_hash(list(parts))[:24]}"


def derived_seed(*parts: Any) -> int:
    """A seed in 0..2^63-1 from the same kind of parts as derived_id."""
    return int(content_hash(list(parts))[:16], 16) >> 1
