"""What judges are asked, what they answer, and what is made of it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trivox.platform.records.prompts import Branch


@dataclass(frozen=True)
class Campaign:
    """Tasks that share a guideline. overlap: judgements wanted per task; budget in judgements, None for none."""

    id: str
    project: str
    name: str
    branch: Branch
    guideline: str
    guideline_version: int
    languages: tuple[str, ...]
    overlap: int
    created_at: datetime
    round: str | None = None
    budget: int | None = None


class TaskKind(StrEnum):
    COMPARE = "compare"
    RATE = "rate"
    RANK = "rank"
    CHECK = "check"
    TRANSCRIBE = "transcribe"


@dataclass(frozen=True)
class Task:
    """A question to a judge about ordered items (rollout ids). question is `name@version`; scope as in Score."""

    id: str
    project: str
    campaign: str
    kind: TaskKind
    prompt: str
    items: tuple[str, ...]
    question: str
    language: str
    overlap: int
    scope: str = "episode"
    round: str | None = None


class JudgeKind(StrEnum):
    """Simulated judges are never counted among the human ones."""

    HUMAN = "human"
    GRM = "grm"
    SIMULATED = "simulated"


class AnswerKind(StrEnum):
    """Which field of the answer holds it."""

    COMPARISON = "comparison"
    TIE = "tie"
    RATING = "rating"
    RANKING = "ranking"
    CHECK = "check"
    TRANSCRIPT = "transcript"
    ABSTENTION = "abstention"


class Tie(StrEnum):
    """Equality has a reason; there is no 0."""

    BOTH_GOOD = "both_good"
    BOTH_BAD = "both_bad"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True)
class Answer:
    """A tagged answer: kind says which one of the others is set.

    comparison: -3, -2, -1 (the second of the task's items is better) or 1, 2, 3 (the first is better), in
    the task's order whatever order the judge was shown. ratings: dimension -> value. abstention: why.
    """

    kind: AnswerKind
    comparison: int | None = None
    tie: Tie | None = None
    ratings: dict[str, int] | None = None
    ranking: tuple[str, ...] | None = None
    check: bool | None = None
    transcript: str | None = None
    abstention: str | None = None

    def __post_init__(self) -> None:
        fields = {
            AnswerKind.COMPARISON: self.comparison,
            AnswerKind.TIE: self.tie,
            AnswerKind.RATING: self.ratings,
            AnswerKind.RANKING: self.ranking,
            AnswerKind.CHECK: self.check,
            AnswerKind.TRANSCRIPT: self.transcript,
            AnswerKind.ABSTENTION: self.abstention,
        }
        given = [kind for kind, value in fields.items() if value is not None]
        if given != [self.kind]:
            raise ValueError(f"an answer of kind {self.kind.value} sets {[k.value for k in given]}")
        if self.comparison is not None and self.comparison not in (-3, -2, -1, 1, 2, 3):
            raise ValueError(f"comparison is {self.comparison}: it is one of -3, -2, -1, 1, 2, 3")


@dataclass(frozen=True)
class Span:
    """A stretch of one item that a judge marked, in milliseconds."""

    item: str
    start_ms: int
    end_ms: int
    kind: str


@dataclass(frozen=True)
class Judgement:
    """One answer of one judge; append-only. A correction is a new one that supersedes the old.

    presentation: item ids in the order shown. heard_s: item id -> seconds of unique audio played.
    idempotency_key: the same key twice is the same judgement.
    """

    id: str
    project: str
    task: str
    judge_kind: JudgeKind
    judge: str
    answer: Answer
    presentation: tuple[str, ...]
    idempotency_key: str
    created_at: datetime
    reasons: tuple[str, ...] = ()
    comment: str | None = None
    spans: tuple[Span, ...] = ()
    heard_s: dict[str, float] = field(default_factory=dict)
    taken_s: float | None = None
    guideline_version: int | None = None
    ui_version: str | None = None
    supersedes: str | None = None


@dataclass(frozen=True)
class Preference:
    """chosen over rejected, by aggregated judgements.

    margin: mean strength 0..3; confidence: share of the judgements that agree, 0..1; judges: kinds of judge.
    """

    id: str
    prompt: str
    chosen: str
    rejected: str
    margin: float
    confidence: float
    judgements: tuple[str, ...]
    judges: tuple[JudgeKind, ...]


@dataclass(frozen=True)
class PreferenceSet:
    """An immutable set of preferences; method is the aggregator with its version.

    dropped: reason -> how many tasks gave no preference for it.
    """

    id: str
    project: str
    round: str | None
    method: str
    preferences: tuple[Preference, ...]
    dropped: dict[str, int] = field(default_factory=dict)
