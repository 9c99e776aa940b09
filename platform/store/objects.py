"""Files on an object store, by fsspec URL: verified when read, kept on this machine, published whole or not.

An object is filed under a name that ends in its sha256, so that a new version never overwrites one that is being
read, and what is there already is not sent again. A folder becomes visible with its manifest, written last.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from trivox.platform.errors import ConfigError, CorruptObject, NotFound, StoreError
from trivox.platform.hashing import content_hash, sha256_file
from trivox.platform.store.faults import file_errors, retried_io
from trivox.platform.store.files import write_atomically

MANIFEST = "manifest.json"
PART = 16 << 20
"""Bytes of one part of a multipart upload: what is lost, at most, when sending stops."""
AT_ONCE = 16
"""Requests in flight where many small objects are asked for: each waits for the network, not for this machine."""
Mark: TypeAlias = tuple[str, ...]
_MARKS = ("ETag", "LastModified", "mtime", "created", "ino", "size")
"""What file systems tell of an object that changes with its content."""


def redacted(url: str) -> str:
    """url without user, password, query and fragment: fit for logs and errors."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def open_files(url: str, root: Path) -> tuple[Any, str, bool]:
    """(file system, path of url on it, whether that is this machine); relative paths are taken from root.

    Raises ConfigError that names the package to install; never shows what is secret in url.
    """
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    place = url if "://" in url else str(root / url)
    try:
        files, base = url_to_fs(place, **({"use_listings_cache": False} if "://" in url else {}))
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{redacted(url)}: {error}: for s3:// pip install 'trivox[s3]'"
        ) from error
    return files, str(base).rstrip("/"), isinstance(files, LocalFileSystem)


@dataclass(frozen=True)
class Member:
    """A file of a published folder: size in bytes."""

    path: str
    sha256: str
    size: int


