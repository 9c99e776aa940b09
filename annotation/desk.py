"""One person at work: which comparison comes next, what was really heard, and the judgement that comes of it."""

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import polars as pl
from ulid import ULID

from trivox.annotation.clips import Clip
from trivox.annotation.waiting import comparison_tasks, judges_of
from trivox.platform.errors import CorruptObject, NotFound, UsageError
from trivox.platform.hashing import derived_seed
from trivox.platform.records import (
    Answer,
    AnswerKind,
    Campaign,
    JudgeKind,
    Judgement,
    Prompt,
    Rollout,
    Task,
)
from trivox.platform.store import Workspace

UI_VERSION = "compare@1"
HEARD = 0.95  # of a clip's duration: what counts as heard to the end, by the page and by the clock


class VoteRefused(UsageError):
    """A vote that cannot be taken; the text tells the listener what to do."""


class Vote(NamedTuple):
    """An answer in the order shown. heard_s: seconds of unique audio, by clip in the order shown."""

    view: str
    answer: Answer
    heard_s: tuple[float, float]


@dataclass
class View:
    """One task as one judge is shown it. clips: what the page calls A and B; None when one cannot be read."""

    task: Task
    prompt: Prompt
    campaign: Campaign
    presentation: tuple[str, str]
    clips: tuple[Clip, Clip] | None
    shown_at: float
    heard_from: float | None = None
    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))


class Desk:
    """The comparisons of a round (or of the project, for None) as one judge works through them.

    judge: `human:name`. clock: seconds, monotonic. Threads may share one.
    """

    def __init__(
        self,
        workspace: Workspace,
        round: str | None,
        judge: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.judge = judge
        self._workspace = workspace
        self._clock = clock
        self._lock = threading.RLock()
        self._view: View | None = None
        tasks = comparison_tasks(workspace, round)
        asked = {task.id: judges_of(workspace, task) for task in tasks}
        self.done = sum(judge in judges for judges in asked.values())
        self._queue = [
            task
            for task in tasks
            if judge not in asked[task.id] and len(asked[task.id]) < task.overlap
        ]
        self._audio = _audio_of(workspace, self._queue)

    @property
    def total(self) -> int:
        """Comparisons that this judge has answered or still can."""
        return self.done + len(self._queue)

    def current(self) -> View | None:
        """The comparison to answer now, the same until it is answered; None when nothing is left."""
        with self._lock:
            while self._view is None and self._queue:
                judges = judges_of(self._workspace, self._queue[0])
                if len(judges) < self._queue[0].overlap:
                    self._view = self._open(self._queue[0])
                else:  # others were faster
                    self._queue.pop(0)
            return self._view

    def _open(self, task: Task) -> View:
        first, second = task.items
        # The same side for the same judge and task, whenever the page is opened.
        swapped = derived_seed("sides", self.judge, task.id) % 2
        shown = (second, first) if swapped else (first, second)
        return View(
            task=task,
            prompt=self._workspace.records.get(Prompt, task.prompt),
            campaign=self._workspace.records.get(Campaign, task.campaign),
            presentation=shown,
            clips=self._clips(shown),
            shown_at=self._clock(),
        )

    def _clips(self, shown: tuple[str, str]) -> tuple[Clip, Clip] | None:
        try:
            return self._clip(shown[0]), self._clip(shown[1])
        except (NotFound, CorruptObject):
            return None

    def _clip(self, item: str) -> Clip:
        audio = self._audio.get(item)
        if audio is None:
            raise NotFound(f"rollout {item} has no audio")
        return Clip.of(item, *self._workspace.audio.read(audio))

    def fetch(self, key: str, range_header: str | None) -> tuple[Clip, int, bytes]:
        """A clip of the current comparison by its key: clip, first byte, bytes. Raises NotFound for any other."""
        with self._lock:
            for clip in (self._view.clips if self._view else None) or ():
                if secrets.compare_digest(clip.key.encode(), key.encode()):
                    part, content = clip.fetch(range_header)
                    self._note_fetch()
                    return clip, part.first, content
        raise NotFound("no such clip in the comparison that is open now")

    def _note_fetch(self) -> None:
        if self._view is not None and self._view.heard_from is None:
            self._view.heard_from = self._clock()

    def vote(self, vote: Vote) -> Judgement | None:
        """Store the judgement and close the comparison; None when this very vote was stored before.

        Raises VoteRefused for a comparison that is not open, and for an answer to clips that were not heard.
        """
        with self._lock:
            if self._view is None or vote.view != self._view.key:
                if self._stored(vote.view):
                    return None
                raise VoteRefused("this comparison is not open any more: reload the page")
            if vote.answer.kind != AnswerKind.ABSTENTION:
                _check_heard(self._view, vote, self._clock())
            judgement = _judgement(self._view, vote, self.judge, self._clock())
            self._workspace.records.add(judgement)
            self._queue.pop(0)
            self._view = None
            self.done += 1
            return judgement

    def _stored(self, view: str) -> bool:
        project = self._workspace.project
        known = self._workspace.records.find(Judgement, project=project, idempotency_key=view)
        return bool(known)


def _audio_of(workspace: Workspace, tasks: list[Task]) -> dict[str, str | None]:
    """rollout id -> audio id of every item."""
    items = {item for task in tasks for item in task.items}
    rollouts = workspace.tables.scan(Rollout).filter(pl.col("id").is_in(sorted(items)))
    return dict(rollouts.select("id", "audio").collect().iter_rows())


def _check_heard(view: View, vote: Vote, now: float) -> None:
    if view.clips is None:
        raise VoteRefused("a clip of this pair cannot be played: skip the pair")
    for name, clip, heard in zip("AB", view.clips, vote.heard_s, strict=True):
        if not clip.fetched or heard < HEARD * clip.duration_s:
            raise VoteRefused(f"clip {name} was not played to the end: listen to it, then answer")
    joint = sum(clip.duration_s for clip in view.clips)
    elapsed = now - (view.heard_from if view.heard_from is not None else now)
    if elapsed < HEARD * joint:
        raise VoteRefused(
            f"the two clips last {joint:.1f} s together and the answer came after {elapsed:.1f} s: "
            "listen to both, then answer"
        )


def _judgement(view: View, vote: Vote, judge: str, now: float) -> Judgement:
    durations = [clip.duration_s for clip in view.clips or ()]
    heard = zip(view.presentation, vote.heard_s, durations, strict=False)
    return Judgement(
        id=str(ULID()),
        project=view.task.project,
        task=view.task.id,
        judge_kind=JudgeKind.HUMAN,
        judge=judge,
        answer=in_task_order(vote.answer, view.presentation, view.task),
        presentation=view.presentation,
        idempotency_key=view.key,
        created_at=datetime.now(UTC),
        heard_s={item: round(min(seconds, duration), 3) for item, seconds, duration in heard},
        taken_s=round(now - view.shown_at, 3),
        guideline_version=view.campaign.guideline_version,
        ui_version=UI_VERSION,
    )


def in_task_order(answer: Answer, presentation: tuple[str, ...], task: Task) -> Answer:
    """The answer as given to items in the order shown, turned to the task's own order."""
    if answer.comparison is None or presentation == task.items:
        return answer
    return Answer(AnswerKind.COMPARISON, comparison=-answer.comparison)
