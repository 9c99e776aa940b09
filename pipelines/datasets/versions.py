"""Versions of a dataset: manifests with a hash, and the rows that the hash is made of."""

import json
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from trivox.pipelines.datasets.digests import SetHash, content_of, digest_of
from trivox.pipelines.datasets.filters import Filters
from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.reading import BATCH
from trivox.pipelines.datasets.selection import KINDS, Batch, Selection
from trivox.platform.errors import ConfigError, CorruptObject, NotFound
from trivox.platform.hashing import content_hash
from trivox.platform.records import Audio, PreferenceSet, PromptSet
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically

FOLDER = "datasets"
MANIFEST, MEMBERS = "manifest.json", "members.parquet"
PARTS = (*KINDS, "preferences", "placements")
"""preferences: those of all sets; placements: split and group of each prompt in each set."""
_NAME = re.compile(r"\w[\w.-]*")


class PartHash(BaseModel):
    """How many rows a part has, and the hash of them in any order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int
    hash: str


class Manifest(BaseModel):
    """One version of a dataset. hash: over parts and filters, nothing else: what is the same has the same hash.

    licences: licence -> audio under it; speakers: how many; forgotten: deletions that took rows out of it since,
    by id; parent: hash of the version before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = 1
    name: str
    version: int
    hash: str
    parts: dict[str, PartHash]
    filters: Filters
    created_at: datetime
    parent: str | None = None
    licences: dict[str, int] = {}
    left_out: dict[str, int] = {}
    forgotten: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


def manifest_hash(parts: dict[str, PartHash], filters: Filters) -> str:
    """sha256 over what parts hold and which filters chose it."""
    held = {name: [part.count, part.hash] for name, part in sorted(parts.items()) if part.count}
    return content_hash({"parts": held, "filters": filters.plain()})


@dataclass
class Tally:
    """Collects hashes, member rows and licences of batches as they pass."""

    members: Members
    hashes: dict[str, SetHash] = field(default_factory=dict)
    licences: Counter[str] = field(default_factory=Counter)

    def take(self, batch: Batch, contents: Sequence[bytes] | None = None) -> None:
        """Hash a batch. Prompt sets count by what they place where, preference sets by preferences too.

        contents: `content_of` each record, where it is known already.
        """
        part, records = batch
        known = [content_of(one) for one in records] if contents is None else contents
        self._rows(part, [(one.id, held) for one, held in zip(records, known, strict=True)])
        for one in records:
            if isinstance(one, PromptSet):
                placed = [(f"{one.reference} {item.prompt}", _row(item)) for item in one.items]
                self._rows("placements", placed)
            elif isinstance(one, PreferenceSet):
                self._rows("preferences", [(pair.id, _row(pair)) for pair in one.preferences])
            elif isinstance(one, Audio):
                self.licences[one.licence or "none stated"] += 1

    def _rows(self, part: str, rows: list[tuple[str, bytes]]) -> None:
        into = self.hashes.setdefault(part, SetHash())
        for _, content in rows:
            into.add(content)
        self.members.add(f"={part}", [(id, digest_of(content)) for id, content in rows])

    def parts(self) -> dict[str, PartHash]:
        return {
            name: PartHash(count=one.count, hash=one.hexdigest())
            for name, one in sorted(self.hashes.items())
        }


def _row(value: Any) -> bytes:
    return content_of(value)


def freeze(
    ws: Workspace,
    name: str,
    filters: Filters | None = None,
    *,
    size: int = BATCH,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[Manifest, bool]:
    """The latest version of a dataset if it holds the same still, else a new one; and whether it is new.

    Raises ConfigError for a name that is none, NotFound for filters that name what is not there, or for nothing.
    """
    filters = filters or Filters()
    check_name(name)
    with Members() as members:
        selection = Selection(ws, filters, members, size)
        tally = Tally(members)
        for batch in selection.batches():
            tally.take(batch)
        return publish_tally(ws, name, filters, selection.left_out, tally, now())


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"dataset {name!r}: write letters, digits, '_', '-' and '.' only")


def publish_tally(
    ws: Workspace,
    name: str,
    filters: Filters,
    left_out: Mapping[str, int],
    tally: Tally,
    moment: datetime,
) -> tuple[Manifest, bool]:
    """The latest version of that name if it holds the same, else a new one; NotFound for nothing."""
    check_name(name)
    parts = tally.parts()
    if not any(part.count for part in parts.values()):
        raise NotFound(
            f"{ws.root}: the filters take nothing: see `trivox data list` for what is there"
        )
    named, earlier = manifest_hash(parts, filters), versions_of(ws, name)
    if earlier and earlier[-1].hash == named and not earlier[-1].forgotten:
        return earlier[-1], False
    made = Manifest(
        name=name,
        version=earlier[-1].version + 1 if earlier else 1,
        hash=named,
        parts=parts,
        filters=filters,
        created_at=moment,
        parent=earlier[-1].hash if earlier else None,
        licences=dict(sorted(tally.licences.items())),
        left_out={reason: count for reason, count in left_out.items() if count},
    )
    _write(ws, made, tally.members)
    return made, True


