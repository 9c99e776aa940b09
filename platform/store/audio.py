"""Audio, filed under the hash of what it sounds like."""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trivox.platform.audio.loudness import loudness_lufs, true_peak_dbtp
from trivox.platform.errors import BrokenAudio, CorruptObject, NotFound
from trivox.platform.records import Audio
from trivox.platform.store.faults import file_errors
from trivox.platform.store.files import write_atomically

DEPTH = 16
_FULL_SCALE = 32768
_CHANNELS = 8  # as many as FLAC has

Pcm = npt.NDArray[np.int16]
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StoredSound:
    """A file of the store; size in bytes."""

    id: str
    size: int
    written_at: datetime


class AudioStore:
    """16-bit FLAC at `ab/abcd….flac` below a folder or fsspec URL; relative paths are taken from root."""

    def __init__(self, url: str, root: Path) -> None:
        from fsspec.core import url_to_fs
        from fsspec.implementations.local import LocalFileSystem

        place = url if "://" in url else str(root / url)
        self._files, self._base = url_to_fs(place)
        self._local = isinstance(self._files, LocalFileSystem)
        self._copies = root / "cache" / "audio"

    def put(
        self,
        samples: npt.NDArray[Any],
        rate: int,
        *,
        project: str,
        source: str,
        speaker: str | None = None,
        licence: str | None = None,
        derived_from: str | None = None,
    ) -> Audio:
        """Keep samples, float [n] or [n, channels] with full scale 1.0, and return their record.

        What lies beyond full scale is clipped; loudness and peak are those of what is kept. The same
        sound is written once. The record itself is not added to SQL. Raises BrokenAudio, DiskFull.
        """
        pcm = to_pcm(samples, rate, source)
        audio_id = audio_hash(pcm, rate)
        self._write_once(audio_id, pcm, rate)
        kept = _to_float(pcm)
        return Audio(
            id=audio_id,
            project=project,
            rate=rate,
            channels=pcm.shape[1],
            depth=DEPTH,
            frames=len(pcm),
            duration_s=len(pcm) / rate,
            loudness_lufs=loudness_lufs(kept, rate),
            true_peak_dbtp=true_peak_dbtp(kept, rate),
            speaker=speaker,
            licence=licence,
            source=source,
            derived_from=derived_from,
        )

    def adopt(self, audio_id: str, content: bytes) -> None:
        """Keep a FLAC file under the id that another store filed it under.

        Raises CorruptObject when its content is not what the id says, DiskFull.
        """
        pcm, rate = _from_flac(content, audio_id)
        if (actual := audio_hash(pcm, rate)) != audio_id:
            raise CorruptObject(f"audio {audio_id}: the file's content has the hash {actual}")
        self._write_once(audio_id, pcm, rate)

    def stored(self) -> Iterator[StoredSound]:
        """Every file of the store, whether or not a record names it; one of its folders in memory at a time."""
        with file_errors(self._base):
            folders = (
                self._files.ls(self._base, detail=True) if self._files.exists(self._base) else []
            )
            for folder in sorted(one["name"] for one in folders if one["type"] == "directory"):
                for file in self._files.ls(folder, detail=True):
                    id, _, suffix = file["name"].rpartition("/")[2].partition(".")
                    if suffix == "flac" and id.isalnum():
                        yield StoredSound(id, int(file["size"]), self._written_at(file))

    def _written_at(self, file: dict[str, Any]) -> datetime:
        if "mtime" in file:
            return datetime.fromtimestamp(file["mtime"], UTC)
        moment: datetime = file.get("LastModified") or self._files.modified(file["name"])
        return moment

    def remove(self, audio_id: str) -> None:
        """Delete a sound and its copy on this machine, if they are there; its record is not looked at."""
        with file_errors(self._base):
            (self._copies / f"{audio_id}.flac").unlink(missing_ok=True)
            if self._files.exists(name := self._name(audio_id)):
                self._files.rm_file(name)

    def _write_once(self, audio_id: str, pcm: Pcm, rate: int) -> None:
        name = self._name(audio_id)
        with file_errors(name):
            if self._files.exists(name):
                return
            content = _to_flac(pcm, rate)
            if self._local:
                write_atomically(Path(name), content)
            else:  # object stores show an object when all of it has come
                self._files.pipe_file(name, content)

    def read(self, audio_id: str) -> tuple[Samples, int]:
        """Samples float32, [n] when mono and [n, channels] otherwise, and the rate in Hz.

        Raises NotFound, and CorruptObject when the content is not what the id says.
        """
        pcm, rate = _from_flac(self._content(audio_id), audio_id)
        actual = audio_hash(pcm, rate)
        if actual != audio_id:
            raise CorruptObject(
                f"audio {audio_id}: the file's content has the hash {actual}: bring it back from a"
                " backup, or delete the file and make the audio again"
            )
        samples = _to_float(pcm)
        return (samples[:, 0] if samples.shape[1] == 1 else samples), rate

    def path(self, audio_id: str) -> Path:
        """The file of audio_id on this machine, fetched when the store is elsewhere; NotFound."""
        if not self._local:
            copy = self._copies / f"{audio_id}.flac"
            if not copy.is_file():
                write_atomically(copy, self._content(audio_id))
            return copy
        path = Path(self._name(audio_id))
        if not path.is_file():
            raise self._missing(audio_id)
        return path

    def _content(self, audio_id: str) -> bytes:
        name = self._name(audio_id)
        try:
            with file_errors(name):
                return bytes(self._files.cat_file(name))
        except FileNotFoundError:
            raise self._missing(audio_id) from None

    def _missing(self, audio_id: str) -> NotFound:
        return NotFound(f"no audio {audio_id!r} in {self._base}")

    def _name(self, audio_id: str) -> str:
        if not audio_id.isalnum():
            raise NotFound(
                f"{audio_id!r} is not the id of an audio: those are 64 hexadecimal digits"
            )
        return f"{self._base}/{audio_id[:2]}/{audio_id}.flac"


