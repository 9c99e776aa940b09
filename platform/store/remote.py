"""Parts of the tables on an object store: sent when they are written, fetched and checked when they are read."""

import tempfile
from pathlib import Path

from trivox.platform.errors import NotFound
from trivox.platform.hashing import sha256_file
from trivox.platform.store.files import write_atomically
from trivox.platform.store.objects import Member, Objects

FILE = "part.parquet"


class RemoteParts:
    """Each part is a published folder of one file; `root` holds copies under the names that local tables have."""

    def __init__(self, objects: Objects, root: Path) -> None:
        self._objects, self._root = objects, root

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

        Raises CorruptObject that names the part and both hashes.
        """
        there = set()
        for name in self._objects.names(folder):
            path = self._root / f"{name}.parquet"
            there.add(path)
            (member,) = self._objects.members(name)
            if not path.is_file() or sha256_file(path) != member.sha256:
                write_atomically(path, self._objects.content(member))
        for path in (self._root / folder).rglob("*.parquet"):
            if path not in there:
                path.unlink()

    def remove(self, path: Path) -> None:
        """Take back a part and what it held; one that was never sent is passed over."""
        try:
            self._objects.remove(self._name(path))
        except NotFound:
            return

    def _members(self, path: Path) -> list[Member]:
        try:
            return self._objects.members(self._name(path))
        except NotFound:
            return []

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).with_suffix("").as_posix()
