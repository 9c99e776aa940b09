"""The Parquet of a workspace as partitions with fingerprints: what changed is seen without reading any of it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from trivox.platform.hashing import content_hash
from trivox.platform.records import Rollout, Score
from trivox.platform.store import Workspace

_KINDS: dict[str, type[Any]] = {"rollout": Rollout, "score": Score}


@dataclass(frozen=True)
class Partition:
    """The files of one kind and round. fingerprint: of their names, sizes and times of change."""

    kind: str
    branch: str
    round: str
    paths: tuple[Path, ...]
    fingerprint: str

    @property
    def key(self) -> tuple[str, str]:
        return self.branch, self.round


@dataclass(frozen=True)
class Damage:
    """A file that cannot be read, and why. It is left out of every figure, and said so."""

    path: str
    cause: str


def partitions(ws: Workspace, kind: str, *, fetch: bool = True) -> list[Partition]:
    """All partitions of "rollout" or "score" of the current project, by branch and round.

    fetch: ask the object store first, where the tables lie on one; raises CorruptObject, StoreError.
    """
    root = ws.tables.folder(_KINDS[kind], fetch=fetch)
    found = []
    for branch in _folders(root, "branch="):
        for round_ in _folders(root / branch, "round="):
            files = _files(root / branch / round_)
            if files:
                paths = tuple(root / branch / round_ / name for name, _, _ in files)
                found.append(
                    Partition(kind, _value(branch), _value(round_), paths, content_hash(files))
                )
    return found


def _value(folder: str) -> str:
    return unquote(folder.partition("=")[2])


def _folders(root: Path, prefix: str) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(one.name for one in entries if one.name.startswith(prefix))
    except FileNotFoundError:
        return []


def _files(root: Path) -> list[tuple[str, int, int]]:
    with os.scandir(root) as entries:
        found = [one for one in entries if one.name.endswith(".parquet") and one.name[0] != "."]
        return sorted((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in found)


def readable(paths: Sequence[Path]) -> tuple[list[Path], list[Damage]]:
    """Those of the files whose footer can be read, and what is wrong with the others."""
    good, bad = [], []
    for path in paths:
        try:
            pl.read_parquet_schema(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            bad.append(Damage(str(path), " ".join(str(error).split())[:200]))
        else:
            good.append(path)
    return good, bad


def scan(partition: Partition, columns: Sequence[str]) -> tuple[pl.LazyFrame | None, list[Damage]]:
    """The columns of a partition, None where no file can be read."""
    good, bad = readable(partition.paths)
    if not good:
        return None, bad
    parts = [pl.scan_parquet(path, hive_partitioning=False).select(columns) for path in good]
    return pl.concat(parts, how="vertical_relaxed"), bad
