"""Reader of the folders that `trivox data export` writes: whole datasets, into this or another workspace.

Each row is checked by itself; what is damaged is refused by name and kept in quarantine, all else is taken. The
same folder again takes nothing, so an import that broke off is simply run again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trivox.pipelines.consent import Clock, utc_now
from trivox.pipelines.datasets.digests import content_of, digest_of
from trivox.pipelines.datasets.members import Members
from trivox.pipelines.datasets.reading import BATCH, by_id
from trivox.pipelines.datasets.selection import KINDS, sounds_of
from trivox.pipelines.datasets.versions import Manifest, Tally, manifest_hash, publish_tally
from trivox.pipelines.exports.bundle import MANIFEST, BundleFile, BundleManifest
from trivox.pipelines.exports.columns import from_columns, from_line
from trivox.pipelines.imports.quarantine import Quarantine
from trivox.pipelines.imports.rows import Lines, Refusal, RowRefused, inside, placed_lines
from trivox.platform.errors import BadImport, CorruptObject
from trivox.platform.hashing import derived_id, sha256_file
from trivox.platform.progress import progress
from trivox.platform.records import (
    Audio,
    Branch,
    Judgement,
    Persona,
    Prompt,
    PromptSet,
    Rollout,
    Rubric,
    Score,
    Task,
    Voided,
)
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import storage_check
from trivox.platform.store.columns import add_batches, batch_of

SHOWN = 1000
"""Refusals kept in the report; all are in the quarantine."""
NO_ROUND = "imported"
_IN_PARQUET = (Rollout, Score)
_NAMES: dict[type[Any], tuple[str, str]] = {
    Task: ("campaigns", "campaign"),
    Judgement: ("tasks", "task"),
    Voided: ("judgements", "judgement"),
    Rollout: ("prompts", "prompt"),
    Score: ("rollouts", "rollout"),
}
"""Kind -> (part, field) of what must be there before it."""


@dataclass
class BundleReport:
    """taken: new rows by part; repeated: there already. version: the dataset as it was taken; identical:
    whether that has the hash that the folder's manifest states. quarantine: where refused rows lie."""

    manifest: BundleManifest
    taken: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    refused: list[Refusal] = field(default_factory=list)
    refusals: int = 0
    quarantine: Path | None = None
    version: Manifest | None = None
    identical: bool = False
    notes: list[str] = field(default_factory=list)


def is_bundle(path: Path) -> bool:
    return (path / MANIFEST).is_file() and b'"trivox-dataset"' in _head(path / MANIFEST)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(200)


def read_bundle_manifest(folder: Path) -> BundleManifest:
    """Raises BadImport for none, or one of a later version."""
    try:
        return BundleManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise BadImport(
            f"{folder / MANIFEST}: no manifest of a dataset ({reason}): export it again, or give a folder that"
            " `trivox data export` wrote"
        ) from None


def import_bundle(
    ws: Workspace,
    folder: Path,
    name: str | None = None,
    *,
    size: int = BATCH,
    clock: Clock = utc_now,
) -> BundleReport:
    """Take a dataset into the workspace's project; name: what its version is called here. Memory is bounded by
    size.

    Raises BadImport for a folder that is none or of which nothing could be taken, DiskFull, StoreError,
    BudgetSpent (storage).
    """
    report = BundleReport(read_bundle_manifest(folder))
    quarantine = Quarantine(ws.root, name or report.manifest.name)
    with Members() as members:
        taking = _Taking(ws, folder, report, quarantine, members, size)
        taking.run()
        parts = taking.tally.parts()
        report.quarantine = quarantine.file
        if not parts:
            raise BadImport(_nothing(folder, report))
        manifest = report.manifest
        report.identical = manifest_hash(parts, manifest.filters) == manifest.hash
        report.version, _ = publish_tally(
            ws, name or manifest.name, manifest.filters, {}, taking.tally, clock()
        )
    return report


def _nothing(folder: Path, report: BundleReport) -> str:
    first = f"; the first: {report.refused[0]}" if report.refused else ""
    return f"{folder}: nothing could be taken, {report.refusals} rows refused{first}"


@dataclass
class _Row:
    label: str
    record: Any
    values: Any
    content: bytes = b""
    """As digests are made of it."""


