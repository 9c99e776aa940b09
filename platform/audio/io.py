"""Audio files to arrays and back: float32, full scale 1.0, [n] for one channel, [n, channels] for more.

libsndfile reads what it knows (WAV, FLAC, Ogg, AIFF, …), PyAV the rest (MP3, M4A, G.722, …). MP3 goes to
PyAV although libsndfile knows it: its decoder writes warnings about damaged files straight to stderr.
"""

import errno
import io
import os
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from trivox.platform.errors import BrokenAudio, DiskFull

Samples: TypeAlias = npt.NDArray[np.float32]

LONGEST_SECONDS = 3600
LOUDEST = 8.0
"""Peak up to which float samples are believed to be on the scale where full is 1.0 (18 dB over)."""

_SNDFILE_MAGIC = (
    b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b".snd", b"caff", b"NIST", b"Crea",
)  # fmt: skip
# libsndfile's codes for "unrecognised format" and "unsupported encoding": the cases worth a second decoder.
_UNKNOWN_TO_SNDFILE = (1, 4)
_HEADERLESS = ("g722",)
_MP3_LENGTHS = (b"Xing", b"Info", b"VBRI")
_HEAD = 1 << 16
_LARGEST_OGG_PAGE = 27 + 255 + 255 * 255
_REMEDY = "convert it to WAV or FLAC, or leave it out"


def read_audio(path: Path) -> tuple[Samples, int]:
    """Samples at the file's own rate, and that rate in Hz.

    Raises BrokenAudio, which names the file and the cause: missing, empty, no audio, cut off, not finite, off
    the scale, longer than LONGEST_SECONDS.
    """
    if not path.exists():
        raise BrokenAudio(f"{path}: no such file: check the name, or leave it out")
    if not path.is_file():
        raise BrokenAudio(f"{path}: not a file: name one audio file")
    try:
        with path.open("rb") as file:
            return _read(file, str(path))
    except OSError as error:
        raise BrokenAudio(
            f"{path}: cannot be read ({error.strerror or error}): {_REMEDY}"
        ) from None


def decode_audio(data: bytes, name: str) -> tuple[Samples, int]:
    """read_audio for a file's bytes; name is for errors, and its suffix tells formats without a header."""
    return _read(io.BytesIO(data), name)


def to_mono(samples: Samples) -> Samples:
    """The mean of the channels: [n] or [n, channels] -> [n]."""
    if samples.ndim == 1:
        return samples
    mean: Samples = samples.mean(axis=1, dtype=np.float32)
    return mean


def resample(samples: Samples, rate: int, target: int) -> Samples:
    """Samples, [n] or [n, channels], from rate to target, both in Hz (soxr, high quality)."""
    if rate == target:
        return samples
    converted: Samples = soxr.resample(samples, rate, target).astype(np.float32, copy=False)
    return converted


def write_wav(path: Path, samples: Samples, rate: int) -> None:
    """Write 16-bit PCM, complete or not at all; what exceeds full scale is clipped.

    Raises DiskFull; BrokenAudio for samples that are not finite.
    """
    if not np.isfinite(samples).all():
        raise BrokenAudio(f"{path}: cannot write samples that are not finite (NaN or infinite)")
    pcm = np.round(np.clip(samples, -1, 32767 / 32768) * 32768).astype(np.int16)
    encoded = io.BytesIO()
    soundfile.write(encoded, pcm, rate, format="WAV", subtype="PCM_16")
    _replace(path, encoded.getvalue())


class _Defect(Exception):
    """What is wrong with a file and what to do, without its name."""


def _read(file: BinaryIO, name: str) -> tuple[Samples, int]:
    try:
        samples, rate = _decode(file, Path(name).suffix.lower().lstrip("."))
        _check(samples)
    except _Defect as defect:
        raise BrokenAudio(f"{name}: {defect}") from None
    if samples.ndim == 2 and samples.shape[1] == 1:
        samples = samples[:, 0]
    return samples, rate


def _decode(file: BinaryIO, suffix: str) -> tuple[Samples, int]:
    head = file.read(_HEAD)
    file.seek(0)
    if not head:
        raise _Defect("the file is empty (0 bytes): export it again, or leave it out")
    if head.startswith(_SNDFILE_MAGIC):
        try:
            return _with_sndfile(file, head)
        except soundfile.LibsndfileError as error:
            if error.code not in _UNKNOWN_TO_SNDFILE:
                cause = error.error_string.rstrip(". ")
                raise _Defect(f"damaged or cut off ({cause}): {_REMEDY}") from None
            file.seek(0)
    return _with_av(file, head, suffix)


