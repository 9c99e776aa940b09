"""Clips as they are sent: WAV made anew from the samples, brought to one loudness by gain alone."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from trivox.annotation.clips import to_wav
from trivox.platform.records import Audio
from trivox.platform.store import Workspace

TARGET_LUFS = -16.0
PEAK_DBTP = -1.5
CACHE_BYTES = 128 << 20
HEADER = 44
"""Bytes before the first sample in a WAV of `to_wav`."""


def matched_gains(audios: Sequence[Audio]) -> list[float]:
    """Gains in dB that bring all clips to one loudness, -16 LUFS or as near below it as the peaks allow.

    No peak comes above -1.5 dBTP. A clip too short or too quiet to be measured keeps its level, or what its peak
    allows of it.
    """
    reachable = [
        audio.loudness_lufs + PEAK_DBTP - audio.true_peak_dbtp
        for audio in audios
        if audio.loudness_lufs is not None and audio.true_peak_dbtp is not None
    ]
    target = min([TARGET_LUFS, *reachable])
    return [_gain(audio, target) for audio in audios]


def _gain(audio: Audio, target: float) -> float:
    room = 0.0 if audio.true_peak_dbtp is None else PEAK_DBTP - audio.true_peak_dbtp
    if audio.loudness_lufs is None:
        return round(min(0.0, room), 3)
    return round(min(target - audio.loudness_lufs, room), 3)


class Sounds:
    """WAV bytes by audio and gain; the last few are kept in memory. Threads may share one."""

    def __init__(self, workspace: Workspace, cache_bytes: int = CACHE_BYTES) -> None:
        self._workspace = workspace
        self._room = cache_bytes
        self._kept: OrderedDict[tuple[str, float], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def wav(self, audio: str, gain_db: float) -> bytes:
        """A 16-bit WAV that tells nothing but the sound. Raises NotFound, CorruptObject."""
        key = (audio, gain_db)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        samples, rate = self._workspace.audio.read(audio)
        made = to_wav(samples * np.float32(10 ** (gain_db / 20)), rate)
        self._keep(key, made)
        return made

    def _keep(self, key: tuple[str, float], made: bytes) -> None:
        with self._lock:
            self._kept[key] = made
            while sum(map(len, self._kept.values())) > self._room and len(self._kept) > 1:
                self._kept.popitem(last=False)


def seconds_of(first: int, end: int, size: int, duration_s: float) -> tuple[float, float]:
    """The seconds of the clip that bytes [first, end) of its WAV of `size` bytes hold."""
    per_byte = duration_s / max(1, size - HEADER)
    return max(0.0, (first - HEADER) * per_byte), max(0.0, (end - HEADER) * per_byte)
