"""Annotations become judgements, each state of each once; edits supersede, deletions are noted, others refused.

A judgement that came this way is an answered lease like any other, so that nobody is asked the same pair in Trivox
again, leads can strike it out, and hours and checks see it. It has no proof of listening: heard_s is empty and
ui_version is UI_VERSION, by which statistics and aggregation tell it apart (`aggregation.votes.unheard`).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import sqlalchemy as sa
from ulid import ULID

from trivox.annotation.label_studio.people import obstacle, person_of
from trivox.annotation.label_studio.push import LOCK
from trivox.annotation.label_studio.reading import (
    UI_VERSION,
    Refused,
    Sheet,
    check_origin,
    given_of,
)
from trivox.annotation.work import leasing, states
from trivox.annotation.work.answers import answer_of
from trivox.annotation.work.paid import book_time, paid_s
from trivox.annotation.work.quality import review
from trivox.annotation.work.questions import question
from trivox.annotation.work.shapes import BadAnswer, Given
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Campaign,
    Intake,
    JudgeKind,
    Judgement,
    LabelStudioAnnotation,
    LabelStudioProject,
    LabelStudioTask,
    LeaseStatus,
    Person,
    Purpose,
    Refusal,
    Task,
    TaskLease,
    Voided,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

STANDING = (Purpose.JUDGE, Purpose.ADJUDICATE)
LASTING = frozenset({Refusal.CHANGED_CONFIG, Refusal.CHANGED_TASK})
"""Refusals that do not go away when what they name is put right: nobody knows what was seen meanwhile."""


@dataclass(frozen=True)
class Pushed:
    """Where an annotation belongs. changed: what there is not as it was pushed."""

    project: LabelStudioProject
    row: LabelStudioTask
    changed: Refusal | None = None


def states_of(workspace: Workspace, row: LabelStudioTask) -> list[LabelStudioAnnotation]:
    """Every state in which an annotation of a task was seen, oldest first."""
    return workspace.records.find(LabelStudioAnnotation, pushed=row.id)


def last_of(seen: Iterable[LabelStudioAnnotation]) -> dict[int, LabelStudioAnnotation]:
    """Number -> its last state."""
    return {one.remote: one for one in sorted(seen, key=lambda one: one.revision)}


def settled(last: LabelStudioAnnotation | None, sheet: Sheet) -> bool:
    """Whether this state was dealt with for good."""
    if last is None or last.digest != sheet.digest:
        return False
    return last.intake is Intake.TAKEN or last.refusal in LASTING


def take(
    workspace: Workspace, pushed: Pushed, sheet: Sheet, now: datetime
) -> LabelStudioAnnotation | None:
    """Deal with one state of an annotation; None when that was done before. Nothing or all of it is stored."""
    with workspace.records.exclusive(LOCK):
        history = states_of(workspace, pushed.row)
        last = last_of(history).get(sheet.annotation.number)
        if settled(last, sheet):
            return None
        try:
            made = _judged(workspace, pushed, sheet, history, now)
            seen = _state(pushed, sheet, last, now, judgement=made.id)
        except Refused as error:
            seen = _state(pushed, sheet, last, now, refused=error)
        if last is not None and seen.id == last.id:
            workspace.records.replace(seen)
        else:
            workspace.records.add(seen)
        return seen


def _state(
    pushed: Pushed,
    sheet: Sheet,
    last: LabelStudioAnnotation | None,
    now: datetime,
    judgement: str | None = None,
    refused: Refused | None = None,
) -> LabelStudioAnnotation:
    """A refusal that is looked at again takes its own place; every other state comes after the last."""
    again = last is not None and last.digest == sheet.digest and last.intake is Intake.REFUSED
    revision = 0 if last is None else last.revision + (not again)
    return LabelStudioAnnotation(
        id=derived_id("lsa", pushed.row.id, sheet.annotation.number, revision),
        project=pushed.row.project,
        task=pushed.row.task,
        pushed=pushed.row.id,
        remote=sheet.annotation.number,
        revision=revision,
        digest=sheet.digest,
        content=sheet.content,
        intake=Intake.REFUSED if refused else Intake.TAKEN,
        seen_at=now,
        author=sheet.annotation.author,
        refusal=refused.refusal if refused else None,
        detail=refused.detail if refused else None,
        judgement=judgement,
    )


def _judged(
    workspace: Workspace,
    pushed: Pushed,
    sheet: Sheet,
    history: Sequence[LabelStudioAnnotation],
    now: datetime,
) -> Judgement:
    """The judgement, stored with its lease. Raises Refused."""
    if pushed.changed is not None:
        raise Refused(pushed.changed, "it is not as it was pushed: push again to put it back")
    author = check_origin(sheet)
    _check_owner(sheet, history, author)
    given = given_of(sheet, pushed.project.config)
    person = person_of(workspace, pushed.project.server, author)
    if person is None:
        told = f"account {author} is nobody here: `trivox label-studio link`"
        raise Refused(Refusal.NOT_LINKED, told)
    campaign = workspace.records.get(Campaign, pushed.row.campaign)
    task = workspace.records.get(Task, pushed.row.task)
    answer = _answer(given, task, pushed.row)
    held = _held(workspace, person, task)
    edit = _edited(workspace, held, _own(sheet, history))
    if held is not None and edit is None:
        raise Refused(Refusal.REPEATED, f"{person.name} has judged this pair: {held.judgement}")
    if edit is None and (reason := obstacle(workspace, person, campaign, task, now)):
        raise Refused(Refusal.NOT_ALLOWED, reason)
    judgement = _judgement(pushed, sheet, person, given, answer, edit, now)
    _keep(workspace, pushed.row, sheet, person, edit, judgement)
    states.recount(workspace, [task.id])
    review(workspace, person.id, campaign, Purpose.JUDGE, now)
    return judgement


def _check_owner(sheet: Sheet, history: Sequence[LabelStudioAnnotation], author: int) -> None:
    for one in history:
        mine = one.remote == sheet.annotation.number and one.judgement is not None
        if mine and one.author != author:
            told = f"it was account {one.author}'s and names account {author} now"
            raise Refused(Refusal.OTHER_HAND, told)


def _own(sheet: Sheet, history: Sequence[LabelStudioAnnotation]) -> set[str]:
    """Judgements that this annotation may correct: its own, and those whose annotation was deleted."""
    last = last_of(history)
    return {
        one.judgement
        for one in history
        if one.judgement is not None
        and (one.remote == sheet.annotation.number or last[one.remote].intake is Intake.GONE)
    }


def _answer(given: Given, task: Task, row: LabelStudioTask) -> Answer:
    if given.kind is AnswerKind.ABSTENTION:
        return Answer(AnswerKind.ABSTENTION, abstention=given.reasons[0])
    try:
        return answer_of(given, question(task.question), task, row.presentation)
    except BadAnswer as error:
        raise Refused(Refusal.BAD_ANSWER, str(error)) from None


def _held(workspace: Workspace, person: Person, task: Task) -> TaskLease | None:
    """The person's answered lease of this pair; what they only hold is given back first."""
    pair = states.pair_of(task)
    for one in workspace.records.find(TaskLease, person=person.id, pair=pair):
        if one.status in (LeaseStatus.OPEN, LeaseStatus.AHEAD) and one.purpose in STANDING:
            leasing.release(workspace, one, one.opened_at)
    answered = workspace.records.find(
        TaskLease, person=person.id, pair=pair, status=LeaseStatus.ANSWERED
    )
    return next((one for one in answered if one.purpose in STANDING), None)


