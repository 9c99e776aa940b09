"""Pseudo-labels: transcripts that several recognisers agree on, for recordings that nobody transcribed.

As StepAudio 2.5 makes them for long audio (arXiv 2605.23463, section 4): pieces by VAD, several systems,
surface normalisation, ROVER over tokens, a token kept with two votes, a piece dropped when the rate of
disagreement is above 0.05, neighbours joined. What it does not have is the language model that restores
punctuation: a label is written as the first system wrote it that heard exactly what was agreed, else in
normalised words.

In the folder: `pseudo-labels.jsonl`, which `trivox data import` reads, with `clips/`; `dropped.jsonl`, what
was not taken and why; `recordings/`, what is done already. Every row says that its source is "pseudo-label".
"""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from pydantic import TypeAdapter, ValidationError

from trivox.pipelines.imports.folders import AUDIO_SUFFIXES
from trivox.pipelines.voting import LONGEST_S, VotedPiece, identities, voted_pieces, voting_hash
from trivox.platform.audio.io import Samples, read_audio, to_mono
from trivox.platform.errors import BrokenAudio, ConfigError, NotFound
from trivox.platform.hashing import derived_id, sha256_file
from trivox.platform.store.files import write_atomically
from trivox.platform.text.alignment import units
from trivox.platform.text.normalise import normaliser_for, numbers_spelled
from trivox.platform.text.rover import joined
from trivox.reward_models.verifiable.recognisers import Recogniser

SOURCE = "pseudo-label"
MANIFEST = "pseudo-labels.jsonl"
DROPPED = "dropped.jsonl"


class Reason(StrEnum):
    """Why a piece, or a whole recording, was not taken."""

    UNREADABLE = "unreadable"
    NO_SPEECH = "no speech"
    NOTHING_AGREED = "no word agreed"
    DISAGREEMENT = "disagreement"


@dataclass(frozen=True)
class LabelRules:
    """language: BCP-47. min_votes: of a word that is kept; max_disagreement: see `Consensus.disagreement`;
    longest_s: of a clip; gap_s: the longest pause over which neighbours are joined."""

    language: str = "en-US"
    min_votes: int = 2
    max_disagreement: float = 0.05
    longest_s: float = LONGEST_S
    gap_s: float = 1.5

    def check(self, systems: int) -> None:
        """Raises ConfigError for a rule that no piece, or every piece, would meet."""
        if not 1 <= self.min_votes <= systems:
            raise ConfigError(
                f"min_votes is {self.min_votes} and {systems} systems vote: give 1 to {systems}"
            )
        if not 0 <= self.max_disagreement <= 1:
            raise ConfigError(
                f"max_disagreement is {self.max_disagreement}: give a share of 0 to 1"
            )


@dataclass(frozen=True)
class LabelledPiece:
    """A piece as it was judged. votes: of each word of the label. disagreement: None where nothing was heard in
    common. dropped: None where it was taken."""

    start_s: float
    end_s: float
    text: str
    votes: tuple[int, ...]
    disagreement: float
    ties: int
    heard: dict[str, str]
    dropped: Reason | None


@dataclass(frozen=True)
class LabelledRecording:
    """All pieces of one file. id: of its content, the systems and the rules. failure: why there are none."""

    id: str
    content: str
    duration_s: float
    pieces: tuple[LabelledPiece, ...]
    dropped: Reason | None
    failure: str | None


@dataclass(frozen=True)
class PseudoLabels:
    """What was made of a set of files: rows of the manifest, rows that were dropped, and seconds of both."""

    manifest: Path
    accepted: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    accepted_s: float
    heard_s: float

    @property
    def reasons(self) -> dict[str, int]:
        """How many pieces and recordings were dropped, by reason."""
        return dict(Counter(str(row["reason"]) for row in self.dropped))


_RECORD = TypeAdapter(LabelledRecording)


def audio_files(sources: Sequence[Path]) -> list[Path]:
    """The files themselves, and of folders every audio file below; raises NotFound where there is none."""
    found: list[Path] = []
    for source in sources:
        if not source.is_dir():
            found.append(source)
            continue
        inside = [one for one in sorted(source.rglob("*")) if one.suffix.lower() in AUDIO_SUFFIXES]
        if not inside:
            raise NotFound(f"{source}: no audio file in it: name another folder, or files")
        found += inside
    return list(dict.fromkeys(found))


def pseudo_label(
    files: Iterable[Path], systems: Mapping[str, Recogniser], out: Path, rules: LabelRules
) -> PseudoLabels:
    """Label the files into the folder out; recordings that are done already, with these systems and rules, are
    not heard again.

    A file that cannot be read is dropped with the reason. Raises ConfigError for rules, UnknownLanguage for a
    system that does not know the language, DiskFull and StoreError.
    """
    rules.check(len(systems))
    accepted: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    heard_s = 0.0
    for file in files:
        recording = _labelled(file, systems, out, rules)
        heard_s += recording.duration_s
        accepted += _rows(recording, file, systems, rules)
        dropped += _dropped_rows(recording, file)
    write_atomically(out / MANIFEST, _lines(accepted))
    write_atomically(out / DROPPED, _lines(dropped))
    accepted_s = sum(row["end_s"] - row["start_s"] for row in accepted)
    return PseudoLabels(out / MANIFEST, accepted, dropped, accepted_s, heard_s)


