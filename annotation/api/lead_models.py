"""What the API takes and gives of campaigns, reviews, hours."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from trivox.annotation.api.models import Given, Language, Level, Short, Taken, Text, Word
from trivox.annotation.leads.campaigns import NewCampaign, NewTask
from trivox.annotation.leads.figures import Doing, Judge
from trivox.annotation.leads.hours import Worked
from trivox.annotation.leads.review import Reviewed
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Branch,
    Campaign,
    CampaignStatus,
    Control,
    Guideline,
    Pool,
    Purpose,
    TaskKind,
    Tie,
    WorkPause,
    WorkPlan,
)

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Wait = Annotated[float, Field(ge=1, le=86_400 * 30, allow_inf_nan=False)]
Id = Annotated[str, Field(min_length=1, max_length=200)]
Texts = Annotated[dict[Language, Annotated[str, Field(max_length=50_000)]], Field(max_length=20)]
Overlap = Annotated[int, Field(ge=1, le=100)]
Question = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*@[0-9]{1,6}$")]
_PLAN = WorkPlan()


class Plan(Taken):
    """How a campaign is worked through; see WorkPlan. pools, skills, language_level: who may work in it."""

    lease_s: Wait = _PLAN.lease_s
    priority: Annotated[int, Field(ge=-1000, le=1000)] = _PLAN.priority
    active: bool = _PLAN.active
    random_share: Share = _PLAN.random_share
    control_share: Share = _PLAN.control_share
    repeat_share: Share = _PLAN.repeat_share
    repeat_after: Positive = _PLAN.repeat_after
    per_sitting: Positive = _PLAN.per_sitting
    per_day: Positive = _PLAN.per_day
    break_s: Wait = _PLAN.break_s
    training_size: Annotated[int, Field(ge=0, le=1000)] = _PLAN.training_size
    pass_mark: Share = _PLAN.pass_mark
    training_tries: Annotated[int, Field(ge=1, le=100)] = _PLAN.training_tries
    gold_pass: Share = _PLAN.gold_pass
    third_judge: bool = _PLAN.third_judge
    expert: bool = _PLAN.expert
    pools: Annotated[tuple[Pool, ...], Field(max_length=3)] = ()
    skills: Annotated[tuple[Word, ...], Field(max_length=30)] = ()
    language_level: Level | None = None
    device_check: bool = _PLAN.device_check

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.plan()
        return self

    def plan(self, trained_from: int = _PLAN.trained_from) -> WorkPlan:
        return WorkPlan(**self.model_dump(), trained_from=trained_from)


class CampaignBody(Taken):
    """guideline, warning: language -> Markdown; the guideline has at least "en"."""

    name: Short
    branch: Branch
    languages: Annotated[tuple[Language, ...], Field(min_length=1, max_length=30)]
    guideline: Texts
    warning: Texts = {}
    overlap: Overlap = 1
    budget: Positive | None = None
    round: Id | None = None
    plan: Plan = Plan()

    def wanted(self) -> NewCampaign:
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return NewCampaign(**fields | {"plan": self.plan.plan()})


class CampaignChange(Taken):
    """Fields left out stay as they are."""

    name: Short | None = None
    status: CampaignStatus | None = None
    languages: Annotated[tuple[Language, ...], Field(min_length=1, max_length=30)] | None = None
    budget: Positive | None = None
    plan: Plan | None = None


class CampaignRow(Given):
    """A campaign as leads and readers see it."""

    id: str
    name: str
    branch: Branch
    status: CampaignStatus
    languages: tuple[str, ...]
    overlap: int
    budget: int | None
    round: str | None
    guideline: str
    guideline_version: int
    created_at: datetime
    plan: dict[str, Any]
    tasks: int
    judgements: int

    @classmethod
    def of(cls, one: Campaign, tasks: int, judgements: int) -> Self:
        named = {name: getattr(one, name, None) for name in cls.model_fields}
        figures = {"plan": asdict(one.plan), "tasks": tasks, "judgements": judgements}
        return cls(**named | figures)


class Campaigns(Given):
    campaigns: list[CampaignRow]


class GuidelineBody(Taken):
    texts: Texts
    warning: Texts = {}
    requalify: bool = False


class GuidelineRow(Given):
    version: int
    texts: dict[str, str]
    warning: dict[str, str]
    requalify: bool
    author: str
    created_at: datetime

    @classmethod
    def of(cls, one: Guideline) -> Self:
        return cls.model_validate(one)


class Guidelines(Given):
    versions: list[GuidelineRow]


class TaskBody(Taken):
    kind: TaskKind
    prompt: Id
    items: Annotated[tuple[Id, ...], Field(max_length=20)]
    question: Question
    language: Language
    overlap: Overlap | None = None

    def wanted(self) -> NewTask:
        return NewTask(**self.model_dump())


class TasksBody(Taken):
    tasks: Annotated[list[TaskBody], Field(min_length=1, max_length=10_000)]


class RoundBody(Taken):
    """Comparisons of the rollouts of a round."""

    round: Id
    pairs_per_prompt: Annotated[int, Field(ge=1, le=1000)] = 1
    seed: Annotated[int, Field(ge=0, le=2**53)] = 0
    question: Question = "overall@1"


class Added(Given):
    added: int


class Expected(Taken):
    """The right answer to a control, in the task's own order."""

    kind: AnswerKind
    comparison: Annotated[int, Field(ge=-3, le=3)] | None = None
    tie: Tie | None = None
    ratings: Annotated[dict[Id, Annotated[int, Field(ge=1, le=5)]], Field(max_length=50)] | None = (
        None
    )
    ranking: Annotated[tuple[Id, ...], Field(max_length=100)] | None = None
    check: bool | None = None
    transcript: Annotated[str, Field(max_length=20_000)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.answer()
        return self

    def answer(self) -> Answer:
        return Answer(**self.model_dump())


class ControlBody(Taken):
    """explanation: language -> why, shown after a training item."""

    task: Id
    purpose: Purpose
    expected: Expected
    explanation: Texts = {}


class ControlRow(Given):
    id: str
    task: str
    purpose: Purpose
    expected: Answer
    explanation: dict[str, str]
    created_at: datetime
    retired_at: datetime | None

    @classmethod
    def of(cls, one: Control) -> Self:
        return cls.model_validate(one)


class Controls(Given):
    controls: list[ControlRow]


class ReasonBody(Taken):
    """Why; the person reads it, and the log keeps it."""

    reason: Text


class AnswerTextBody(Taken):
    answer: Text


class Judges(Given):
    judges: list[Judge]


class ReviewRow(Given):
    """An answer to look at. presentation: items in the order heard; answer: in the task's own order."""

    judgement: str
    person: str
    task: str
    question: str
    purpose: Purpose
    text: str | None
    instruction: str | None
    items: tuple[str, ...]
    presentation: tuple[str, ...]
    answer: Answer
    reasons: tuple[str, ...]
    comment: str | None
    heard_s: dict[str, float]
    taken_s: float | None
    right: bool | None
    created_at: datetime

    @classmethod
    def of(cls, one: Reviewed) -> Self:
        judged = one.judgement
        return cls(
            judgement=judged.id,
            person=one.person,
            task=one.task.id,
            question=one.task.question,
            purpose=judged.purpose,
            text=one.prompt.text,
            instruction=one.prompt.instruction,
            items=one.task.items,
            presentation=judged.presentation,
            answer=judged.answer,
            reasons=judged.reasons,
            comment=judged.comment,
            heard_s=judged.heard_s,
            taken_s=judged.taken_s,
            right=one.right,
            created_at=judged.created_at,
        )


class Reviews(Given):
    reviews: list[ReviewRow]


class VoidedAnswer(Given):
    voided: int


class PauseRow(Given):
    id: str
    campaign: str
    person: str
    kind: str
    reason: str
    figures: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, one: WorkPause) -> Self:
        return cls.model_validate(one)


class Pauses(Given):
    pauses: list[PauseRow]


class WorkedRow(Given):
    """day: UTC. hours as paid; pay: None where no rate is agreed."""

    day: date
    campaign: str
    person: str
    name: str
    answers: int
    training: int
    hours: float
    rate: float | None
    currency: str | None
    pay: float | None

    @classmethod
    def of(cls, one: Worked) -> Self:
        return cls.model_validate(one)


class Hours(Given):
    hours: list[WorkedRow]


class MyWork(Given):
    """How I am doing, and what I worked by day and campaign."""

    doing: Doing
    hours: list[WorkedRow]
