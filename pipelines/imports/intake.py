"""From rows to prompts: text checked, recordings decoded and stored, groups found. Writes no SQL."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trivox.pipelines.imports.languages import language_tag
from trivox.pipelines.imports.rows import (
    EncodedAudio,
    Read,
    Refusal,
    Remark,
    Row,
    RowRefused,
    checked_spans,
    clean_text,
)
from trivox.pipelines.imports.splits import AUDIO, NAMED, TEXT, Key
from trivox.pipelines.imports.terms import Terms, check_speaker
from trivox.platform.audio.io import Samples, decode_audio, read_audio, resample, to_mono
from trivox.platform.errors import BrokenAudio
from trivox.platform.records import Audio, Branch, Prompt, Speaker, Split
from trivox.platform.store import Workspace

ASR_RATE = 16_000
"""Hz, one channel: what recognisers and codecs are given; the native recording is kept beside it."""


@dataclass(frozen=True)
class Request:
    """What an import is asked for. language: BCP-47; min_rate: Hz, below it recordings are refused."""

    name: str
    branch: Branch
    language: str
    terms: Terms
    min_rate: int


@dataclass(frozen=True)
class Taken:
    """A row that became a prompt. audios: the native recording first, then its derivative."""

    label: str
    prompt: Prompt
    audios: tuple[Audio, ...]
    keys: tuple[Key, ...]
    split: Split | None
    licence: str | None


@dataclass
class Intake:
    """Collects what is read, in order."""

    workspace: Workspace
    request: Request
    source_name: str
    taken: dict[str, Taken] = field(default_factory=dict)
    speakers: dict[str, Speaker] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    repeated: int = 0
    resampled: Counter[int] = field(default_factory=Counter)
    mixed_down: int = 0

    def add(self, read: Read) -> None:
        """Take, refuse or note one thing read; only errors that end the whole import are raised."""
        match read:
            case Refusal():
                self.refused.append(read)
            case Remark():
                self.remarks.append(read.text)
            case Row():
                self._add_row(read)

    def _add_row(self, row: Row) -> None:
        try:
            taken = self._take(row)
        except RowRefused as refused:
            self.refused.append(refused.of(row.label))
            return
        earlier = self.taken.get(taken.prompt.id)
        if earlier is None:
            self.taken[taken.prompt.id] = taken
            return
        if None not in (earlier.split, taken.split) and earlier.split != taken.split:
            reason = f"the same as {earlier.label}, which is in {earlier.split}"
            self.refused.append(Refusal(row.label, reason, "delete one of them"))
            return
        self.repeated += 1
        # A repeated prompt still ties the groups that both rows name.
        keys = tuple(dict.fromkeys((*earlier.keys, *taken.keys)))
        self.taken[taken.prompt.id] = replace(earlier, keys=keys)

    def _take(self, row: Row) -> Taken:
        language = self._language(row)
        asr = self.request.branch == Branch.ASR
        text = clean_text((asr and row.reference_text) or row.text or "")
        reference = clean_text(row.reference_text) if row.reference_text else None
        common = {"instruction": clean_text(row.instruction) if row.instruction else None}
        audios = self._audios(row)
        payload: dict[str, Any]
        if asr:
            payload = {"audio": audios[-1].id, "reference_text": text}
        else:
            heard = audios[0].id if audios else None
            payload = {"text": text, "reference_text": reference, "reference_audio": heard}
            spans = checked_spans(row.inline_instructions, text, row.text or "")
            payload["inline_instructions"] = spans
        prompt = Prompt.of(self.request.branch, (language,), **payload, **common)
        licence = row.licence or self.request.terms.licence
        keys = _keys(row, text, audios)
        return Taken(row.label, prompt, audios, keys, row.split, licence)

    def _language(self, row: Row) -> str:
        if row.language is None:
            return self.request.language
        tag = language_tag(row.language)
        if tag is None:
            raise RowRefused(
                f"language {row.language!r} is no BCP-47 tag", "write one such as en-US or zh-CN"
            )
        return tag

    def _audios(self, row: Row) -> tuple[Audio, ...]:
        if row.audio is None:
            if self.request.branch == Branch.ASR:
                raise RowRefused(
                    "no recording, and asr needs one", "name one, or import it for tts"
                )
            return ()
        try:
            samples, rate = _decoded(row.audio)
            self._check_sound(samples, rate)
            return self._store(row, samples, rate)
        except BrokenAudio as error:
            cause, _, remedy = str(error).removeprefix(f"{_name(row.audio)}: ").rpartition(": ")
            raise RowRefused(cause, remedy) from None

    def _check_sound(self, samples: Samples, rate: int) -> None:
        if rate < self.request.min_rate:
            raise RowRefused(
                f"the recording is at {rate} Hz, the import asks for {self.request.min_rate} Hz or more",
                "record it at a higher rate, or lower --min-rate",
            )
        if not samples.any():
            raise RowRefused("the recording is digital silence", "record it again")

    def _store(self, row: Row, samples: Samples, rate: int) -> tuple[Audio, ...]:
        speaker, licence = self._speaker(row), row.licence or self.request.terms.licence
        origin = {
            "project": self.workspace.project,
            "source": f"{self.source_name}{row.label}",
            "speaker": speaker.id,
        }
        native = self.workspace.audio.put(samples, rate, licence=licence, **origin)
        if self.request.branch != Branch.ASR or (rate == ASR_RATE and samples.ndim == 1):
            return (native,)
        self.mixed_down += samples.ndim > 1
        self.resampled[rate] += rate != ASR_RATE
        heard = resample(to_mono(samples), rate, ASR_RATE)
        derived = self.workspace.audio.put(
            heard, ASR_RATE, licence=licence, derived_from=native.id, **origin
        )
        return native, derived

    def _speaker(self, row: Row) -> Speaker:
        terms = self.request.terms
        speaker = terms.speaker_record(self.workspace.project, self.request.name, row.speaker)
        if speaker.id not in self.speakers:
            check_speaker(self.workspace, speaker)
            self.speakers[speaker.id] = speaker
        return speaker


def _name(audio: Path | EncodedAudio) -> str:
    return audio.name if isinstance(audio, EncodedAudio) else str(audio)


def _decoded(audio: Path | EncodedAudio) -> tuple[Samples, int]:
    if isinstance(audio, EncodedAudio):
        return decode_audio(audio.data, audio.name)
    return read_audio(audio)


def _keys(row: Row, text: str, audios: tuple[Audio, ...]) -> tuple[Key, ...]:
    """Rows of one group, of one text whatever its case and punctuation, or of one recording belong together."""
    letters = "".join(c for c in text.casefold() if c.isalnum())
    named = [(NAMED, row.group)] if row.group else []
    return (*named, (TEXT, letters or text), *((AUDIO, audio.id) for audio in audios[:1]))
