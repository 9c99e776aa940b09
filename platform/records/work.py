"""The work of judges: how a campaign is run, who holds which question, what was really played."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from trivox.platform.records.judgements import Answer, Purpose


@dataclass(frozen=True)
class ClipState:
    """One sound under one lease. key: opaque, single-purpose; item: position in the order shown, None for context.

    fetched: seconds of the clip that were sent, heard: seconds played at normal or slower speed; both as
    disjoint rising intervals. fetched_at: when the first byte was sent, in seconds since 1970. spent_s: time on
    the clock that its reports took.
    """

    key: str
    audio: str
    role: str
    item: int | None
    duration_s: float
    gain_db: float
    must_hear: bool
    fetched: tuple[tuple[float, float], ...] = ()
    heard: tuple[tuple[float, float], ...] = ()
    fetched_at: float | None = None
    spent_s: float = 0.0


class LeaseStatus(StrEnum):
    """ahead: held for the person, shown after the open one. reopened: its answer is being corrected under another
    lease. voided: its answer was struck out."""

    OPEN = "open"
    AHEAD = "ahead"
    ANSWERED = "answered"
    EXPIRED = "expired"
    REOPENED = "reopened"
    VOIDED = "voided"


@dataclass(frozen=True)
class TaskLease:
    """One question in the hands of one person.

    pair: the same for tasks that ask the same of the same items. slot: which of the judgements wanted this is,
    from 0. inclusion: probability with which this task was drawn among those open to the person, None where it
    was not drawn (training, control, repeat). last_report: number of the last report of the player. right:
    whether the answer to a control was the expected one, or that to a repeat the earlier one.
    """

    id: str
    project: str
    campaign: str
    task: str
    person: str
    purpose: Purpose
    status: LeaseStatus
    pair: str
    slot: int
    presentation: tuple[str, ...]
    clips: tuple[ClipState, ...]
    guideline_version: int
    opened_at: datetime
    expires_at: datetime
    inclusion: float | None = None
    closed_at: datetime | None = None
    last_report: int = 0
    draft: dict[str, Any] | None = None
    judgement: str | None = None
    supersedes: str | None = None
    right: bool | None = None


@dataclass(frozen=True)
class TaskState:
    """How far a task is, under the task's own id. taken: open leases and answers; answered: answers that stand.

    control: what it is if its answer is known. information: what an answer is expected to tell, 0..1. shuffle:
    breaks ties the same way always. expert: waits for an expert's blind judgement.
    """

    id: str
    project: str
    campaign: str
    pair: str
    language: str
    wanted: int
    taken: int
    answered: int
    priority: int
    information: float
    shuffle: float
    control: Purpose | None = None
    expert: bool = False
    closed: bool = False


class FaultKind(StrEnum):
    """Why a task cannot be put before anyone."""

    MISSING_PROMPT = "missing_prompt"
    MISSING_ITEM = "missing_item"
    NO_AUDIO = "no_audio"
    MISSING_AUDIO = "missing_audio"
    DAMAGED_AUDIO = "damaged_audio"


@dataclass(frozen=True)
class TaskFault:
    """A task that is left out because something of it cannot be shown or played, until a lead asks it again.

    item: the rollout or audio at fault. cleared_at: when it was asked again, None while it is left out.
    """

    id: str
    project: str
    campaign: str
    task: str
    kind: FaultKind
    item: str
    message: str
    created_at: datetime
    cleared_at: datetime | None = None
    cleared_by: str | None = None


@dataclass(frozen=True)
class Control:
    """A task whose answer is known: training, gold or trap. explanation: language -> why (training)."""

    id: str
    project: str
    campaign: str
    task: str
    purpose: Purpose
    expected: Answer
    created_at: datetime
    explanation: dict[str, str] = field(default_factory=dict)
    retired_at: datetime | None = None


@dataclass(frozen=True)
class Qualification:
    """How a person did in a campaign's training under one version of its guideline."""

    id: str
    project: str
    campaign: str
    person: str
    guideline_version: int
    right: int
    asked: int
    passed: bool
    created_at: datetime


@dataclass(frozen=True)
class WorkPause:
    """A person's work in a campaign stands still. reason: for the person to read; figures: what led to it."""

    id: str
    project: str
    campaign: str
    person: str
    kind: str
    reason: str
    created_at: datetime
    figures: dict[str, Any] = field(default_factory=dict)
    lifted_at: datetime | None = None
    lifted_by: str | None = None


@dataclass(frozen=True)
class Voided:
    """A judgement that no longer counts; the judgement itself stays."""

    id: str
    project: str
    judgement: str
    actor: str
    reason: str
    created_at: datetime


@dataclass(frozen=True)
class Acknowledged:
    """A person has read one version of a campaign's guideline."""

    id: str
    project: str
    campaign: str
    person: str
    guideline_version: int
    created_at: datetime
