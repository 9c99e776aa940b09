"""A piece of audio, named by what it sounds like."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Audio:
    """id is the hash of rate, channels, depth and PCM, not of the file.

    duration_s in seconds; loudness_lufs is integrated (ITU-R BS.1770), None where the clip is too short or
    silent; true_peak_dbtp in dB true peak, None for digital silence. derived_from: the audio that this one
    was resampled or cut from; derivatives inherit the strictest terms. source: where it came from.
    """

    id: str
    project: str
    rate: int
    channels: int
    depth: int
    frames: int
    duration_s: float
    loudness_lufs: float | None
    true_peak_dbtp: float | None
    speaker: str | None
    licence: str | None
    source: str
    derived_from: str | None = None