def _with_sndfile(file: BinaryIO, head: bytes) -> tuple[Samples, int]:
    # Without the object's name: soundfile would take "x.raw" for headerless whatever it holds.
    with soundfile.SoundFile(_Nameless(file)) as opened:
        rate, promised = int(opened.samplerate), opened.frames
        _check_length(promised, rate)
        samples: Samples = opened.read(dtype="float32")
        # libsndfile shortens a cut-off WAV or AIFF without an error; its log is the only trace.
        cut = len(samples) < promised or "(should be" in opened.extra_info
    cut = _breaks_off_in_a_page(file) if head.startswith(b"OggS") else cut and not _streamed(head)
    if cut:
        raise _Defect(f"cut off after {len(samples) / rate:.2f} s: {_REMEDY}")
    return samples, rate


def _breaks_off_in_a_page(file: BinaryIO) -> bool:
    """Whether an Ogg file's last page is shorter than its segment table says (RFC 3533, section 6)."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _LARGEST_OGG_PAGE))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return len(page) < 27 + len(segments) + sum(segments) or not segments


class _Nameless:
    """A binary file's reading methods and nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.read = file.seek, file.tell, file.read


def _streamed(data: bytes) -> bool:
    """Whether a WAV's header says "length unknown", as programs that write to a pipe leave it."""
    return data[:4] in (b"RIFF", b"RF64") and data[4:8] in (b"\xff" * 4, b"\0" * 4)


def _with_av(file: BinaryIO, head: bytes, suffix: str) -> tuple[Samples, int]:
    # Imported here: most files do not need it, and it takes a while.
    import av

    try:
        with av.open(file, format=suffix if suffix in _HEADERLESS else None) as container:
            samples, rate = _av_samples(container)
            _check_complete(container, head, len(samples) / rate)
            return samples, rate
    except (av.FFmpegError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise _Defect(f"not audio, or damaged ({cause}): {_REMEDY}") from None


def _av_samples(container: Any) -> tuple[Samples, int]:
    import av

    if not container.streams.audio:
        raise _Defect(f"holds no audio ({container.format.long_name}): {_REMEDY}")
    stream = container.streams.audio[0]
    rate, frames, parts = int(stream.rate), 0, []
    planar = av.AudioResampler(format="fltp")
    for frame in container.decode(stream):
        for part in planar.resample(frame):
            parts.append(part.to_ndarray())
            frames += part.samples
            _check_length(frames, rate)
    joined = np.concatenate(parts, axis=1).T if parts else np.zeros((0, 1))
    return np.ascontiguousarray(joined, np.float32), rate


def _check_complete(container: Any, head: bytes, seconds: float) -> None:
    """Against the length in the header, where there is one: elsewhere FFmpeg guesses it from the bit rate."""
    kind = container.format.name
    if kind in ("aac", "g722") or (kind == "mp3" and not any(tag in head for tag in _MP3_LENGTHS)):
        return
    promised = (container.duration or 0) / 1e6
    if seconds < promised - max(0.15, 0.01 * promised):
        raise _Defect(f"cut off after {seconds:.2f} of {promised:.2f} s: {_REMEDY}")


def _check_length(frames: int, rate: int) -> None:
    if frames > LONGEST_SECONDS * rate:
        raise _Defect(
            f"lasts {frames / rate:.0f} s or more, the limit is {LONGEST_SECONDS} s: cut it into utterances"
        )


def _check(samples: Samples) -> None:
    if not len(samples):
        raise _Defect("holds no samples (length 0): export it again, or leave it out")
    finite = np.isfinite(samples)
    if not finite.all():
        first = int(np.argmin(finite.reshape(len(samples), -1).all(axis=1)))
        raise _Defect(f"sample {first} is NaN or infinite: export it again as 16-bit PCM")
    peak = float(np.abs(samples).max())
    if peak > LOUDEST:
        raise _Defect(f"peak {peak:g} where full scale is 1.0: scale it down, or write 16-bit PCM")


def _replace(path: Path, data: bytes) -> None:
    """Write through a neighbour, so that path never holds a part."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise DiskFull(
                f"{path}: no room for {len(data)} bytes: free some, or write elsewhere"
            ) from None
        raise BrokenAudio(f"{path}: cannot be written ({error.strerror})") from None
