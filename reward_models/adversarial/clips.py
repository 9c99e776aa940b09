"""Honest clips, of which probes and doses are made."""

import gzip
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trivox.platform.audio.io import read_audio, resample, to_mono
from trivox.platform.errors import BrokenAudio, NotFound, UsageError
from trivox.platform.records import FinishReason
from trivox.platform.scoring import Clip, Item
from trivox.reward_models.audio_checks import RATE, Samples

SUFFIXES = (".flac", ".wav", ".g722", ".ogg", ".mp3")
LEAST_S = 2.0
LONGEST_S = 30.0
_UNSAID = re.compile(r"\[[^\]]*\]|^\s*\([^)]*\)\s*$")
"""What a list says of a recording and not in it: brackets, and a text that is all in parentheses."""


@dataclass(frozen=True, eq=False)
class Spoken:
    """A recording and its words. samples: mono [n] at 16 kHz. voice: another recording of the same speaker. kind:
    "human" or what made it."""

    name: str
    samples: Samples
    text: str
    language: str
    kind: str
    voice: Samples | None = None

    def item(self) -> Item:
        """As a tts rollout in the voice of its speaker."""
        voice = Clip(self.voice, RATE) if self.voice is not None else None
        return Item(
            self.name, self.samples, RATE, self.text, self.language, FinishReason.END, voice=voice
        )


def read_clips(
    folder: Path,
    texts: Path | None = None,
    *,
    kind: str,
    language: str = "en",
    least_s: float = LEAST_S,
    longest_s: float = LONGEST_S,
    least_words: int = 1,
    most: int | None = None,
) -> list[Spoken]:
    """Clips of a folder, in the order of their names, each with the next one as its speaker's voice.

    texts: a list `name: words` a line, possibly gzipped; words in brackets are not said, nor what is all in
    parentheses ("(a second of silence)"). Without it the name of a file is what is said, "_" for spaces. most: so
    many, spread over the folder. Files that cannot be read, or are shorter than least_s or longer than longest_s,
    are left out, as are texts of fewer than least_words. Raises NotFound, UsageError where fewer than two are
    left.
    """
    words = _words(folder, texts)
    said = {name: text for name, text in words.items() if len(text.split()) >= max(1, least_words)}
    found = [*_spoken(folder, said, kind, language, (least_s, longest_s))]
    if most is not None and len(found) > most:
        found = [found[index * len(found) // most] for index in range(most)]
    if len(found) < 2:
        raise UsageError(
            f"{folder}: {len(found)} clips of {least_s} s or more with {least_words} words or more, at least 2 are"
            " needed"
        )
    return voiced(found)


def voiced(clips: Sequence[Spoken]) -> list[Spoken]:
    """Each with the next one's sound as its voice: for clips of one speaker."""
    after = [*clips[1:], clips[0]]
    return [
        Spoken(one.name, one.samples, one.text, one.language, one.kind, other.samples)
        for one, other in zip(clips, after, strict=True)
    ]


def _spoken(
    folder: Path, words: dict[str, str], kind: str, language: str, bounds_s: tuple[float, float]
) -> Iterator[Spoken]:
    for path in sorted(one for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES):
        name = str(path.relative_to(folder).with_suffix(""))
        if not (text := words.get(name, "")):
            continue
        try:
            samples, rate = read_audio(path)
        except BrokenAudio:
            continue
        if bounds_s[0] <= len(samples) / rate <= bounds_s[1]:
            sound = resample(to_mono(samples), rate, RATE)
            yield Spoken(name, sound, text, language, kind)


def _words(folder: Path, texts: Path | None) -> dict[str, str]:
    if not folder.is_dir():
        raise NotFound(f"{folder}: no such folder: name one with recordings")
    if texts is None:
        files = (one for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES)
        names = [str(one.relative_to(folder).with_suffix("")) for one in files]
        return {name: name.rpartition("/")[2].replace("_", " ").strip() for name in names}
    if not texts.is_file():
        raise NotFound(f"{texts}: no such file: name a list of `name: words` lines")
    raw = texts.read_bytes()
    lines = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode(errors="replace")
    pairs = (line.partition(":") for line in lines.splitlines() if not line.startswith(";"))
    return {name.strip(): _UNSAID.sub(" ", said).strip() for name, _, said in pairs}
