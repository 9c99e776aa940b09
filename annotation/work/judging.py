"""An answer becomes a judgement, and what follows from it: counts, a further judge, an expert, a pause."""

from dataclasses import replace
from datetime import datetime

from ulid import ULID

from trivox.annotation.work import controls, states
from trivox.annotation.work.answers import agrees, answer_of, spans_of
from trivox.annotation.work.owed import owed_of
from trivox.annotation.work.paid import book_time
from trivox.annotation.work.playback import heard_s, progress_of
from trivox.annotation.work.quality import review
from trivox.annotation.work.questions import in_language, question
from trivox.annotation.work.shapes import (
    REPORTS,
    BadAnswer,
    Feedback,
    Given,
    NotHeard,
    SkipReason,
)
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Campaign,
    ClipState,
    Control,
    JudgeKind,
    Judgement,
    LeaseStatus,
    Person,
    Purpose,
    Span,
    Task,
    TaskLease,
)
from trivox.platform.store import Workspace

REPORTED = frozenset(one.value for one in REPORTS)


def check_heard(lease: TaskLease) -> None:
    """Raises NotHeard naming the first clip that was not heard."""
    for one in progress_of(lease.clips).clips:
        if not one.enough:
            label = label_of(next(clip for clip in lease.clips if clip.key == one.audio_id))
            raise NotHeard(
                f"clip {label or 'with the speech'}: {one.heard_s:.1f} s of {one.needed_s:.1f} s were heard at "
                "normal speed: listen to it, then answer"
            )


def label_of(clip: ClipState) -> str:
    """What the page calls a clip: A, B, … for items in the order shown."""
    return "" if clip.item is None else chr(ord("A") + clip.item)


def judge(lease: TaskLease, task: Task, given: Given) -> tuple[Answer, tuple[Span, ...]]:
    """The answer in the task's order and what was marked. Raises NotHeard, BadAnswer."""
    check_heard(lease)
    asked = question(task.question)
    durations = tuple(clip.duration_s for clip in lease.clips if clip.must_hear)
    return answer_of(given, asked, task, lease.presentation), spans_of(
        given, lease.presentation, durations
    )


def skipped(reason: SkipReason, comment: str | None) -> tuple[Answer, Given]:
    if comment is not None and len(comment) > 4000:
        raise BadAnswer(f"the comment has {len(comment)} characters: at most 4000")
    said = Given(AnswerKind.ABSTENTION, reasons=(reason.value,), comment=comment)
    return Answer(AnswerKind.ABSTENTION, abstention=reason.value), said


def judgement_of(
    lease: TaskLease,
    answer: Answer,
    given: Given,
    spans: tuple[Span, ...],
    key: str,
    now: datetime,
) -> Judgement:
    items = [clip for clip in lease.clips if clip.item is not None]
    named = [(lease.presentation[clip.item or 0], clip) for clip in items]
    return Judgement(
        id=str(ULID()),
        project=lease.project,
        task=lease.task,
        judge_kind=JudgeKind.HUMAN,
        judge=f"human:{lease.person}",
        answer=answer,
        presentation=lease.presentation,
        idempotency_key=key,
        created_at=now,
        reasons=given.reasons,
        comment=given.comment or None,
        spans=spans,
        heard_s={item: round(heard_s(clip), 3) for item, clip in named},
        taken_s=round((now - lease.opened_at).total_seconds(), 3),
        guideline_version=lease.guideline_version,
        ui_version=given.ui_version,
        supersedes=lease.supersedes,
        purpose=lease.purpose,
        inclusion=lease.inclusion,
        gains_db={item: clip.gain_db for item, clip in named},
    )


def close(
    workspace: Workspace,
    person: Person,
    campaign: Campaign,
    task: Task,
    lease: TaskLease,
    judgement: Judgement,
    language: str = "en",
) -> Feedback | None:
    """Store judgement, lease and what the time costs, then do what follows. Call inside a transaction."""
    right, feedback = _rightness(workspace, lease, judgement, language)
    now = judgement.created_at
    workspace.records.add(judgement)
    closed = replace(
        lease,
        status=LeaseStatus.ANSWERED,
        closed_at=now,
        judgement=judgement.id,
        draft=None,
        right=right,
    )
    workspace.records.replace(closed)
    book_time(workspace, person, task, closed, judgement)
    _follow(workspace, campaign, task, lease, judgement)
    if lease.purpose is Purpose.TRAINING:
        controls.note_training(workspace, person, campaign, now)
    else:
        review(workspace, person.id, campaign, lease.purpose, now)
    return feedback


def _rightness(
    workspace: Workspace, lease: TaskLease, judgement: Judgement, language: str
) -> tuple[bool | None, Feedback | None]:
    if lease.purpose is Purpose.REPEAT:
        return _as_before(workspace, lease, judgement), None
    if lease.purpose not in (Purpose.TRAINING, Purpose.GOLD, Purpose.TRAP):
        return None, None
    known = workspace.records.find(Control, task=lease.task)
    if not known:
        return None, None
    right = agrees(judgement.answer, known[0].expected)
    if lease.purpose is not Purpose.TRAINING:
        return right, None
    return right, Feedback(right, in_language(known[0].explanation, language) or "")


def _as_before(workspace: Workspace, lease: TaskLease, judgement: Judgement) -> bool | None:
    own = workspace.records.find(Judgement, task=lease.task, judge=judgement.judge)
    first = [one for one in own if one.purpose is Purpose.JUDGE]
    if not first or AnswerKind.ABSTENTION in (first[-1].answer.kind, judgement.answer.kind):
        return None
    return agrees(judgement.answer, first[-1].answer)


def _follow(
    workspace: Workspace,
    campaign: Campaign,
    task: Task,
    lease: TaskLease,
    judgement: Judgement,
) -> None:
    """Judges who disagree get another beside them; if that does not help, an expert decides."""
    if lease.purpose is not Purpose.JUDGE:
        return
    if lease.supersedes is None:
        # First of all: it holds the row, so that of two answers at once the later sees both.
        states.shift(workspace, lease.task, answered=1)
    if task.overlap > 1 or REPORTED & set(judgement.reasons):
        standing = states.standing_of(workspace, lease.task)
        states.settle(workspace, lease.task, owed_of(task, campaign.plan, standing))
