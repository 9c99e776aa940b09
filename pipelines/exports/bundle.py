"""A dataset in a folder: everything that a version holds, in Parquet or JSON lines, with its manifest and its
audio.

`manifest.json` names each file with its hash; `audio/ab/abcd….flac` holds the sounds, filed as the store files
them. Whatever was half written is begun again: the manifest comes last.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from trivox.pipelines.consent import Clock, UseOf, refusals, terms_of, utc_now
from trivox.pipelines.datasets.filters import Filters
from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.reading import BATCH
from trivox.pipelines.datasets.registry import register_export
from trivox.pipelines.datasets.selection import Selection
from trivox.pipelines.datasets.versions import PartHash, Tally, check_name, manifest_hash
from trivox.pipelines.exports.columns import schema_of, to_line, to_table
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.hashing import sha256_file
from trivox.platform.records import Audio, Consent
from trivox.platform.store import Workspace
from trivox.platform.store.files import write_atomically

Form = Literal["parquet", "jsonl"]
MANIFEST = "manifest.json"
PER_FILE = 50_000
"""Rows in one file."""


class BundleFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    part: str
    rows: int
    sha256: str


class BundleManifest(BaseModel):
    """What lies in the folder. hash, parts, filters: as in a version's manifest. use: what it was exported for;
    expires_at: when the first consent in it ends, and with it the right to use the folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["trivox-dataset"] = "trivox-dataset"
    format_version: int = 1
    name: str
    hash: str
    parts: dict[str, PartHash]
    filters: Filters
    files: tuple[BundleFile, ...]
    use: Consent
    commercial: bool
    created_at: datetime
    expires_at: datetime | None
    licences: dict[str, int]
    left_out: dict[str, int]
    audio: bool


@dataclass
class PartWriter:
    """Rows of one part into files of at most PER_FILE rows, a batch in memory at a time."""

    folder: Path
    part: str
    form: Form
    files: list[BundleFile] = field(default_factory=list)
    _open: Any = None
    _rows: int = 0

    def write(self, records: list[Any]) -> None:
        if self._open is not None and self._rows + len(records) > PER_FILE:
            self.close()
        if self._open is None:
            self._begin(type(records[0]))
        if self.form == "parquet":
            self._open.write_table(to_table(records))
        else:
            self._open.writelines(to_line(one) + b"\n" for one in records)
        self._rows += len(records)

    def _begin(self, kind: type[Any]) -> None:
        from pyarrow import parquet

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path()
        if self.form == "parquet":
            about = to_about(kind)
            self._open = parquet.ParquetWriter(
                path, schema_of(kind).with_metadata(about), compression="zstd"
            )
        else:
            self._open = path.open("wb")

    def _path(self) -> Path:
        return self.folder / f"{self.part}-{len(self.files):05d}.{self.form}"

    def close(self) -> None:
        if self._open is None:
            return
        self._open.close()
        path = self._path()
        self.files.append(
            BundleFile(path=path.name, part=self.part, rows=self._rows, sha256=sha256_file(path))
        )
        self._open, self._rows = None, 0


def to_about(kind: type[Any]) -> dict[str, str]:
    from trivox.platform.records import SCHEMA_VERSION

    return {"schema_version": str(SCHEMA_VERSION), "kind": kind.__name__}


@dataclass
class _Terms:
    """Terms of the audio that goes out, a line each, and when the first of them ends."""

    file: IO[bytes]
    ends: datetime | None = None

    def note(self, ws: Workspace, audios: list[Audio]) -> None:
        found = terms_of(ws, [one.id for one in audios])
        for one in audios:
            terms = found[one.id]
            if terms.expires_at is not None:
                self.ends = min(self.ends or terms.expires_at, terms.expires_at)
            self.file.write(json.dumps(_plain(one.id, terms), ensure_ascii=False).encode() + b"\n")


