"""A table of what each round comes to, kept in a file and made anew only for the rounds that changed."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from trivox.dashboards.queries.judgements import parquet
from trivox.dashboards.queries.shards import Damage
from trivox.platform.store.files import write_atomically

Key = tuple[str, str]
"""Branch and round."""
Make = Callable[[Key], tuple[pl.DataFrame, Sequence[Damage]]]
FORM = 2
"""Of the files kept; another one is made anew."""


@dataclass(frozen=True)
class Kept:
    """A partition as it was when its rollup was made."""

    branch: str
    round: str
    fingerprint: str
    damage: tuple[Damage, ...] = ()


class Rollup:
    """One kind of rollup, kept in a file and a list of what it was made of."""

    def __init__(self, path: Path, schema: dict[str, pl.DataType]) -> None:
        self._path, self._schema = path, schema
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], Kept] | None = None
        self.table = pl.DataFrame(schema=schema)

    @property
    def damage(self) -> list[Damage]:
        return [one for kept in (self._kept or {}).values() for one in kept.damage]

    def kept(self) -> list[tuple[str, str]]:
        """Branch and round of what is kept."""
        return sorted(self._kept or {})

    def refresh(
        self,
        wanted: dict[Key, str],
        make: Make,
        say: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Bring it up to date with `wanted`, partition -> fingerprint."""
        with self._lock:
            held, stale, gone = self._changed(wanted)
            parts = []
            for number, key in enumerate(stale):
                rows, damage = make(key)
                held[key] = Kept(*key, wanted[key], tuple(damage))
                parts.append(rows)
                say(number + 1, len(stale))
            self._put(held, stale, gone, parts)

    def refresh_at_once(
        self, wanted: dict[Key, str], make: Callable[[Sequence[Key]], pl.DataFrame]
    ) -> None:
        """As refresh, where all that is new is made in one go."""
        with self._lock:
            held, stale, gone = self._changed(wanted)
            held |= {key: Kept(*key, wanted[key]) for key in stale}
            self._put(held, stale, gone, [make(stale)] if stale else [])

    def _changed(self, wanted: dict[Key, str]) -> tuple[dict[Key, Kept], list[Key], list[Key]]:
        """What is kept, which of it is to be made anew, which of it is no longer wanted."""
        held = self._load()
        stale = [
            key for key, mark in wanted.items() if key not in held or held[key].fingerprint != mark
        ]
        return held, stale, [key for key in held if key not in wanted]

    def _put(
        self,
        held: dict[Key, Kept],
        stale: Sequence[Key],
        gone: Sequence[Key],
        parts: Sequence[pl.DataFrame],
    ) -> None:
        if not stale and not gone:
            return
        for key in gone:
            del held[key]
        at = {"branch": pl.String, "round": pl.String}
        changed = pl.DataFrame([*stale, *gone], schema=at, orient="row")
        old = self.table.join(changed, on=list(at), how="anti")
        new = [rows.select(pl.col(n).cast(k) for n, k in self._schema.items()) for rows in parts]
        self.table = pl.concat([old, *new]).sort(list(at), maintain_order=True)
        self._save(held)

    def _load(self) -> dict[tuple[str, str], Kept]:
        if self._kept is None:
            self._kept = {}
            try:
                told = json.loads(self._path.with_suffix(".json").read_text(encoding="utf-8"))
                table = pl.read_parquet(self._path)
                if told["form"] == FORM and table.schema == pl.Schema(self._schema):
                    self.table = table
                    self._kept = {(one["branch"], one["round"]): _kept(one) for one in told["of"]}
            except (OSError, ValueError, KeyError, pl.exceptions.PolarsError):
                self._kept = {}  # a cache that cannot be read is made anew
        return self._kept

    def _save(self, held: dict[tuple[str, str], Kept]) -> None:
        told = {"form": FORM, "of": [asdict(one) for one in held.values()]}
        # The list last: a table without it is made anew.
        self._path.with_suffix(".json").unlink(missing_ok=True)
        write_atomically(self._path, parquet(self.table))
        write_atomically(self._path.with_suffix(".json"), json.dumps(told).encode())


def _kept(told: dict[str, Any]) -> Kept:
    damage = tuple(Damage(**one) for one in told["damage"])
    return Kept(told["branch"], told["round"], told["fingerprint"], damage)
