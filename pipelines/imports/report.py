"""What an import tells about itself."""

from dataclasses import dataclass
from pathlib import Path

from trivox.pipelines.imports.rows import Refusal
from trivox.platform.records import PromptSet


@dataclass(frozen=True)
class ImportReport:
    """taken: prompts in the set; audio_seconds: of their recordings, each counted once.

    repeated: rows equal to an earlier one, kept once. new_version: False where the latest version of the
    set holds the same already and is returned. notes: lines for people: consents, resampling, keys not read.
    quarantine: where refused rows are kept to be mended.
    """

    prompt_set: PromptSet
    layout: str
    taken: int
    audio_seconds: float
    refused: tuple[Refusal, ...]
    repeated: int
    new_version: bool
    notes: tuple[str, ...]
    quarantine: Path | None = None
