"""Recordings of an import: decoded, checked, stored under their speaker's terms."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from trivox.pipelines.imports.rows import EncodedAudio, RowRefused
from trivox.pipelines.imports.terms import Terms, check_speaker
from trivox.platform.audio.io import Samples, decode_audio, read_audio, resample, to_mono
from trivox.platform.errors import BrokenAudio
from trivox.platform.records import Audio, Consent, Speaker
from trivox.platform.store import Workspace

ASR_RATE = 16_000
"""Hz, one channel: what recognisers and codecs are given; the native recording is kept beside it."""


@dataclass(frozen=True)
class Whose:
    """Where a recording stands in the source, and the speaker and licence that the row names."""

    label: str
    speaker: str | None
    licence: str | None


@dataclass
class Recordings:
    """min_rate: Hz, below it recordings are refused. source_name stands before a label, to say where it lies."""

    workspace: Workspace
    import_name: str
    source_name: str
    terms: Terms
    min_rate: int
    speakers: dict[str, Speaker] = field(default_factory=dict)
    resampled: Counter[int] = field(default_factory=Counter)
    mixed_down: int = 0

    def native(self, audio: Path | EncodedAudio, whose: Whose) -> Audio:
        """The recording as it is; raises RowRefused."""
        return self._stored(audio, whose)[2]

    def heard(self, audio: Path | EncodedAudio, whose: Whose) -> tuple[Audio, ...]:
        """The recording, and its derivative for recognisers where it is of another form; raises RowRefused."""
        samples, rate, native = self._stored(audio, whose)
        if rate == ASR_RATE and samples.ndim == 1:
            return (native,)
        self.mixed_down += samples.ndim > 1
        self.resampled[rate] += rate != ASR_RATE
        mono = resample(to_mono(samples), rate, ASR_RATE)
        return native, self._put(mono, ASR_RATE, whose, native.id)

    def voice(self, audio: Path | EncodedAudio, whose: Whose) -> Audio:
        """A recording to imitate; raises RowRefused where its speaker does not allow that."""
        if Consent.CLONE not in self.terms.consents:
            raise RowRefused(
                f"its voice is to be imitated, and the speaker allows {self.terms.allowed} only",
                "leave voice out, or state --consent clone where the speaker consented",
            )
        return self.native(audio, whose)

    def _stored(self, audio: Path | EncodedAudio, whose: Whose) -> tuple[Samples, int, Audio]:
        try:
            samples, rate = _decoded(audio)
            self._check_sound(samples, rate)
            return samples, rate, self._put(samples, rate, whose, None)
        except BrokenAudio as error:
            cause, _, remedy = str(error).removeprefix(f"{_name(audio)}: ").rpartition(": ")
            raise RowRefused(cause, remedy) from None

    def _check_sound(self, samples: Samples, rate: int) -> None:
        if rate < self.min_rate:
            raise RowRefused(
                f"the recording is at {rate} Hz, the import asks for {self.min_rate} Hz or more",
                "record it at a higher rate, or lower --min-rate",
            )
        if not samples.any():
            raise RowRefused("the recording is digital silence", "record it again")

    def _put(self, samples: Samples, rate: int, whose: Whose, derived_from: str | None) -> Audio:
        return self.workspace.audio.put(
            samples,
            rate,
            project=self.workspace.project,
            source=f"{self.source_name}{whose.label}",
            speaker=self._speaker(whose.speaker).id,
            licence=whose.licence or self.terms.licence,
            derived_from=derived_from,
        )

    def _speaker(self, named: str | None) -> Speaker:
        speaker = self.terms.speaker_record(self.workspace.project, self.import_name, named)
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
