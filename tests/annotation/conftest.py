"""A workspace in which a round waits for people: short tones instead of speech."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from trivox.annotation.comparisons import make_comparisons
from trivox.platform.records import (
    Branch,
    Campaign,
    FinishReason,
    Prompt,
    Rollout,
    Round,
    RoundStatus,
    Sampling,
    Stage,
    Task,
)
from trivox.platform.store import Workspace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RATE = 16_000
SECONDS = 0.3
ROUND = "round_secret"
TEXTS = (("en", "the small boat crossed the quiet bay"), ("zh-CN", "小船驶过平静的海湾"))


def tone(hertz: float, seconds: float) -> npt.NDArray[np.float32]:
    """float32 [n]: a soft sine."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def sounding(workspace: Workspace, prompt: str, index: int, seconds: float) -> Rollout:
    """A rollout with a tone of its own, its audio stored."""
    hertz = 300.0 + 100 * index + len(prompt)
    audio = workspace.audio.put(
        tone(hertz, seconds), RATE, project=workspace.project, source="test"
    )
    workspace.records.add(audio)
    return Rollout(
        id=f"ro_secret_{prompt[-4:]}_{index}",
        project=workspace.project,
        round=ROUND,
        branch=Branch.TTS,
        prompt=prompt,
        producer="policy_secret",
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


def waiting_round(workspace: Workspace, overlap: int = 1, seconds: float = SECONDS) -> list[Task]:
    """One comparison for each of TEXTS, of one round; the second prompt has an instruction."""
    project = workspace.project
    prompts = [
        Prompt.of(Branch.TTS, (language,), text=text, instruction="calmly" if place else None)
        for place, (language, text) in enumerate(TEXTS)
    ]
    rollouts = [
        sounding(workspace, prompt.id, index, seconds) for prompt in prompts for index in range(2)
    ]
    workspace.tables.write(rollouts, branch=Branch.TTS, round=ROUND, part="all")
    stage, status = Stage.LABEL, RoundStatus.WAITING
    the_round = Round(
        ROUND, project, Branch.TTS, "dpo", "policy_secret", "set@1", {}, 0, stage, status, NOW, NOW
    )
    campaign = Campaign(
        id="campaign_1",
        project=project,
        name="first",
        branch=Branch.TTS,
        guideline="Which clip says the text better?\nWrong or missing words weigh most.",
        guideline_version=3,
        languages=("en", "zh-CN"),
        overlap=overlap,
        created_at=NOW,
        round=ROUND,
    )
    languages = {prompt.id: prompt.languages[0] for prompt in prompts}
    tasks = make_comparisons(campaign, languages, rollouts, 1, seed=0)
    workspace.records.add(the_round, campaign, *prompts, *tasks)
    return tasks


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "workspace") as made:
        yield made


@pytest.fixture
def tasks(workspace: Workspace) -> list[Task]:
    return waiting_round(workspace)


@pytest.fixture
def long_tasks(workspace: Workspace) -> list[Task]:
    """The same with clips of 20 s, which outlast a slow machine."""
    return waiting_round(workspace, seconds=20.0)


@pytest.fixture
def tasks_for_two(workspace: Workspace) -> list[Task]:
    """The same, with the judgements of two people wanted for each."""
    return waiting_round(workspace, overlap=2)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
