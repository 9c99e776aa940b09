"""What an import took, and what it refused and why."""

from dataclasses import dataclass

AGAIN = "mend it in the file and import that again"
TOLD = 1000
"""Refused rows that a report lists at most; those beyond are counted."""


@dataclass(frozen=True)
class RefusedRow:
    """row: counted from 1 without a head line; remedy: what to do about it."""

    row: int
    reason: str
    remedy: str = AGAIN


@dataclass(frozen=True)
class Imported:
    """taken: new judgements; repeated: those that were there already; refused: the first of the refused rows,
    beyond: how many more there are."""

    taken: int
    repeated: int
    refused: tuple[RefusedRow, ...]
    beyond: int = 0
