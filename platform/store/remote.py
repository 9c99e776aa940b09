"""Parts of the tables on an object store: sent when they are written, fetched and checked when they are read."""

import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trivox.platform.errors import CorruptObject, NotFound
from trivox.platform.hashing import sha256_file
from trivox.platform.store.files import write_atomically
from trivox.platform.store.objects import AT_ONCE, Mark, Member, Objects

FILE = "part.parquet"


class RemoteParts:
    """Each part is a published folder of one file; `root` holds copies under the names that local tables have."""

    def __init__(self, objects: Objects, root: Path) -> None:
        self._objects, self._root = objects, root
        self._checked: dict[str, tuple[Mark, Mark]] = {}
        """Part -> marks of its manifest and of its copy when the copy was last compared with it."""

    def push(self, path: Path) -> None:
        """Send the part at path; what it replaces is deleted then, for it may hold what was to be forgotten.

        Raises StoreError, and then the part before it stays.
        """
        before = self._members(path)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".sending-") as folder:
            (Path(folder) / FILE).hardlink_to(path)
            self._objects.publish(Path(folder), self._name(path))
        after = self._members(path)
        self._objects.discard([one for one in before if one not in after])

    def pull(self, folder: str) -> None:
        """Bring the copies below folder (relative, of one kind and project) up to date, every byte checked.

        One listing; what is new since this process looked last is fetched, several parts at a time. Raises
        CorruptObject that names the part and both hashes.
        """
        marks = self._objects.marks(folder)
        stale = [name for name in marks if self._checked.get(name) != self._now(name, marks)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            there = dict(zip(stale, pool.map(self._bring, stale), strict=True))
        for name in stale:
            self._checked[name] = self._now(name, marks)
        kept = {self._copy(name) for name in marks if there.get(name, True)}
        for path in (self._root / folder).rglob("*.parquet"):
            if path not in kept:
                path.unlink()

    def stored_bytes(self, folders: Iterable[str]) -> int:
        """Bytes of the parts below folders, by their manifests."""
        names = [name for folder in folders for name in self._objects.names(folder)]
        return sum(one.size for members in self._objects.members_of(names) for one in members)

    def remove(self, path: Path) -> None:
        """Take back a part and what it held; one that was never sent is passed over."""
        try:
            self._objects.remove(self._name(path))
        except NotFound:
            return

    def _bring(self, name: str, *, again: bool = True) -> bool:
        """Make the copy of a part what its manifest says; False where the part has gone since it was listed."""
        try:
            members = self._objects.members(name)
        except NotFound:
            return False
        if len(members) != 1:
            raise CorruptObject(f"{self._objects.shown}/{name}: {len(members)} files in one part")
        path, member = self._copy(name), members[0]
        if path.is_file() and sha256_file(path) == member.sha256:
            return True
        try:
            write_atomically(path, self._objects.content(member))
        except NotFound:  # replaced, and its bytes deleted, since the manifest was read
            if not again:
                raise
            return self._bring(name, again=False)
        return True

    def _now(self, name: str, marks: dict[str, Mark]) -> tuple[Mark, Mark]:
        try:
            found = self._copy(name).stat()
        except FileNotFoundError:
            return marks[name], ()
        return marks[name], (str(found.st_mtime_ns), str(found.st_size), str(found.st_ino))

    def _copy(self, name: str) -> Path:
        return self._root / f"{name}.parquet"

    def _members(self, path: Path) -> list[Member]:
        try:
            return self._objects.members(self._name(path))
        except NotFound:
            return []

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).with_suffix("").as_posix()
