"""The work of annotators behind pages and API. Person is a Person id; another's lease is as good as none."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from trivox.annotation.clips import byte_range
from trivox.annotation.work import controls, faults, judging, leasing, overview, playback, states
from trivox.annotation.work.content import Items, content_of
from trivox.annotation.work.gates import guideline_of, hindrance
from trivox.annotation.work.information import Refresher
from trivox.annotation.work.questions import question
from trivox.annotation.work.shapes import (
    BadAnswer,
    Clip,
    ClipRole,
    Draft,
    Feedback,
    Given,
    Lease,
    LeaseLost,
    Nothing,
    Played,
    Progress,
    SkipReason,
    Sound,
    Unplayable,
    Waiting,
)
from trivox.annotation.work.sounds import Sounds, seconds_of
from trivox.platform.errors import CorruptObject, NotFound, TrivoxError
from trivox.platform.records import (
    Acknowledged,
    Answer,
    Campaign,
    FaultKind,
    Judgement,
    LeaseStatus,
    Person,
    Purpose,
    Span,
    TaskLease,
)
from trivox.platform.store import Workspace
from trivox.platform.store.schema import table_of

DRAFT_BYTES = 16_384
KEY_LENGTH = 100


def now_utc() -> datetime:
    return datetime.now(UTC)


class Work:
    """One for a process; threads share it, and other processes may work in the same workspace.

    Every method raises LeaseLost (a NotFound) for a lease that is not this person's and open.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], datetime] = now_utc) -> None:
        self._workspace = workspace
        self._clock = clock
        self._items = Items(workspace)
        self._sounds = Sounds(workspace)
        self._refresher = Refresher(workspace)
        # SQLite lets one write at a time and makes others poll: within the process they queue here instead.
        self._turn = threading.RLock()
        self._tasks_seen: dict[str, int] = {}

    @contextmanager
    def _writing(self, campaign: str | None = None, *, durable: bool = True) -> Iterator[None]:
        """A transaction; with a campaign, the only one that deals out its tasks now.

        Not durable: what it leaves outlives this process, but perhaps not a power cut.
        """
        with self._turn, self._workspace.records.transaction(durable=durable):
            if campaign is not None:
                rows = table_of(Campaign)
                lock = sa.select(rows.c.seq).where(rows.c.id == campaign).with_for_update()
                with self._workspace.records.statements(write=True) as connection:
                    connection.execute(lock)
            yield

    def next_lease(self, person: str, campaign: str) -> Lease | Nothing:
        """What to do now: the open lease again (reload), or a new one. Raises NotFound for another campaign.

        What cannot be played is left out for a lead to look at, and another question taken.
        """
        while True:
            with self._writing(campaign):
                who, where = self._who(person), self._where(campaign)
                now = self._clock()
                self._look_for_tasks(where)
                leasing.expire(self._workspace, campaign, now)
                found = self._next(who, where, now)
                if isinstance(found, Nothing):
                    return found
                shown = self._view(found, who, where)
            if self._plays(found):
                return shown

    def _look_for_tasks(self, where: Campaign) -> None:
        newest = states.newest_task(self._workspace, where.id)
        if self._tasks_seen.get(where.id) != newest:
            states.add_missing(self._workspace, where)
            self._tasks_seen[where.id] = newest

    def _next(self, who: Person, where: Campaign, now: datetime) -> TaskLease | Nothing:
        held = leasing.held_by(self._workspace, who.id, where.id)
        if current := held.get(LeaseStatus.OPEN):
            return current
        if reason := hindrance(self._workspace, who, where, now):
            return reason
        if ahead := held.get(LeaseStatus.AHEAD):
            return leasing.show(self._workspace, ahead, where, now)
        return leasing.new_lease(self._workspace, self._items, who, where, LeaseStatus.OPEN, now)

    def ahead(self, person: str, campaign: str) -> Lease | None:
        """The lease that next_lease gives once the open one is closed, held from now on, so that the page can load
        its sound beforehand; its clock of listening starts when it is shown. None: nothing to look ahead to."""
        with self._writing(campaign):
            who, where, now = self._who(person), self._where(campaign), self._clock()
            held = leasing.held_by(self._workspace, person, campaign)
            if LeaseStatus.OPEN not in held:
                return None
            found = held.get(LeaseStatus.AHEAD)
            if found is None and hindrance(self._workspace, who, where, now) is None:
                status = LeaseStatus.AHEAD
                made = leasing.new_lease(self._workspace, self._items, who, where, status, now)
                found = None if isinstance(made, Nothing) else made
            shown = None if found is None else self._view(found, who, where)
        return shown if found is not None and self._plays(found) else None

    def _plays(self, held: TaskLease) -> bool:
        """Whether every sound can be sent; a lease of which one cannot is given back and its task left out."""
        for clip in held.clips:
            try:
                self._sounds.wav(clip.audio, clip.gain_db)
            except (NotFound, CorruptObject) as error:
                self._leave_out(held, clip.audio, error)
                return False
        return True

    def _leave_out(self, held: TaskLease, audio: str, error: TrivoxError) -> None:
        damaged = isinstance(error, CorruptObject)
        kind = FaultKind.DAMAGED_AUDIO if damaged else FaultKind.MISSING_AUDIO
        with self._writing(held.campaign):
            now = self._clock()
            still = self._workspace.records.get(TaskLease, held.id)
            if still.status in (LeaseStatus.OPEN, LeaseStatus.AHEAD):
                leasing.release(self._workspace, still, now)
            faults.leave_out(self._workspace, Unplayable(held.task, kind, audio, str(error)), now)

    def overview(self, person: str) -> list[Waiting]:
        """The campaigns that this person may see, each with what waits there for them; takes no lease."""
        return overview.waiting(self._workspace, self._who(person), self._clock())

    def acknowledge(self, person: str, campaign: str, version: int) -> None:
        """The person has read that version of the guideline; next_lease gives Why.GUIDELINE before."""
        where = self._where(campaign)
        written = guideline_of(self._workspace, where)
        newest = written.version if written else where.guideline_version
        if not 1 <= version <= newest:
            raise NotFound(f"campaign {campaign} has no version {version} of its guideline")
        self._workspace.records.add(
            Acknowledged(
                id=f"ack_{campaign}_{person}_{version}",
                project=where.project,
                campaign=campaign,
                person=person,
                guideline_version=version,
                created_at=self._clock(),
            )
        )

    def lease(self, person: str, lease_id: str) -> Lease:
        """An open lease as it was shown."""
        held = self._held(person, lease_id)
        return self._view(held, self._who(person), self._where(held.campaign))

    def audio(self, person: str, lease_id: str, audio_id: str, range_header: str | None) -> Sound:
        """Bytes of a clip, noted as fetched. Raises NotFound, RangeNotSatisfiable."""
        found = self._held(person, lease_id, ahead=True)
        clip = _clip(found, audio_id)
        try:
            wav = self._sounds.wav(clip.audio, clip.gain_db)
        except (NotFound, CorruptObject) as error:  # it was there when the question was given out
            self._leave_out(found, clip.audio, error)
            raise LeaseLost("this clip cannot be played any more: reload the page") from error
        wanted = byte_range(range_header, len(wav))
        seconds = seconds_of(wanted.first, wanted.last + 1, len(wav), clip.duration_s)
        with self._writing(durable=False):
            held = self._held(person, lease_id, ahead=True)
            now = self._clock()
            clips = tuple(
                playback.sent(one, *seconds, now) if one.key == audio_id else one
                for one in held.clips
            )
            if clips != held.clips:
                self._workspace.records.replace(replace(held, clips=clips))
        return Sound(wav[wanted.first : wanted.last + 1], wanted.first, len(wav))

    def progress(self, person: str, lease_id: str, played: list[Played]) -> Progress:
        """Note what was played; an empty list asks how things stand."""
        with self._writing(durable=False):
            held, refused = self._note(self._held(person, lease_id), played)
            return playback.progress_of(held.clips, refused)

    def _note(self, held: TaskLease, played: list[Played]) -> tuple[TaskLease, dict[int, str]]:
        clips, last, refused = playback.note(
            held.clips, played, held.last_report, held.opened_at, self._clock()
        )
        noted = replace(held, clips=clips, last_report=last)
        if noted != held:
            self._workspace.records.replace(noted)
        return noted, refused

    def answer(
        self,
        person: str,
        lease_id: str,
        given: Given,
        idempotency_key: str,
        played: list[Played] | None = None,
        language: str = "en",
    ) -> tuple[Judgement, Feedback | None]:
        """Keep the answer and close the lease; the same key again returns the same judgement.

        played: last reports of the player, noted first. language: of the feedback. Raises NotHeard, BadAnswer,
        LeaseLost.
        """
        with self._writing():
            if known := self._known(person, lease_id, idempotency_key):
                return known, None
            held, _ = self._note(self._held(person, lease_id), played or [])
            task = self._items.task(held.task)
            answer, spans = judging.judge(held, task, given)
            return self._close(held, answer, given, spans, idempotency_key, language)

    def skip(
        self,
        person: str,
        lease_id: str,
        reason: SkipReason,
        comment: str | None,
        idempotency_key: str,
    ) -> Judgement:
        """Close the lease with an abstention; a reason of REPORTS also goes to a lead. Needs no listening."""
        with self._writing():
            if known := self._known(person, lease_id, idempotency_key):
                return known
            held = self._held(person, lease_id)
            answer, said = judging.skipped(reason, comment)
            return self._close(held, answer, said, (), idempotency_key)[0]

    def _close(
        self,
        held: TaskLease,
        answer: Answer,
        given: Given,
        spans: tuple[Span, ...],
        key: str,
        language: str = "en",
    ) -> tuple[Judgement, Feedback | None]:
        who, where = self._who(held.person), self._where(held.campaign)
        named = _key(held.person, held.id, key)
        judgement = judging.judgement_of(held, answer, given, spans, named, self._clock())
        task = self._items.task(held.task)
        feedback = judging.close(self._workspace, who, where, task, held, judgement, language)
        self._refresher.answered(where)
        return judgement, feedback

    def _known(self, person: str, lease_id: str, key: str) -> Judgement | None:
        if not 0 < len(key) <= KEY_LENGTH:
            raise BadAnswer(f"the idempotency key has {len(key)} characters: 1 to {KEY_LENGTH}")
        named = _key(person, lease_id, key)
        project = self._workspace.project
        found = self._workspace.records.find(Judgement, project=project, idempotency_key=named)
        return found[0] if found else None

    def draft(self, person: str, lease_id: str, values: dict[str, Any]) -> None:
        """Autosave: what is typed so far; BadAnswer for more than 16 kB."""
        size = len(json.dumps(values, allow_nan=False).encode())
        if size > DRAFT_BYTES:
            raise BadAnswer(f"the draft has {size} bytes: at most {DRAFT_BYTES}")
        with self._writing():
            held = self._held(person, lease_id)
            saved = {"values": values, "saved_at": self._clock().isoformat()}
            self._workspace.records.replace(replace(held, draft=saved))

    def undo(self, person: str, campaign: str) -> Lease:
        """Open the last answer again, its clips as heard; the next answer supersedes it.

        Raises NotFound when there is none to undo.
        """
        with self._writing(campaign):
            who, where, now = self._who(person), self._where(campaign), self._clock()
            for held in leasing.held_by(self._workspace, person, campaign).values():
                leasing.release(self._workspace, held, now)
            answered = controls.leases_of(self._workspace, person, campaign)
            last = max(answered, key=lambda one: (one.closed_at, one.id), default=None)
            if last is None or last.purpose is Purpose.TRAINING:
                raise NotFound("there is no answer of yours here to take back")
            return self._view(leasing.reopen(self._workspace, last, where, now), who, where)

    def _held(self, person: str, lease_id: str, ahead: bool = False) -> TaskLease:
        found = self._workspace.records.find(TaskLease, id=lease_id, person=person)
        allowed = (LeaseStatus.OPEN, LeaseStatus.AHEAD) if ahead else (LeaseStatus.OPEN,)
        if not found or found[0].status not in allowed or found[0].expires_at <= self._clock():
            raise LeaseLost("this question is not open any more: reload the page")
        return found[0]

    def _who(self, person: str) -> Person:
        return self._workspace.records.get(Person, person)

    def _where(self, campaign: str) -> Campaign:
        found = self._workspace.records.get(Campaign, campaign)
        if found.project != self._workspace.project:
            raise NotFound(f"no Campaign {campaign!r} in {self._workspace.root}")
        return found

    def _view(self, held: TaskLease, who: Person, where: Campaign) -> Lease:
        task = self._items.task(held.task)
        prompt = self._items.prompt(task.prompt)
        written = guideline_of(self._workspace, where)
        content = content_of(
            self._workspace, self._items, task, prompt, held.presentation, held.clips
        )
        done, left = overview.counts(self._workspace, who, where)
        return Lease(
            id=held.id,
            campaign=where.id,
            task=task.id,
            question=question(task.question),
            content=content,
            clips=tuple(_shown(clip) for clip in held.clips),
            items=len(held.presentation),
            guideline=written.texts["en"] if written else where.guideline,
            guideline_version=held.guideline_version,
            opened_at=held.opened_at,
            expires_at=held.expires_at,
            training=held.purpose is Purpose.TRAINING,
            correcting=held.supersedes is not None,
            draft=_draft(held),
            done=done,
            left=left,
        )


def _key(person: str, lease: str, key: str) -> str:
    """Keys of one person and lease never meet those of another."""
    return f"{person}:{lease}:{key}"


def _clip(held: TaskLease, audio_id: str) -> Any:
    for clip in held.clips:
        if clip.key == audio_id:
            return clip
    raise NotFound("no such clip under this lease")


def _shown(clip: Any) -> Clip:
    return Clip(
        clip.key,
        ClipRole(clip.role),
        judging.label_of(clip),
        clip.duration_s,
        clip.gain_db,
        clip.must_hear,
    )


def _draft(held: TaskLease) -> Draft | None:
    if held.draft is None:
        return None
    return Draft(held.draft["values"], datetime.fromisoformat(held.draft["saved_at"]))