def _edited(workspace: Workspace, held: TaskLease | None, own: Collection[str]) -> TaskLease | None:
    """The lease whose answer this one corrects: one that came of an annotation of the same task, wherever it was
    corrected since."""
    step = None if held is None else held.judgement
    while step is not None:
        if step in own:
            return held
        step = workspace.records.get(Judgement, step).supersedes
    return None


def _judgement(
    pushed: Pushed,
    sheet: Sheet,
    person: Person,
    given: Given,
    answer: Answer,
    edit: TaskLease | None,
    now: datetime,
) -> Judgement:
    row, replaced = pushed.row, edit.judgement if edit else None
    return Judgement(
        id=str(ULID()),
        project=row.project,
        task=row.task,
        judge_kind=JudgeKind.HUMAN,
        judge=f"human:{person.id}",
        answer=answer,
        presentation=row.presentation,
        idempotency_key=f"{UI_VERSION}:{row.id}:{sheet.annotation.number}:{sheet.digest}:{replaced}",
        created_at=min(sheet.annotation.updated_at, now),
        reasons=given.reasons,
        comment=given.comment,
        taken_s=sheet.annotation.seconds,
        guideline_version=row.guideline_version,
        ui_version=UI_VERSION,
        supersedes=replaced,
        gains_db={
            row.presentation[clip.item]: clip.gain_db for clip in row.clips if clip.item is not None
        },
    )