def _write(ws: Workspace, made: Manifest, members: Members) -> None:
    """The whole version or none: a folder that is renamed into its place."""
    place = folder_of(ws, made)
    draft = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
    draft.mkdir(parents=True)
    try:
        write_members(draft / MEMBERS, members)
        write_atomically(draft / MANIFEST, made.model_dump_json(indent=2).encode())
        os.rename(draft, place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_members(path: Path, members: Members, size: int = BATCH) -> None:
    """Columns part, id, digest; a batch at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([("part", pa.string()), ("id", pa.string()), ("digest", pa.string())])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in PARTS:
            for rows in members.rows(f"={part}", size):
                ids, digests = zip(*rows, strict=True)
                columns = [[part] * len(rows), list(ids), list(digests)]
                writer.write_table(pa.table(columns, schema=schema))


def read_members(path: Path, size: int = BATCH) -> Iterator[list[tuple[str, str, str]]]:
    """(part, id, digest) of a version. Raises CorruptObject."""
    from pyarrow import ArrowInvalid, parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(size):
                columns = (batch.column(name).to_pylist() for name in ("part", "id", "digest"))
                yield list(zip(*columns, strict=True))
    except (OSError, ArrowInvalid) as error:
        raise CorruptObject(f"{path}: the version's rows cannot be read: {error}") from None


def folder_of(ws: Workspace, made: Manifest) -> Path:
    return ws.root / FOLDER / made.name / f"v{made.version:04d}"


def versions_of(ws: Workspace, name: str | None = None) -> list[Manifest]:
    """All versions of a dataset, or of all, oldest first. Raises CorruptObject."""
    found = sorted((ws.root / FOLDER).glob(f"{name or '*'}/v*/{MANIFEST}"))
    return sorted(map(read_manifest, found), key=lambda one: (one.name, one.version))


def read_manifest(path: Path) -> Manifest:
    """Raises CorruptObject for what is none, or whose hash is not that of its parts."""
    try:
        made = Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise CorruptObject(f"{path}: no manifest of a dataset version: {reason}") from None
    if manifest_hash(made.parts, made.filters) != made.hash:
        raise CorruptObject(
            f"{path}: its parts do not have the hash {made.hash}: it was changed by hand"
        )
    return made


def find_version(ws: Workspace, reference: str) -> Manifest:
    """`name@version`, a name for its latest, or the start of a hash. Raises NotFound."""
    every = versions_of(ws)
    found = [
        one
        for one in every
        if reference in (one.name, one.reference)
        or (len(reference) >= 6 and one.hash.startswith(reference))
    ]
    if not found:
        raise NotFound(
            f"no dataset version {reference!r} in {ws.root}: see `trivox data versions`, make one with"
            " `trivox data freeze`"
        )
    return found[-1]


def mark_forgotten(ws: Workspace, deletion: str, gone: Members) -> list[Manifest]:
    """Take rows out of the versions that list them, and note the deletion in their manifests; returns those.
    The hash stays that of what was frozen: nobody can make it again."""
    marked = []
    for made in versions_of(ws):
        folder = folder_of(ws, made)
        if deletion in made.forgotten or not _lists(folder / MEMBERS, gone):
            continue
        draft = folder / f".{MEMBERS}.{secrets.token_hex(4)}.tmp"
        with Members() as kept:
            for rows in read_members(folder / MEMBERS):
                for part, id, digest in _left(rows, gone):
                    kept.add(f"={part}", [(id, digest)])
            write_members(draft, kept)
        changed = made.model_copy(update={"forgotten": (*made.forgotten, deletion)})
        os.replace(draft, folder / MEMBERS)
        write_atomically(folder / MANIFEST, changed.model_dump_json(indent=2).encode())
        marked.append(changed)
    return marked


def _lists(path: Path, gone: Members) -> bool:
    return any(len(_left(rows, gone)) < len(rows) for rows in read_members(path))


def _left(rows: list[tuple[str, str, str]], gone: Members) -> list[tuple[str, str, str]]:
    """Placements are named by set and prompt: the prompt is what counts."""
    asked = {"placements": "prompts"}
    kept = []
    for part in {row[0] for row in rows}:
        some = [row for row in rows if row[0] == part]
        known = gone.known(asked.get(part, part), [row[1].rpartition(" ")[2] for row in some])
        kept += [row for row in some if row[1].rpartition(" ")[2] not in known]
    return kept
