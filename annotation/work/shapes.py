"""What the pages and the API see of the work: leases, clips, what was played, what was answered."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trivox.annotation.work.questions import Question
from trivox.platform.errors import NotFound, UsageError
from trivox.platform.records import AnswerKind, FaultKind, Tie


class ClipRole(StrEnum):
    """item: what is judged; history: a turn of the dialogue before; voice: the reference voice; prompt: speech
    whose transcripts are judged."""

    ITEM = "item"
    HISTORY = "history"
    VOICE = "voice"
    PROMPT = "prompt"


@dataclass(frozen=True)
class Clip:
    """A sound under this lease. audio_id: opaque, good under this lease alone.

    label: "A", "B", … for items in the order shown, "" for the rest. gain_db: already applied to the sound.
    must_hear: no answer is taken before it was heard.
    """

    audio_id: str
    role: ClipRole
    label: str
    duration_s: float
    gain_db: float
    must_hear: bool


@dataclass(frozen=True)
class HistoryTurn:
    """A turn of the dialogue before the replies. audio_id names one of the lease's clips."""

    role: str
    text: str | None
    audio_id: str | None


@dataclass(frozen=True)
class Content:
    """What is shown beside the clips. hypotheses: transcripts to judge or correct, in the order shown."""

    branch: str
    language: str
    text: str | None = None
    instruction: str | None = None
    persona: str | None = None
    turns: tuple[HistoryTurn, ...] = ()
    hypotheses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """An unfinished answer as the page keeps it: any JSON object of at most 16 kB."""

    values: dict[str, object]
    saved_at: datetime


@dataclass(frozen=True)
class Lease:
    """One question to one person, theirs until expires_at. The items stay unnamed: A is what is shown first.

    training: the answer gets feedback and is not counted. done: this person's answers in the campaign;
    left: how many more there are for them now, at most.
    """

    id: str
    campaign: str
    task: str
    question: Question
    content: Content
    clips: tuple[Clip, ...]
    items: int
    guideline: str
    guideline_version: int
    opened_at: datetime
    expires_at: datetime
    training: bool = False
    correcting: bool = False
    draft: Draft | None = None
    done: int = 0
    left: int = 0


class Why(StrEnum):
    """Why there is nothing to do."""

    NOTHING_LEFT = "nothing_left"
    GUIDELINE = "guideline"
    PAUSED = "paused"
    BREAK = "break"
    DAY_DONE = "day_done"
    TRAINING_FAILED = "training_failed"
    LANGUAGE = "language"
    SKILL = "skill"
    POOL = "pool"
    DEVICE = "device"
    CLOSED = "closed"
    BUDGET = "budget"
    BUDGET_SPENT = "budget_spent"
    INACTIVE = "inactive"
    DECLINED = "declined"
    PREPARING = "preparing"


@dataclass(frozen=True)
class Nothing:
    """No lease, and why, in words for the person; until: when it is worth asking again."""

    reason: Why
    message: str
    until: datetime | None = None


@dataclass(frozen=True)
class Waiting:
    """A campaign as its card shows it. hindered: why no lease would be given now; acknowledged: the guideline's
    version read last, None for none. warning: what may upset, in words; opted_out: this person wants none of
    it."""

    campaign: str
    name: str
    branch: str
    languages: tuple[str, ...]
    done: int
    left: int
    training_left: int
    guideline: str
    guideline_version: int
    acknowledged: int | None = None
    warning: str | None = None
    opted_out: bool = False
    hindered: Nothing | None = None


@dataclass(frozen=True)
class Played:
    """The player's report: the clip ran from start_s to end_s (of the clip) without a jump, at speed rate.

    number counts the reports under one lease from 1: a report sent twice counts once.
    """

    number: int
    audio_id: str
    start_s: float
    end_s: float
    rate: float = 1.0


@dataclass(frozen=True)
class Heard:
    """What counts for one clip: seconds of unique audio at normal or slower speed, and whether that is enough."""

    audio_id: str
    heard_s: float
    needed_s: float
    enough: bool


@dataclass(frozen=True)
class Progress:
    """unlocked: an answer would be taken now. refused: reports not counted, number -> why."""

    clips: tuple[Heard, ...]
    unlocked: bool
    refused: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """A stretch of the item at position (0: shown first), in milliseconds."""

    position: int
    start_ms: int
    end_ms: int
    kind: str


@dataclass(frozen=True)
class Given:
    """An answer in the order shown; kind says which field holds it.

    comparison: 1..3 the first shown is better, -1..-3 the second. ratings: dimension -> 1..5. ranking: positions,
    best first. transcript: the corrected text. Skips and reports go through `skip`, never through here.
    """

    kind: AnswerKind
    comparison: int | None = None
    tie: Tie | None = None
    ratings: dict[str, int] | None = None
    ranking: tuple[int, ...] | None = None
    check: bool | None = None
    transcript: str | None = None
    reasons: tuple[str, ...] = ()
    comment: str | None = None
    marks: tuple[Mark, ...] = ()
    ui_version: str | None = None


class SkipReason(StrEnum):
    """Why a person does not answer. Those of REPORTS are brought before a lead."""

    BROKEN_AUDIO = "broken_audio"
    WRONG_LANGUAGE = "wrong_language"
    UNCLEAR_TASK = "unclear_task"
    UPSETTING = "upsetting"
    PERSONAL_DATA = "personal_data"
    OTHER = "other"


REPORTS = frozenset({SkipReason.BROKEN_AUDIO, SkipReason.UPSETTING, SkipReason.PERSONAL_DATA})


@dataclass(frozen=True)
class Feedback:
    """After a training item: whether the answer was as expected, and why that is."""

    right: bool
    explanation: str


@dataclass(frozen=True)
class Sound:
    """Bytes first.. of a WAV of `size` bytes."""

    content: bytes
    first: int
    size: int
    media_type: str = "audio/wav"


class LeaseLost(NotFound):
    """No such lease for this person: another's, run out, or answered."""


class Unplayable(NotFound):
    """A task of which something cannot be shown or played; item: the rollout, prompt or audio at fault."""

    def __init__(self, task: str, kind: FaultKind, item: str, message: str) -> None:
        super().__init__(task, kind, item, message)
        self.task, self.kind, self.item, self.message = task, kind, item, message

    def __str__(self) -> str:
        return f"task {self.task}: {self.message}"


class NotHeard(UsageError):
    """An answer to clips that were not heard; the text says which."""


class BadAnswer(UsageError):
    """An answer that does not fit the question."""


class RangeNotSatisfiable(UsageError):
    """A byte range that begins after the end."""
