"""What the API takes and gives of the work."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field

from trivox.annotation.api.models import Given, Taken, Text
from trivox.annotation.work import shapes
from trivox.annotation.work.shapes import Feedback, Lease, Nothing, SkipReason, Waiting
from trivox.platform.records import AnswerKind, Inquiry, InquiryKind, Tie

Key = Annotated[str, Field(min_length=8, max_length=100, pattern=r"^[\x21-\x7e]+$")]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Millis = Annotated[int, Field(ge=0, le=86_400_000)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Place = Annotated[int, Field(ge=0, le=100)]


class Overview(Given):
    campaigns: list[Waiting]


class Next(Given):
    """One of the two."""

    lease: Lease | None = None
    nothing: Nothing | None = None


class Leased(Given):
    lease: Lease | None


class GuidelineText(Given):
    """text: Markdown. warning: what may upset. acknowledged: the version that was read last."""

    campaign: str
    version: int
    text: str
    warning: str | None
    acknowledged: int | None


class AcknowledgeBody(Taken):
    version: Annotated[int, Field(ge=1, le=1_000_000)]


class Play(Taken):
    """A clip ran from start_s to end_s without a jump at speed rate; number counts reports under a lease."""

    number: Annotated[int, Field(ge=0, le=2**53)]
    audio_id: Name
    start_s: Seconds
    end_s: Seconds
    rate: Annotated[float, Field(gt=0, le=16, allow_inf_nan=False)] = 1.0

    def played(self) -> shapes.Played:
        return shapes.Played(**self.model_dump())


class PlayedBody(Taken):
    played: Annotated[list[Play], Field(max_length=500)]


class Mark(Taken):
    """A stretch of the item at position, in the order shown."""

    position: Place
    start_ms: Millis
    end_ms: Millis
    kind: Name


class AnswerBody(Taken):
    """kind says which field holds the answer, in the order shown: comparison 3, 2, 1 (the first is better) or -1,
    -2, -3; or a tie; ratings; ranking (places, best first); check; transcript."""

    kind: AnswerKind
    comparison: Annotated[int, Field(ge=-3, le=3)] | None = None
    tie: Tie | None = None
    ratings: (
        Annotated[dict[Name, Annotated[int, Field(ge=1, le=5)]], Field(max_length=50)] | None
    ) = None
    ranking: Annotated[tuple[Place, ...], Field(max_length=100)] | None = None
    check: bool | None = None
    transcript: Annotated[str, Field(max_length=20_000)] | None = None
    reasons: Annotated[tuple[Name, ...], Field(max_length=50)] = ()
    comment: Annotated[str, Field(max_length=4000)] | None = None
    marks: Annotated[tuple[Mark, ...], Field(max_length=100)] = ()
    ui_version: Annotated[str, Field(max_length=60)] | None = None
    idempotency_key: Key

    def given(self) -> shapes.Given:
        fields = self.model_dump(exclude={"idempotency_key", "marks"})
        marks = tuple(shapes.Mark(**mark.model_dump()) for mark in self.marks)
        return shapes.Given(**fields, marks=marks)


class Answered(Given):
    """feedback: in training only."""

    judgement: str
    feedback: Feedback | None = None


class SkipBody(Taken):
    reason: SkipReason
    comment: Annotated[str, Field(max_length=4000)] | None = None
    idempotency_key: Key


class DraftBody(Taken):
    values: dict[str, Any]


class InquiryBody(Taken):
    """subject: the id of the task, judgement or pause that it is about."""

    campaign: Name
    kind: InquiryKind
    text: Text
    subject: Name | None = None


class Asked(Given):
    id: str


class InquiryRow(Given):
    id: str
    campaign: str
    person: str
    kind: InquiryKind
    text: str
    created_at: datetime
    subject: str | None
    answer: str | None
    answered_at: datetime | None

    @classmethod
    def of(cls, one: Inquiry) -> Self:
        return cls.model_validate(one)


class InquiryRows(Given):
    inquiries: list[InquiryRow]
