"""What the load of annotators works on, and what is wrong with it afterwards."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from trivox.annotation.people.door import Door
from trivox.annotation.people.sessions import begin, csrf_of
from trivox.annotation.work.service import Work
from trivox.annotation.work.states import pair_of
from trivox.platform.records import (
    Branch,
    Campaign,
    FinishReason,
    Judgement,
    LeaseStatus,
    Person,
    Pool,
    Project,
    Prompt,
    Purpose,
    Role,
    RoleGrant,
    Rollout,
    Sampling,
    Task,
    TaskKind,
    TaskLease,
    TaskState,
    WorkPlan,
)
from trivox.platform.store import Workspace
from trivox.platform.store.config import FILE

CLIP_S = 3.0
"""A short sentence."""
RATE = 16_000
VOICES = 40
"""Different clips; tasks share them, for what is measured is the desk and not the disk."""
PLAN = WorkPlan(per_sitting=100_000, per_day=100_000, control_share=0.0)


@contextmanager
def filled(
    root: Path, tasks: int, people: int, url: str | None
) -> Iterator[tuple[Workspace, list[tuple[str, str, str]], str]]:
    """A workspace with a campaign; yields it, (cookie's name, secret, CSRF token) of each person, the campaign."""
    Workspace.create(root).close()
    if url is not None:
        text = (root / FILE).read_text(encoding="utf-8")
        (root / FILE).write_text(text.replace("sqlite:///trivox.db", url), encoding="utf-8")
    with Workspace.open(root) as workspace:
        now = datetime.now(UTC)
        workspace.records.add(Project(workspace.project, workspace.project, now))
        campaign = _campaign(workspace, tasks, now)
        yield workspace, _people(workspace, people, campaign, now), campaign.id


def _campaign(workspace: Workspace, tasks: int, now: datetime) -> Campaign:
    made = Campaign(
        "cp_load", workspace.project, "load", Branch.TTS, "Which is better?", 1, ("en",), 2, now, plan=PLAN
    )  # fmt: skip
    prompts = [Prompt.of(Branch.TTS, ("en",), text=f"sentence {n}") for n in range(tasks)]
    voices = [_voice(workspace, number) for number in range(VOICES)]
    rollouts = [
        _rollout(workspace, prompt.id, index, voices[(2 * place + index) % VOICES])
        for place, prompt in enumerate(prompts)
        for index in range(2)
    ]
    workspace.tables.write(rollouts, branch=Branch.TTS, round="load", part="all")
    asked = [
        Task(
            f"task_{place:05}", workspace.project, made.id, TaskKind.COMPARE, prompt.id,
            (f"ro_{prompt.id}_0", f"ro_{prompt.id}_1"), "overall@1", "en", 2,
        )
        for place, prompt in enumerate(prompts)
    ]  # fmt: skip
    workspace.records.add(made, *prompts, *asked)
    return made


def _voice(workspace: Workspace, number: int) -> str:
    times = np.arange(int(CLIP_S * RATE)) / RATE
    wave = 0.1 * np.sin(2 * np.pi * (200 + 10 * number) * times)
    audio = workspace.audio.put(
        wave.astype(np.float32), RATE, project=workspace.project, source="load"
    )
    workspace.records.add(audio)
    return audio.id


def _rollout(workspace: Workspace, prompt: str, index: int, audio: str) -> Rollout:
    return Rollout(
        f"ro_{prompt}_{index}", workspace.project, "load", Branch.TTS, prompt, "external:load", 0, index,
        Sampling(), "external", "", (), (), (), FinishReason.END, audio=audio,
    )  # fmt: skip


def _people(
    workspace: Workspace, count: int, campaign: Campaign, now: datetime
) -> list[tuple[str, str, str]]:
    cookie, work, found = Door(workspace).cookie, Work(workspace), []
    for number in range(count):
        name = f"person_{number:02}"
        workspace.records.add(
            Person(name, name, Pool.STAFF, now, languages={"en": "native"}, device_checked_at=now),
            RoleGrant(f"grant_{name}", workspace.project, name, Role.ANNOTATOR, now),
        )
        work.acknowledge(name, campaign.id, 1)
        secret = begin(workspace, name, None)
        found.append((cookie, secret, csrf_of(secret)))
    return found


@dataclass(frozen=True)
class Faults:
    """doubled: judgements wanted once and leased twice. twice: pairs that one person judged twice. lost:
    acknowledged answers that are not in the store, or more than once. miscounted: tasks whose counts differ."""

    doubled: int
    twice: int
    lost: int
    miscounted: int

    @property
    def none(self) -> bool:
        return not (self.doubled or self.twice or self.lost or self.miscounted)


def faults_of(workspace: Workspace, campaign: str, acknowledged: list[str]) -> Faults:
    """What is wrong in the store after the load."""
    leases = [
        one
        for one in workspace.records.find(TaskLease, campaign=campaign)
        if one.purpose is Purpose.JUDGE and one.status is not LeaseStatus.EXPIRED
    ]
    tasks = {one.id: one for one in workspace.records.find(Task, campaign=campaign)}
    slots = Counter((one.task, one.slot) for one in leases)
    judged = [one for one in workspace.records.find(Judgement) if one.purpose is Purpose.JUDGE]
    every = Counter(one.id for one in workspace.records.find(Judgement))
    pairs = Counter((one.judge, pair_of(tasks[one.task])) for one in judged)
    answers = Counter(one.task for one in judged)
    counted = {one.id: one.answered for one in workspace.records.find(TaskState)}
    over = sum(count > tasks[task].overlap + 1 for task, count in answers.items())
    return Faults(
        doubled=sum(count - 1 for count in slots.values()) + over,
        twice=sum(count - 1 for count in pairs.values()),
        lost=sum(every[one] != 1 for one in set(acknowledged))
        + len(acknowledged)
        - len(set(acknowledged)),
        miscounted=sum(answers[task] != count for task, count in counted.items()),
    )