class Objects:
    """Folders below a URL: `NAME/manifest.json`, and each file once as `blobs/ab/abcd…`."""

    def __init__(self, url: str, root: Path) -> None:
        self._files, self._base, self.local = open_files(url, root)
        self._cache = root / "cache" / "objects"
        self.shown = redacted(url) if "://" in url else str(root / url)

    def publish(self, folder: Path, name: str) -> str:
        """Make every file of folder readable under name, in place of what was there; returns the manifest's hash.

        What stopped halfway is continued by doing it again: files that have arrived are not sent a second time,
        large ones go on at the part that was missing (S3). Raises StoreError, DiskFull; then name
        is as it was.
        """
        members = [
            Member(str(path.relative_to(folder).as_posix()), sha256_file(path), path.stat().st_size)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        if not members:
            raise StoreError(f"{folder}: nothing to publish as {name}: the folder is empty")
        for member in members:
            self._send(folder / member.path, member)
        told = {"files": [asdict(one) for one in members]}
        self._write(self._name(name, MANIFEST), json.dumps(told, sort_keys=True).encode())
        return content_hash(told)

    def fetch(self, name: str) -> Path:
        """The folder of that name on this machine, every byte checked; what is there already is not fetched again.

        Raises NotFound, and CorruptObject that names the object and both hashes.
        """
        members = self.members(name)
        folder = self._cache / "folders" / content_hash([asdict(one) for one in members])
        if folder.is_dir():
            return folder
        with file_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(dir=folder.parent, suffix=".unfinished"))
        try:
            for member in members:
                self._receive(member, draft / member.path)
            with file_errors(folder):
                draft.chmod(0o755)
                if not folder.is_dir():
                    draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return folder

    def names(self, prefix: str) -> list[str]:
        """The published folders below prefix, in order."""
        return list(self.marks(prefix))

    def marks(self, prefix: str) -> dict[str, Mark]:
        """The published folders below prefix, in order, each with a mark that changes with its manifest."""
        base = f"{self._base}/{prefix}".rstrip("/")
        with self._errors(base):
            found = self._files.find(base, detail=True)
        ends = f"/{MANIFEST}"
        return {
            str(one)[len(self._base) + 1 : -len(ends)]: tuple(str(about.get(k)) for k in _MARKS)
            for one, about in sorted(found.items())
            if str(one).endswith(ends)
        }

    def members_of(self, names: Iterable[str]) -> list[list[Member]]:
        """What each of the folders holds, AT_ONCE manifests asked for at a time; raises as members does."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self.members, names))

    def content(self, member: Member) -> bytes:
        """The bytes of one file, checked; raises NotFound, CorruptObject."""
        with tempfile.TemporaryDirectory() as folder:
            self._receive(member, Path(folder) / "content")
            return (Path(folder) / "content").read_bytes()

    def remove(self, name: str) -> None:
        """Delete a published folder, its manifest first, and its files where no other folder has them.

        Raises NotFound.
        """
        gone = self.members(name)
        with self._errors(name):
            self._files.rm_file(self._name(name, MANIFEST))
        self.discard(gone)

    def discard(self, members: Sequence[Member]) -> None:
        """Delete the files that no published folder has any more."""
        if not members:
            return
        kept = {one.sha256 for other in self.members_of(self.names("")) for one in other}
        for one in members:
            place = self._blob(one)
            with self._errors(place):
                if one.sha256 not in kept and self._files.exists(place):
                    self._files.rm_file(place)

    def probe(self, name: str) -> None:
        """Write a few bytes under a name, read them back and remove them; raises StoreError, CorruptObject."""
        place, content = self._name(name, "probe"), b"trivox"
        self._write(place, content)
        if self._read(place) != content:
            raise CorruptObject(f"{self.shown}: what was written did not come back")
        with self._errors(place):
            self._files.rm_file(place)

    def members(self, name: str) -> list[Member]:
        """What the folder of that name holds; raises NotFound, CorruptObject for a manifest that is none."""
        place = self._name(name, MANIFEST)
        try:
            found = json.loads(self._read(place))["files"]
            members = [
                Member(str(one["path"]), str(one["sha256"]), int(one["size"])) for one in found
            ]
        except FileNotFoundError:
            raise NotFound(
                f"no {name!r} in {self.shown}: it was not published, or not to its end"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptObject(
                f"{self.shown}/{name}/{MANIFEST}: not a manifest: {error!r}"
            ) from error
        for one in members:
            _check_member(f"{self.shown}/{name}", one)
        return members

    def _send(self, path: Path, member: Member) -> None:
        place = self._blob(member)
        with self._errors(place):
            if self._files.exists(place) and self._files.size(place) == member.size:
                return
            if member.size > PART and _is_s3(self._files):
                from trivox.platform.store.multipart import upload

                upload(self._files, path, place, PART)
            else:
                self._write(place, path.read_bytes())

    def _receive(self, member: Member, target: Path) -> None:
        place = self._blob(member)
        with file_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        try:
            with (
                self._errors(place),
                self._files.open(place, "rb") as source,
                target.open("wb") as into,
            ):
                while block := source.read(1 << 20):
                    digest.update(block)
                    into.write(block)
        except FileNotFoundError:
            raise NotFound(
                f"{self.shown}: object {member.sha256} of {member.path} is missing: publish it again"
            ) from None
        if digest.hexdigest() != member.sha256:
            raise CorruptObject(
                f"{self.shown}: {member.path} has the hash {digest.hexdigest()}, its manifest says "
                f"{member.sha256}: bring the object back from a backup, or delete it and publish it again"
            )

    def _write(self, place: str, content: bytes) -> None:
        if self.local:
            write_atomically(Path(place), content)
            return
        with self._errors(place):  # object stores show an object when all of it has come
            retried_io(lambda: self._files.pipe_file(place, content))

    def _read(self, place: str) -> bytes:
        with self._errors(place):
            return bytes(retried_io(lambda: self._files.cat_file(place)))

    def _errors(self, place: str) -> Any:
        return file_errors(f"{self.shown}: {place.removeprefix(self._base).lstrip('/')}")

    def _blob(self, member: Member) -> str:
        return f"{self._base}/blobs/{member.sha256[:2]}/{member.sha256}"

    def _name(self, name: str, file: str) -> str:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or parts[0] == "blobs":
            raise NotFound(f"{name!r} is not the name of a published folder")
        return f"{self._base}/{name}/{file}"


def _check_member(place: str, one: Member) -> None:
    parts = PurePosixPath(one.path).parts
    hostile = (
        not parts
        or one.path.startswith("/")
        or ".." in parts
        or "\\" in one.path
        or "\0" in one.path
    )
    if hostile or len(one.sha256) != 64 or not one.sha256.isalnum():
        raise CorruptObject(
            f"{place}/{MANIFEST}: {one.path!r} with hash {one.sha256!r} is no file of a folder"
        )


def _is_s3(files: Any) -> bool:
    protocol = files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)
    return "s3" in protocol


__all__ = ["Member", "Objects", "open_files", "redacted"]
