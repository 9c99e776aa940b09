"""What judges are asked, what they answer, and what is made of it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trivox.platform.records.prompts import Branch


class CampaignStatus(StrEnum):
    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"


@dataclass(frozen=True)
class WorkPlan:
    """How a campaign is worked through.

    Shares are probabilities per question: random_share of draws that ignore what is informative (the floor that
    keeps estimates unbiased), control_share of gold and traps, repeat_share of one's own earlier questions.
    per_sitting and per_day: answers of one person; a break of break_s ends a sitting. pass_mark: share of the
    training block to get right; training_size questions, 0 for no training; trained_from: the least guideline
    version whose training still counts. gold_pass: share of gold below which work is paused. pools, skills and
    language_level: who may work; empty and None for anyone.
    """

    lease_s: float = 1800.0
    priority: int = 0
    active: bool = True
    random_share: float = 0.2
    control_share: float = 0.1
    repeat_share: float = 0.05
    repeat_after: int = 10
    per_sitting: int = 100
    per_day: int = 400
    break_s: float = 600.0
    training_size: int = 0
    pass_mark: float = 0.8
    training_tries: int = 2
    trained_from: int = 1
    gold_pass: float = 0.7
    third_judge: bool = True
    expert: bool = True
    pools: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    language_level: str | None = None
    device_check: bool = False

    def __post_init__(self) -> None:
        for name in ("random_share", "control_share", "repeat_share", "pass_mark", "gold_pass"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it is a share, 0 to 1")
        if self.control_share + self.repeat_share > 0.5:
            shares = f"{self.control_share} + {self.repeat_share}"
            raise ValueError(f"control_share + repeat_share is {shares}: at most half are checks")
        if self.active and self.random_share == 0:
            raise ValueError("random_share is 0: active selection needs a random floor above 0")


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
    status: CampaignStatus = CampaignStatus.OPEN
    plan: WorkPlan = WorkPlan()


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


class Purpose(StrEnum):
    """Why a judge was asked. Only judge and adjudicate become preferences.

    repeat: one's own earlier question again, unannounced. training, gold, trap: the answer is known.
    adjudicate: an expert decides, blind, where judges disagree.
    """

    JUDGE = "judge"
    REPEAT = "repeat"
    TRAINING = "training"
    GOLD = "gold"
    TRAP = "trap"
    ADJUDICATE = "adjudicate"


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
    idempotency_key: the same key twice is the same judgement. gains_db: item id -> gain it was played with.
    inclusion: probability with which the task was drawn for this judge, None where it was not drawn.
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
    purpose: Purpose = Purpose.JUDGE
    inclusion: float | None = None
    gains_db: dict[str, float] = field(default_factory=dict)


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