def _labelled(
    file: Path, systems: Mapping[str, Recogniser], out: Path, rules: LabelRules
) -> LabelledRecording:
    """The record of a file, from the folder or made now; its clips are written before it."""
    try:
        content = sha256_file(file)
        name = derived_id("pl", content, voting_hash(systems), asdict(rules))
        known = _known(out / "recordings" / f"{name}.json")
        if known is not None and all(
            (out / _clip(known, index)).is_file() for index in range(len(_clips(known, rules)))
        ):
            return known
        samples, rate = read_audio(file)
    except (BrokenAudio, OSError) as error:
        reason = str(error)
        return LabelledRecording("", "", 0.0, (), Reason.UNREADABLE, reason)
    heard = voted_pieces(samples, rate, systems, rules.language, rules.longest_s)
    judged = tuple(_judged(piece, rules) for piece in heard)
    nothing = None if judged else Reason.NO_SPEECH
    made = LabelledRecording(name, content, len(samples) / rate, judged, nothing, None)
    _write_clips(made, to_mono(samples), rate, out, rules)
    write_atomically(out / "recordings" / f"{name}.json", _RECORD.dump_json(made))
    return made


def _known(path: Path) -> LabelledRecording | None:
    """A record that was written before; None where there is none, or a damaged one, which is made again."""
    try:
        return _RECORD.validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _judged(piece: VotedPiece, rules: LabelRules) -> LabelledPiece:
    consensus = piece.consensus
    kept = [s.chosen for s in consensus.slots if s.agreed(rules.min_votes) and s.chosen.word]
    rate = consensus.disagreement(rules.min_votes)
    dropped = None
    if rate > rules.max_disagreement:
        dropped = Reason.DISAGREEMENT
    elif not kept:
        dropped = Reason.NOTHING_AGREED
    words = [str(arc.word) for arc in kept]
    text = _surface(words, piece.heard, rules.language)
    votes = tuple(arc.votes for arc in kept)
    return LabelledPiece(
        piece.start_s, piece.end_s, text, votes, rate, consensus.ties, piece.heard, dropped
    )


def _surface(words: list[str], heard: Mapping[str, str], language: str) -> str:
    """The words as the first system wrote them that heard just these, numbers spelled out; else as they are."""
    written = (text.strip() for text in heard.values() if units(text, language) == words)
    return numbers_spelled(next(written, joined(words, language)), language)


def _clips(recording: LabelledRecording, rules: LabelRules) -> list[list[LabelledPiece]]:
    """Accepted neighbours together: nothing dropped between them, a short pause, no longer than a clip may be."""
    clips: list[list[LabelledPiece]] = []
    last: LabelledPiece | None = None
    for piece in recording.pieces:
        if piece.dropped is None:
            near = last is not None and piece.start_s - last.end_s <= rules.gap_s
            if near and piece.end_s - clips[-1][0].start_s <= rules.longest_s:
                clips[-1].append(piece)
            else:
                clips.append([piece])
        last = piece if piece.dropped is None else None
    return clips


def _clip(recording: LabelledRecording, index: int) -> str:
    return f"clips/{recording.id}-{index:03}.flac"


def _write_clips(
    recording: LabelledRecording, wave: Samples, rate: int, out: Path, rules: LabelRules
) -> None:
    for index, clip in enumerate(_clips(recording, rules)):
        first, last = round(clip[0].start_s * rate), round(clip[-1].end_s * rate)
        encoded = io.BytesIO()
        pcm = np.clip(wave[first:last], -1, 1)
        soundfile.write(encoded, pcm, rate, format="FLAC", subtype="PCM_16")
        write_atomically(out / _clip(recording, index), encoded.getvalue())


def _rows(
    recording: LabelledRecording, file: Path, systems: Mapping[str, Recogniser], rules: LabelRules
) -> Iterator[dict[str, Any]]:
    """Rows of the manifest; pieces of one recording are one group, so they never fall in two splits."""
    for index, clip in enumerate(_clips(recording, rules)):
        yield {
            "id": f"{recording.id}-{index:03}",
            "text": joined([piece.text for piece in clip], rules.language),
            "audio": _clip(recording, index),
            "language": rules.language,
            "group": recording.content[:24],
            "source": SOURCE,
            "file": str(file),
            "start_s": clip[0].start_s,
            "end_s": clip[-1].end_s,
            "systems": identities(systems),
            "min_votes": rules.min_votes,
            "votes": [vote for piece in clip for vote in piece.votes],
            "disagreement": max(piece.disagreement for piece in clip),
            "ties": sum(piece.ties for piece in clip),
            "normaliser": normaliser_for(rules.language).label,
        }


def _dropped_rows(recording: LabelledRecording, file: Path) -> Iterator[dict[str, Any]]:
    if recording.dropped is not None:
        yield {"file": str(file), "reason": recording.dropped, "detail": recording.failure}
    for piece in recording.pieces:
        if piece.dropped is not None:
            row = {"file": str(file), "reason": piece.dropped, "start_s": piece.start_s}
            seen = {"end_s": piece.end_s, "disagreement": piece.disagreement, "heard": piece.heard}
            yield row | seen


def _lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
