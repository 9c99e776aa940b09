"""What Label Studio was given, who is who there, and what came back of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from trivox.platform.records.work import ClipState


@dataclass(frozen=True)
class LabelStudioProject:
    """A project there: those comparisons of a campaign that are asked alike.

    server: its address. key: random, by which the project is found there again. question: `name@version`.
    config: the labelling configuration, as Trivox wrote it. remote: its number there, None until it is made.
    """

    id: str
    project: str
    campaign: str
    server: str
    key: str
    title: str
    question: str
    config: str
    overlap: int
    created_at: datetime
    remote: int | None = None


@dataclass(frozen=True)
class LabelStudioTask:
    """A task of Trivox as it lies there.

    pushed_to: the LabelStudioProject. key: random; all that is known there of what the task is, and part of its
    sounds' addresses. presentation: the items in the order shown. data: as it was pushed. remote: its number
    there, None until it is known.
    """

    id: str
    project: str
    campaign: str
    task: str
    pushed_to: str
    key: str
    presentation: tuple[str, ...]
    clips: tuple[ClipState, ...]
    data: dict[str, Any]
    guideline_version: int
    created_at: datetime
    remote: int | None = None


@dataclass(frozen=True)
class LabelStudioPerson:
    """Which person of Trivox an account there is, until it ends. remote: the account's number, which it keeps when
    its address changes. linked_by: who said so."""

    id: str
    project: str
    server: str
    remote: int
    email: str
    person: str
    linked_by: str
    linked_at: datetime
    ended_at: datetime | None = None


class Intake(StrEnum):
    """What became of an annotation. gone: it was taken, and is not there any more."""

    TAKEN = "taken"
    REFUSED = "refused"
    GONE = "gone"


class Refusal(StrEnum):
    """Why an annotation is no judgement.

    changed_config, changed_task: what was asked is not what was pushed. not_linked: its account is nobody's.
    not_allowed: the person may not judge. other_hand: another account wrote it than the one it names. prefilled:
    made from a prediction or imported. too_large, invalid: not of the labelling configuration. bad_answer: no
    answer to the question. repeated: the person has judged this pair.
    """

    CHANGED_CONFIG = "changed_config"
    CHANGED_TASK = "changed_task"
    NOT_LINKED = "not_linked"
    NOT_ALLOWED = "not_allowed"
    OTHER_HAND = "other_hand"
    PREFILLED = "prefilled"
    TOO_LARGE = "too_large"
    INVALID = "invalid"
    BAD_ANSWER = "bad_answer"
    REPEATED = "repeated"


@dataclass(frozen=True)
class LabelStudioAnnotation:
    """One state in which an annotation was seen; the last one of a number is how it stands.

    pushed: the LabelStudioTask. remote: its number there; revision counts its states from 0. author: number of the
    account that it names. content: as it came, {} for one too large to be kept; digest: of what counts in it.
    judgement: what it became.
    """

    id: str
    project: str
    task: str
    pushed: str
    remote: int
    revision: int
    digest: str
    content: dict[str, Any]
    intake: Intake
    seen_at: datetime
    author: int | None = None
    refusal: Refusal | None = None
    detail: str | None = None
    judgement: str | None = None
