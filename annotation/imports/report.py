"""What an import took, and what it refused and why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RefusedRow:
    """row: counted from 1 without a head line."""

    row: int
    reason: str


@dataclass(frozen=True)
class Imported:
    """taken: new judgements; repeated: those that were there already."""

    taken: int
    repeated: int
    refused: tuple[RefusedRow, ...]