def _plain(id: str, terms: Any) -> dict[str, Any]:
    return {
        "audio": id,
        "speakers": [one.id for one in terms.speakers],
        "synthetic": all(one.synthetic for one in terms.speakers) if terms.speakers else None,
        "consents": [one.value for one in terms.consents],
        "licences": list(terms.licences),
        "expires_at": terms.expires_at.isoformat() if terms.expires_at else None,
    }


class _Writers:
    """One writer a part; closed together."""

    def __init__(self, folder: Path, form: Form) -> None:
        self._folder, self._form = folder, form
        self._of: dict[str, PartWriter] = {}

    def write(self, part: str, records: list[Any]) -> None:
        writer = self._of.setdefault(part, PartWriter(self._folder, part, self._form))
        writer.write(records)

    def files(self) -> tuple[BundleFile, ...]:
        return tuple(file for part in sorted(self._of) for file in self._of[part].files)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for writer in self._of.values():
            writer.close()


def export_bundle(
    ws: Workspace,
    out: Path,
    name: str,
    filters: Filters | None = None,
    *,
    form: Form = "parquet",
    wanted: UseOf | None = None,
    with_audio: bool = True,
    size: int = BATCH,
    clock: Clock = utc_now,
) -> BundleManifest:
    """Write what filters take into the empty folder out; memory is bounded by size.

    What names a recording whose consent or licence does not allow the use is left out and counted. Raises
    UsageError for a folder that holds something else, NotFound for nothing to write, DiskFull.
    """
    check_name(name)
    filters, wanted = filters or Filters(), wanted or UseOf(Consent.TRAIN)
    _empty(out)
    with Members() as members:
        refuse = _refusing(ws, wanted, clock)
        selection = Selection(ws, filters, members, size, refuse)
        tally = Tally(members)
        with (out / "terms.jsonl").open("wb") as file, _Writers(out, form) as writers:
            terms = _Terms(file)
            for part, records in selection.batches():
                tally.take((part, records))
                writers.write(part, records)
                if part == "audio":
                    terms.note(ws, records)
                    if with_audio:
                        _copy(ws, out, records)
        parts = tally.parts()
    if not any(part.count for part in parts.values()):
        raise NotFound(_nothing(ws, selection))
    made = BundleManifest(
        name=name,
        hash=manifest_hash(parts, filters),
        parts=parts,
        filters=filters,
        files=writers.files(),
        use=wanted.use,
        commercial=wanted.commercial,
        created_at=clock(),
        expires_at=terms.ends,
        licences=dict(sorted(tally.licences.items())),
        left_out={reason: count for reason, count in selection.left_out.items() if count},
        audio=with_audio,
    )
    moment = made.created_at.isoformat()
    register_export(ws, out, form, moment, selection.voices, selection.judges)
    write_atomically(out / MANIFEST, made.model_dump_json(indent=2).encode())
    return made


def _refusing(ws: Workspace, wanted: UseOf, clock: Clock) -> Callable[[Any], dict[str, str]]:
    return lambda audios: refusals(ws, audios, wanted, clock)


def _nothing(ws: Workspace, selection: Selection) -> str:
    why = "; ".join(f"{count} left out: {reason}" for reason, count in selection.left_out.items())
    return f"{ws.root}: nothing to export{f' ({why})' if why else ''}: see `trivox data list`"


def _empty(out: Path) -> None:
    """A folder with a manifest is a finished export; one without is an unfinished one, begun again."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder for the export")
    held = sorted(out.iterdir()) if out.exists() else []
    ours = (out / "terms.jsonl").is_file() and not (out / MANIFEST).is_file()
    if held and not ours:
        raise UsageError(f"{out} holds {held[0].name!r} already: name an empty folder")
    out.mkdir(parents=True, exist_ok=True)


def _copy(ws: Workspace, out: Path, audios: list[Audio]) -> None:
    for one in audios:
        target = out / "audio" / one.id[:2] / f"{one.id}.flac"
        if not target.is_file():
            write_atomically(target, ws.audio.path(one.id).read_bytes())
