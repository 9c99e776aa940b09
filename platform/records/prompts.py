"""What a policy is asked for."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from trivox.platform.hashing import derived_id


class Branch(StrEnum):
    """The operational regimes of the shared weights."""

    ASR = "asr"
    TTS = "tts"
    REALTIME = "realtime"


class Split(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class Turn:
    """One turn of a dialogue. Times in milliseconds from the dialogue's start; audio is an audio id."""

    role: str
    text: str | None = None
    audio: str | None = None
    channel: int = 0
    start_ms: int | None = None
    end_ms: int | None = None
    interrupted_by: int | None = None


@dataclass(frozen=True)
class Prompt:
    """The payload of a request, named by its content alone (`Prompt.of`).

    languages: BCP-47. audio and reference_audio are audio ids; persona and rubric are `name@version`;
    reference_text and reference_audio are the reference y*. inline_instructions: (start, end, directive)
    in characters of text. pronunciations: word -> phonemes.
    """

    id: str
    branch: Branch
    languages: tuple[str, ...]
    text: str | None = None
    audio: str | None = None
    turns: tuple[Turn, ...] = ()
    persona: str | None = None
    instruction: str | None = None
    inline_instructions: tuple[tuple[int, int, str], ...] = ()
    reference_text: str | None = None
    reference_audio: str | None = None
    voice_audio: str | None = None
    rubric: str | None = None
    pronunciations: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, branch: Branch, languages: tuple[str, ...], **payload: Any) -> Self:
        """A prompt with the id of its payload: equal payloads, equal ids."""
        unnamed = cls("", branch, languages, **payload)
        return cls(derived_id("pr", asdict(unnamed)), branch, languages, **payload)


@dataclass(frozen=True)
class PromptItem:
    """A prompt's place in one version of a set. Prompts of one group never fall in two splits."""

    prompt: str
    split: Split
    group: str
    licence: str | None
    source: str


@dataclass(frozen=True)
class PromptSet:
    """An immutable version of a set of prompts, written `name@version`."""

    id: str
    project: str
    name: str
    version: int
    items: tuple[PromptItem, ...]

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"

    def prompts(self, split: Split) -> list[str]:
        """Prompt ids of one split, in the set's order."""
        return [item.prompt for item in self.items if item.split == split]


@dataclass(frozen=True)
class Persona:
    """A character for the realtime branch; parents are the personas it was recombined from."""

    id: str
    project: str
    name: str
    version: int
    description: str
    traits: dict[str, str] = field(default_factory=dict)
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rubric:
    """Criteria that a judge weighs: name -> (weight, description).

    metrics: language (BCP-47) -> (metric, normaliser as `name@version`), how words are compared in it.
    """

    id: str
    project: str
    name: str
    version: int
    criteria: dict[str, tuple[float, str]]
    parents: tuple[str, ...] = ()
    metrics: dict[str, tuple[str, str]] = field(default_factory=dict)
