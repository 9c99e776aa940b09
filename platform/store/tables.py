"""Rollouts, scores and samples of policies in Parquet, partitioned by project, branch and round."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from trivox.platform import records as record_kinds
from trivox.platform.errors import NewerWorkspace, StoreError
from trivox.platform.records import Branch, PolicySample, Rollout, Score
from trivox.platform.store.faults import file_errors
from trivox.platform.store.files import write_atomically
from trivox.platform.store.parts import Mark, parts_below, version_of

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from trivox.platform.store.remote import RemoteParts

R = TypeVar("R")
KINDS = (Rollout, Score, PolicySample)


class Tables:
    """Files `rollout/project=…/branch=…/round=…/part.parquet` below root, of one project."""

    def __init__(self, root: Path, project: str, remote: "RemoteParts | None" = None) -> None:
        """remote: where the parts lie, if root only holds copies of them."""
        self._root = root
        self._project = project
        self._remote = remote
        self._versions: dict[str, tuple[Mark, int]] = {}
        """Path of a part -> its mark and schema version."""

    def write(
        self,
        records: Sequence[Rollout] | Sequence[Score] | Sequence[PolicySample],
        *,
        branch: Branch,
        round: str,
        part: str,
    ) -> Path:
        """Write one part of a round, whole or not at all; the same part again takes its place.

        Raises StoreError for no records, or records of another round, branch or project; DiskFull.
        """
        import pyarrow as pa
        from pyarrow import parquet

        from trivox.platform.store.parquet import to_arrow

        kind = self._one_kind(records, branch, round, part)
        table = to_arrow(list(records), record_kinds.SCHEMA_VERSION)
        content = pa.BufferOutputStream()
        parquet.write_table(table, content, compression="zstd")
        path = self._folder(kind, branch.value, round) / f"{quote(part, safe='')}.parquet"
        write_atomically(path, memoryview(content.getvalue()))
        if self._remote is not None:
            self._remote.push(path)
        return path

    def write_columns(
        self, kind: type[Any], rows: "pa.Table", *, branch: Branch, round: str, part: str
    ) -> Path:
        """Write rows that are columns already as one part; they must have the layout of the kind, of one project.

        Raises StoreError for another layout or project; DiskFull.
        """
        import pyarrow as pa
        from pyarrow import parquet

        from trivox.platform.store.parquet import SCHEMAS

        if not rows.schema.equals(SCHEMAS[kind]):
            raise StoreError(
                f"{self._root}: part {part!r} of round {round!r} is no table of {kind.__name__}"
            )
        projects = rows.column("project").unique().to_pylist()
        if projects != [self._project]:
            raise StoreError(f"{self._root}: rows of project {projects}, not of {self._project!r}")
        about = {"schema_version": str(record_kinds.SCHEMA_VERSION), "kind": kind.__name__}
        content = pa.BufferOutputStream()
        parquet.write_table(rows.replace_schema_metadata(about), content, compression="zstd")
        path = self._folder(kind, branch.value, round) / f"{quote(part, safe='')}.parquet"
        write_atomically(path, memoryview(content.getvalue()))
        if self._remote is not None:
            self._remote.push(path)
        return path

    def paths(self, kind: type[Any]) -> list[Path]:
        """The files of all parts of a kind, by branch, round and name; raises NewerWorkspace, CorruptObject."""
        return self._files(kind, None, None)

    def folder(self, kind: type[Any], *, fetch: bool = True) -> Path:
        """Where the parts of a kind lie on this machine, below it by branch and round; it may be missing.

        fetch: bring the copies of what lies on an object store up to date first. Raises CorruptObject, StoreError.
        """
        below = self._below(kind)
        if fetch and self._remote is not None:
            self._remote.pull(below)
        return self._root / below

    def _below(self, kind: type[Any]) -> str:
        return f"{kind.__name__.lower()}/project={quote(self._project, safe='')}"

    def _one_kind(
        self, records: Sequence[Any], branch: Branch, round_: str, part: str
    ) -> type[Any]:
        where = f"{self._root}: part {part!r} of round {round_!r}"
        if not records:
            raise StoreError(f"{where}: no records to write")
        kind = type(records[0])
        for record in records:
            if type(record) is not kind or kind not in KINDS:
                raise StoreError(f"{where}: {type(record).__name__} in a table of {kind.__name__}")
            given = (record.project, getattr(record, "branch", branch), record.round or round_)
            if given != (self._project, branch, round_):
                expected = (self._project, branch.value, round_)
                raise StoreError(
                    f"{where}: {kind.__name__} {record.id} is of {given}, not {expected}"
                )
        return kind

    def read(
        self,
        kind: type[R],
        *,
        round: str | None = None,
        branch: Branch | None = None,
    ) -> list[R]:
        """Records in order of part name, then of writing. Raises NewerWorkspace, CorruptObject."""
        import polars as pl

        from trivox.platform.store.parquet import from_row

        found: list[R] = []
        for path in self._files(kind, round, branch):
            rows = pl.read_parquet(path, hive_partitioning=False).iter_rows(named=True)
            found += [from_row(kind, row) for row in rows]
        return found

    def batches(
        self,
        kind: type[R],
        size: int,
        *,
        round: str | None = None,
        branch: Branch | None = None,
    ) -> Iterator[list[R]]:
        """As read, at most size records at a time: memory is bounded by size and the largest part.

        Raises NewerWorkspace, CorruptObject.
        """
        from pyarrow import parquet

        from trivox.platform.store.parquet import from_row

        for path in self._files(kind, round, branch):
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(size):
                    yield [from_row(kind, row) for row in batch.to_pylist()]

    def ids(self, kind: type[Any], size: int) -> Iterator[list[str]]:
        """The ids of all records of a kind, at most size at a time."""
        from pyarrow import parquet

        for path in self._files(kind, None, None):
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(size, columns=["id"]):
                    yield batch.column("id").to_pylist()

    def remove(
        self, kind: type[Any], column: str, known: Callable[[list[str]], Collection[str]]
    ) -> int:
        """Write every part anew without the rows whose column is known; returns how many went. Parts are whole
        before and after, and one without rows is deleted. Raises DiskFull.
        """
        import pyarrow as pa
        from pyarrow import parquet

        removed = 0
        for path in self._files(kind, None, None):
            table = parquet.read_table(path, partitioning=None)
            gone = known(table.column(column).to_pylist())
            if not gone:
                continue
            mask = pa.array([value not in gone for value in table.column(column).to_pylist()])
            kept = table.filter(mask)
            removed += len(table) - len(kept)
            if len(kept):
                content = pa.BufferOutputStream()
                parquet.write_table(kept, content, compression="zstd")
                write_atomically(path, memoryview(content.getvalue()))
                if self._remote is not None:
                    self._remote.push(path)
            else:
                path.unlink()
                if self._remote is not None:
                    self._remote.remove(path)
        return removed

    def scan(self, kind: type[R]) -> "pl.LazyFrame":
        """All records of a kind as a lazy frame whose columns are the fields."""
        import polars as pl

        paths = self._files(kind, None, None)
        if not paths:
            return _layout(kind).lazy()  # type: ignore[arg-type]  # a class is hashable
        # One scan of all files: a plan that grew with their number would take longer than the question.
        return pl.scan_parquet(
            paths,
            hive_partitioning=False,
            schema=_layout(kind).schema,  # type: ignore[arg-type]
            missing_columns="insert",
            extra_columns="ignore",
        )

    def find(
        self, kind: type[Any], ids: Collection[str], columns: Sequence[str] | None = None
    ) -> "pl.DataFrame":
        """The rows of these ids (None: all columns), in no order; those without one are left out."""
        import polars as pl

        # As one literal: of a list Polars makes an expression for each id.
        named = pl.Series(list(ids), dtype=pl.String).implode()
        rows = self.scan(kind).filter(pl.col("id").is_in(named))
        return (rows if columns is None else rows.select(columns)).collect()

    def stored_bytes(self) -> int:
        """Bytes of the project's parts of every kind, where they lie: copies are not counted."""
        if self._remote is not None:
            from trivox.platform.store.parquet import SCHEMAS

            return self._remote.stored_bytes([self._below(kind) for kind in SCHEMAS])
        found = self._root.glob(f"*/project={quote(self._project, safe='')}/**/*.parquet")
        return sum(path.stat().st_size for path in found)

    def _files(self, kind: type[Any], round_: str | None, branch: Branch | None) -> list[Path]:
        names = (
            None if branch is None else f"branch={quote(branch.value, safe='')}",
            None if round_ is None else f"round={quote(round_, safe='')}",
        )
        folder = self.folder(kind)
        with file_errors(self._root):
            found = list(parts_below(str(folder), *names))
        for path, mark in found:
            self._check_version(path, mark)
        return [Path(path) for path, _ in found]

    def _check_version(self, path: str, mark: Mark) -> None:
        """Of a part that is as it was last time, the version is known without opening it."""
        known = self._versions.get(path)
        if known is None or known[0] != mark:
            known = self._versions[path] = mark, version_of(path)
        version, newest = known[1], record_kinds.SCHEMA_VERSION
        if version > newest:
            raise NewerWorkspace(
                f"{path} has schema version {version}, newer than {newest}, the newest that this Trivox"
                " knows: update Trivox"
            )
        if version < newest - 1:
            raise StoreError(
                f"{path} has schema version {version}: this Trivox reads {newest - 1} and {newest}:"
                " open the workspace once with the version of Trivox before this one"
            )

    def _folder(self, kind: type[Any], branch: str, round_: str) -> Path:
        names = {"branch": branch, "round": round_}
        parts = [f"{name}={quote(value, safe='')}" for name, value in names.items()]
        return self._root.joinpath(self._below(kind), *parts)


@cache
def _layout(kind: Any) -> "pl.DataFrame":
    """No rows of a kind; translated once."""
    import polars as pl

    from trivox.platform.store.parquet import SCHEMAS

    empty = pl.from_arrow(SCHEMAS[kind].empty_table())
    assert isinstance(empty, pl.DataFrame)
    return empty
