"""A campaign with speech in it, people to judge it, and a clock that tests move."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivox.annotation.work.service import Work
from trivox.annotation.work.shapes import Given, Lease, Played
from trivox.platform.records import (
    AnswerKind,
    Branch,
    Campaign,
    FinishReason,
    Person,
    Pool,
    Prompt,
    Rollout,
    Sampling,
    Task,
    TaskKind,
    WorkPlan,
)
from trivox.platform.store import Workspace

NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)
RATE = 8000
SECONDS = 1.0
PLAIN = WorkPlan(control_share=0.0, repeat_share=0.0)


class Clock:
    """A time of day that passes when a test says so."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def rollout(ws: Workspace, prompt: str, index: int, level: float = 0.1, **changed: Any) -> Rollout:
    """A tone of its own for each prompt and index."""
    hertz = 200 + 37 * index + int(prompt[-3:], 16) % 500
    wave = level * np.sin(2 * np.pi * hertz * np.arange(int(SECONDS * RATE)) / RATE)
    audio = ws.audio.put(wave.astype(np.float32), RATE, project=ws.project, source="test")
    ws.records.add(audio)
    made = Rollout(
        id=f"ro_{prompt[-6:]}_{index}",
        project=ws.project,
        round=None,
        branch=Branch.TTS,
        prompt=prompt,
        producer=f"policy_{index}",
        seed=index,
        index=index,
        sampling=Sampling(),
        engine="test",
        dtype="float32",
        tokens=(1,),
        segments=(),
        logprobs=(0.0,),
        finish_reason=FinishReason.END,
        audio=audio.id,
    )
    return replace(made, **changed)


def campaign(
    ws: Workspace,
    pairs: int,
    *,
    plan: WorkPlan = PLAIN,
    overlap: int = 1,
    question: str = "overall@1",
    kind: TaskKind = TaskKind.COMPARE,
    items: int = 2,
    name: str = "first",
    languages: Sequence[str] = ("en",),
    budget: int | None = None,
) -> Campaign:
    """A stored campaign of `pairs` tasks, each of a prompt of its own."""
    made = Campaign(
        f"cp_{name}", ws.project, name, Branch.TTS, "Which is better?", 1, tuple(languages), overlap, NOON,
        budget=budget, plan=plan,
    )  # fmt: skip
    prompts = [
        Prompt.of(Branch.TTS, (languages[number % len(languages)],), text=f"{name} {number}")
        for number in range(pairs)
    ]
    rollouts = [rollout(ws, prompt.id, index) for prompt in prompts for index in range(items)]
    tasks = [
        Task(
            id=f"task_{name}_{number:03}",
            project=ws.project,
            campaign=made.id,
            kind=kind,
            prompt=prompt.id,
            items=tuple(one.id for one in rollouts if one.prompt == prompt.id),
            question=question,
            language=prompt.languages[0],
            overlap=overlap,
        )
        for number, prompt in enumerate(prompts)
    ]
    ws.tables.write(rollouts, branch=Branch.TTS, round="none", part=name)
    ws.records.add(made, *prompts, *tasks)
    return made


def people(ws: Workspace, *names: str, **about: Any) -> list[Person]:
    made = [Person(name, name.title(), Pool.STAFF, NOON, **about) for name in names]
    ws.records.add(*made)
    return made


class Desk:
    """A service with people who listen honestly."""

    def __init__(self, ws: Workspace) -> None:
        self.ws, self.clock = ws, Clock()
        self.work = Work(ws, self.clock)

    def enter(self, person: str, campaign: Campaign) -> None:
        """Reads the guideline."""
        self.work.acknowledge(person, campaign.id, campaign.guideline_version)

    def next(self, person: str, campaign: Campaign) -> Lease:
        lease = self.work.next_lease(person, campaign.id)
        assert isinstance(lease, Lease), lease
        return lease

    def listen(self, person: str, lease: Lease) -> None:
        """Every clip to its end, one after the other."""
        for number, clip in enumerate((one for one in lease.clips if one.must_hear), 1):
            self.work.audio(person, lease.id, clip.audio_id, None)
            self.clock.sleep(clip.duration_s)
            report = Played(number, clip.audio_id, 0.0, clip.duration_s)
            assert self.work.progress(person, lease.id, [report]).refused == {}

    def judge(
        self, person: str, campaign: Campaign, given: Given | Callable[[Lease], Given]
    ) -> Lease:
        """One question from lease to answer; a second passes to think."""
        lease = self.next(person, campaign)
        self.listen(person, lease)
        self.clock.sleep(1.0)
        said = given if isinstance(given, Given) else given(lease)
        self.work.answer(person, lease.id, said, "key")
        return lease


def better(shown: int) -> Given:
    return Given(AnswerKind.COMPARISON, comparison=shown)


FIRST, SECOND = better(2), better(-2)


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "ws") as made:
        yield made


@pytest.fixture
def desk(ws: Workspace) -> Desk:
    return Desk(ws)