def _keep(
    workspace: Workspace,
    row: LabelStudioTask,
    sheet: Sheet,
    person: Person,
    edit: TaskLease | None,
    judgement: Judgement,
) -> None:
    workspace.records.add(judgement)
    closed, task = judgement.created_at, workspace.records.get(Task, row.task)
    if edit is not None:
        changed = replace(edit, judgement=judgement.id, closed_at=max(closed, edit.opened_at))
        workspace.records.replace(changed)
        before_s = paid_s(edit.opened_at, edit.closed_at or edit.opened_at)
        book_time(workspace, person, task, changed, judgement, before_s)
        return
    lease = TaskLease(
        id=str(ULID()),
        project=row.project,
        campaign=row.campaign,
        task=row.task,
        person=person.id,
        purpose=Purpose.JUDGE,
        status=LeaseStatus.ANSWERED,
        pair=states.pair_of(task),
        slot=leasing.free_slot(workspace, row.task),
        presentation=row.presentation,
        clips=row.clips,
        guideline_version=row.guideline_version,
        opened_at=_opened_at(workspace, person.id, closed, sheet.annotation.seconds or 0.0),
        expires_at=closed,
        closed_at=closed,
        judgement=judgement.id,
    )
    workspace.records.add(lease)
    book_time(workspace, person, task, lease, judgement)


def _opened_at(workspace: Workspace, person: str, closed: datetime, seconds: float) -> datetime:
    """When it was begun, by what the page there says; not before the person's answer before it, so that no time is
    counted twice."""
    leases = table_of(TaskLease)
    query = sa.select(sa.func.max(leases.c.closed_at)).where(
        leases.c.person == person, leases.c.closed_at <= closed
    )
    with workspace.records.statements(write=False) as connection:
        before = connection.execute(query).scalar()
    begun = closed - timedelta(seconds=min(seconds, 86_400.0))
    return max(begun, before) if before else begun


def note_gone(
    workspace: Workspace, row: LabelStudioTask, there: Collection[object], now: datetime
) -> list[LabelStudioAnnotation]:
    """Note which annotations of a task were taken and are there no more; their judgements stay."""
    gone = []
    with workspace.records.exclusive(LOCK):
        history = states_of(workspace, row)
        # What it said last that was taken: it may have been refused since.
        judged = last_of(one for one in history if one.judgement is not None)
        for number, last in last_of(history).items():
            if number in there or number not in judged or last.intake is Intake.GONE:
                continue
            revision = last.revision + 1
            name = derived_id("lsa", row.id, number, revision)
            seen = replace(
                judged[number], id=name, revision=revision, intake=Intake.GONE, seen_at=now
            )
            workspace.records.add(seen)
            gone.append(seen)
    return gone


def strike_gone(workspace: Workspace, row: LabelStudioTask, actor: str, now: datetime) -> int:
    """Strike out what is gone of a task, so that it counts no more and is asked anew; returns how many."""
    struck = 0
    with workspace.records.exclusive(LOCK):
        for last in last_of(states_of(workspace, row)).values():
            leases = workspace.records.find(
                TaskLease, judgement=last.judgement or "", status=LeaseStatus.ANSWERED
            )
            if last.intake is not Intake.GONE or last.judgement is None or not leases:
                continue
            reason = "deleted in Label Studio"
            workspace.records.add(
                Voided(str(ULID()), row.project, last.judgement, actor, reason, now)
            )
            workspace.records.replace(replace(leases[0], status=LeaseStatus.VOIDED))
            struck += 1
        if struck:
            states.recount(workspace, [row.task])
    return struck