@dataclass
class _Taking:
    ws: Workspace
    folder: Path
    report: BundleReport
    quarantine: Quarantine
    members: Members
    size: int
    tally: Tally = field(init=False)
    _check_room: Callable[[], None] = field(init=False)

    def __post_init__(self) -> None:
        self.tally = Tally(self.members)
        self._check_room = storage_check(self.ws)

    def run(self) -> None:
        for kind in _IN_PARQUET:
            for ids in self.ws.tables.ids(kind, self.size):
                self.members.add(f"stored {kind.__name__}", [(id, "") for id in ids])
        for part, kind in KINDS.items():
            for file in (one for one in self.report.manifest.files if one.part == part):
                self._file(kind, file)

    def _refuse(self, *refusals: Refusal) -> None:
        self.quarantine.keep(refusals)
        self.report.refusals += len(refusals)
        room = max(0, SHOWN - len(self.report.refused))
        self.report.refused += refusals[:room]

    def _file(self, kind: type[Any], file: BundleFile) -> None:
        try:
            path = inside(self.folder, file.path)
            if not path.is_file():
                raise RowRefused("no such file", "copy the folder again, with all its files")
        except RowRefused as refused:
            self._refuse(refused.of(file.path))
            return
        if sha256_file(path) != file.sha256:
            self.report.notes.append(
                f"{file.path} is not as it was written: its rows were checked one by one"
            )
        reader = _parquet_rows if path.suffix == ".parquet" else _jsonl_rows
        found = 0
        for rows in progress(reader(path, kind, self.size), f"importing {file.part}"):
            self._check_room()
            found += len(rows)
            self._refuse(*(row for row in rows if isinstance(row, Refusal)))
            self._take(file.part, kind, [row for row in rows if isinstance(row, _Row)])
        if found < file.rows:
            reason = f"{found} rows where {file.rows} were written"
            self._refuse(Refusal(file.path, reason, "copy the file again and repeat the import"))

    def _take(self, part: str, kind: type[Any], rows: list[_Row]) -> None:
        rows = self._named(kind, self._once(part, rows))
        if kind is Audio:
            rows = self._heard(rows)
        if not rows:
            return
        home = self.ws.project
        records = [
            replace(row.record, project=home) if hasattr(row.record, "project") else row.record
            for row in rows
        ]
        new = self._store(kind, records)
        self.report.taken[part] += new
        self.report.repeated += len(records) - new
        self.tally.take((part, records), [row.content for row in rows])
        self.members.add(part, [(one.id, "") for one in records])

    def _once(self, part: str, rows: list[_Row]) -> list[_Row]:
        """Each id once; the same id with other content is refused."""
        seen = self.members.known(f"={part}", [row.record.id for row in rows])
        kept: dict[str, _Row] = {}
        for row in rows:
            content = content_of(row.record)
            id, digest = row.record.id, digest_of(content)
            if id not in seen:
                seen[id], kept[id] = digest, replace(row, content=content)
            elif seen[id] == digest:
                self.report.repeated += 1
            else:
                reason = f"id {id!r} is that of an earlier row with other content"
                self._refuse(Refusal(row.label, reason, "give it an id of its own", row.values))
        return list(kept.values())

    def _named(self, kind: type[Any], rows: list[_Row]) -> list[_Row]:
        """Those whose prompt, task, … and recordings are there."""
        part, name = _NAMES.get(kind, ("", ""))
        if part:
            wanted = [getattr(row.record, name) for row in rows]
            there = self._there(part, KINDS[part], wanted)
            rows = self._split(
                rows, lambda r: getattr(r, name) in there, lambda r: f"{name} {getattr(r, name)!r}"
            )
        if kind in (Prompt, Rollout):
            ids = {id for row in rows for id in sounds_of(row.record)}
            heard = self._there("audio", Audio, sorted(ids))

            def lost(one: Any) -> list[str]:
                return [id for id in sounds_of(one) if id not in heard]

            rows = self._split(rows, lambda r: not lost(r), lambda r: f"audio {lost(r)[0]!r}")
        if kind in (PromptSet, Persona, Rubric):
            rows = [row for row in rows if self._free(kind, row)]
        return rows

    def _split(
        self, rows: list[_Row], good: Callable[[Any], bool], lost: Callable[[Any], str]
    ) -> list[_Row]:
        for row in rows:
            if not good(row.record):
                reason = f"it names {lost(row.record)}, which is not there"
                self._refuse(
                    Refusal(row.label, reason, "mend that first, then import again", row.values)
                )
        return [row for row in rows if good(row.record)]

    def _there(self, part: str, kind: type[Any], ids: Sequence[str]) -> set[str]:
        """Those that were taken now or are stored."""
        found = set(self.members.known(part, ids))
        left = [id for id in ids if id not in found]
        if kind in _IN_PARQUET:
            return found | set(self.members.known(f"stored {kind.__name__}", left))
        return found | by_id(self.ws, kind, left).keys()

    def _free(self, kind: type[Any], row: _Row) -> bool:
        """Whether its name and version are not those of another here."""
        one = row.record
        known = self.ws.records.find(
            kind, project=self.ws.project, name=one.name, version=one.version
        )
        if not known or known[0].id == one.id:
            return True
        reason = f"{one.name}@{one.version} is there already with other content"
        self._refuse(Refusal(row.label, reason, "import it under another name", row.values))
        return False

    def _heard(self, rows: list[_Row]) -> list[_Row]:
        """Recordings whose sound came with them, or is here already, and is what their id says."""
        if not self.report.manifest.audio:
            return rows
        kept = []
        for row in rows:
            try:
                self._adopt(row.record)
                kept.append(row)
            except RowRefused as refused:
                self._refuse(refused.of(row.label, row.values))
        return kept

    def _adopt(self, one: Audio) -> None:
        path = inside(self.folder, f"audio/{one.id[:2]}/{one.id}.flac")
        if not path.is_file():
            raise RowRefused(f"its recording {path.name} is missing", "copy the folder again")
        try:
            self.ws.audio.adopt(one.id, path.read_bytes())
            samples, rate = self.ws.audio.read(one.id)
        except CorruptObject as error:
            raise RowRefused(str(error), "copy the recording again") from None
        if (rate, len(samples)) != (one.rate, one.frames):
            told = f"{one.frames} frames at {one.rate} Hz"
            raise RowRefused(
                f"the recording has {len(samples)} frames at {rate} Hz, its row says {told}",
                "write what the recording has",
            )

    def _store(self, kind: type[Any], records: list[Any]) -> int:
        """Returns how many were new."""
        if kind not in _IN_PARQUET:
            return add_batches(self.ws.records, kind, [batch_of(records)])
        stored = f"stored {kind.__name__}"
        known = self.members.known(stored, [one.id for one in records])
        groups: dict[tuple[Branch, str], list[Any]] = {}
        for one in records:
            if one.id not in known:
                branch = one.branch if kind is Rollout else self._branch(one)
                groups.setdefault((branch, one.round or NO_ROUND), []).append(one)
        for (branch, round_), some in groups.items():
            part = derived_id("import", [one.id for one in some])
            self.ws.tables.write(some, branch=branch, round=round_, part=part)
            self.members.add(stored, [(one.id, branch.value) for one in some])
        return sum(map(len, groups.values()))

    def _branch(self, one: Score) -> Branch:
        """Of the rollout that was scored; scores of older rollouts lie under tts."""
        branch = self.members.known("stored Rollout", [one.rollout]).get(one.rollout)
        return Branch(branch) if branch else Branch.TTS