def audio_hash(pcm: Pcm, rate: int) -> str:
    """sha256 over rate, channels, depth and PCM int16 [n, channels], hexadecimal."""
    digest = hashlib.sha256(f"{rate} {pcm.shape[1]} {DEPTH}\n".encode())
    digest.update(np.ascontiguousarray(pcm, "<i2").tobytes())
    return digest.hexdigest()


def to_pcm(samples: npt.NDArray[Any], rate: int, source: str) -> Pcm:
    """Float [n] or [n, channels] as int16 [n, channels]; raises BrokenAudio naming source."""
    columns = samples[:, None] if samples.ndim == 1 else samples
    if columns.ndim != 2 or not 1 <= columns.shape[1] <= _CHANNELS:
        raise BrokenAudio(f"{source}: samples of shape {samples.shape}: give [n] or [n, 1..8]")
    if not np.issubdtype(columns.dtype, np.floating):
        raise BrokenAudio(f"{source}: samples are {columns.dtype}: give float with full scale 1.0")
    if len(columns) == 0 or rate <= 0:
        raise BrokenAudio(
            f"{source}: {len(columns)} samples at {rate} Hz: there is nothing to hear"
        )
    if not np.isfinite(columns).all():
        raise BrokenAudio(f"{source}: samples that are not finite: the audio cannot be kept")
    scaled = np.rint(columns.astype(np.float64) * _FULL_SCALE)
    return np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)


def _to_float(pcm: Pcm) -> Samples:
    return pcm.astype(np.float32) / np.float32(_FULL_SCALE)


def _to_flac(pcm: Pcm, rate: int) -> bytes:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, pcm, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _from_flac(content: bytes, audio_id: str) -> tuple[Pcm, int]:
    import soundfile

    try:
        pcm, rate = soundfile.read(io.BytesIO(content), dtype="int16", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise CorruptObject(f"audio {audio_id}: the file cannot be decoded: {error}") from error
    return pcm, int(rate)