Rows = Iterator[list[_Row | Refusal]]


def _parquet_rows(path: Path, kind: type[Any], size: int) -> Rows:
    """A file that cannot be read on is refused as one, from the row where it breaks off."""
    from pyarrow import ArrowException, parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(size):
                rows = batch.to_pylist()
                yield [
                    _checked(kind, f"{path.name}:{number + place}", row, from_columns)
                    for place, row in enumerate(rows, 1)
                ]
                number += len(rows)
    except (OSError, ArrowException) as error:
        reason = f"cannot be read from row {number + 1} on ({' '.join(str(error).split())[:200]})"
        remedy = "copy the file again; it may be cut off"
        yield [Refusal(path.name, reason, remedy, Lines(path, 0, path.stat().st_size))]


def _jsonl_rows(path: Path, kind: type[Any], size: int) -> Rows:
    rows: list[_Row | Refusal] = []
    for number, line, place in placed_lines(path):
        label = f"{path.name}:{number}"
        rows.append(
            line if isinstance(line, Refusal) else _checked(kind, label, line, from_line, place)
        )
        if len(rows) == size:
            yield rows
            rows = []
    if rows:
        yield rows


def _checked(
    kind: type[Any],
    label: str,
    raw: Any,
    read: Callable[[type[Any], Any], Any],
    place: Lines | None = None,
) -> _Row | Refusal:
    held = place or raw
    try:
        record = read(kind, raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the row"
        return Refusal(label, f"{where}: {first['msg']}", "write it as it was exported", held)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = f"not as it was written: {' '.join(str(error).split())[:200]}"
        return Refusal(label, reason, "write it as it was exported", held)
    return _Row(label, record, held)
