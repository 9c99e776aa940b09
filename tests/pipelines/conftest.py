"""Rounds without models: a workspace with a policy and prompts as records only."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trivox.pipelines.datasets.samples import judged_project
from trivox.pipelines.rounds import runner
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import Outcome, RoundContext, Waiting
from trivox.platform.hashing import derived_id
from trivox.platform.records import (
    PolicyStatus,
    PolicyVersion,
    Prompt,
    PromptItem,
    PromptSet,
    Round,
    RoundStatus,
    Split,
    Stage,
)
from trivox.platform.records.prompts import Branch
from trivox.platform.registry import register
from trivox.platform.store import Workspace

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def nano_record(project: str) -> PolicyVersion:
    """A base model as a record: its artefact is never read."""
    return PolicyVersion(
        id="po_base",
        project=project,
        name="trivox-nano-test",
        branch=None,
        parents={},
        backbone=None,
        artefact="package:trivox-nano-test",
        artefact_hash="0" * 64,
        round=None,
        status=PolicyStatus.PROMOTED,
        created_at=NOW,
    )


def prompt_set(ws: Workspace, texts: dict[str, Split], name: str = "few") -> PromptSet:
    prompts = [Prompt.of(Branch.TTS, ("en-US",), text=text) for text in texts]
    items = tuple(
        PromptItem(prompt.id, split, prompt.id, None, "test")
        for prompt, split in zip(prompts, texts.values(), strict=True)
    )
    made = PromptSet(derived_id("set", name), ws.project, name, 1, items)
    ws.records.add(*prompts, made)
    return made


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "ws") as made:
        register(made, nano_record(made.project))
        prompt_set(made, {"one": Split.TRAIN, "two": Split.TEST, "three": Split.TEST})
        yield made


Queue = Callable[..., Round]


@pytest.fixture
def queued(ws: Workspace) -> Queue:
    """Adds a queued round without asking whether its policy can speak its prompts."""

    def add(seed: int = 0, **changes: Any) -> Round:
        config = RoundConfig(seed=seed, policy="po_base", prompts="few")
        (prompts,) = ws.records.find(PromptSet, name="few")
        fields = {
            "id": f"round_{seed:024d}",
            "project": ws.project,
            "branch": Branch.TTS,
            "algorithm": "dpo",
            "policy": "po_base",
            "prompt_set": prompts.id,
            "config": config.model_dump(mode="json"),
            "seed": seed,
            "stage": Stage.ROLLOUT,
            "status": RoundStatus.QUEUED,
            "created_at": NOW,
            "updated_at": NOW,
        }
        made = Round(**fields | changes)
        ws.records.add(made)
        return made

    return add


class FakeStages:
    """Stands in for the stages: each notes that it ran and returns what the test says (FAKES, no models)."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, Stage]] = []
        self.answers: dict[Stage, Callable[[RoundContext], Outcome | Waiting]] = {}

    def stage(self, stage: Stage) -> Callable[[RoundContext], Outcome | Waiting]:
        def run(ctx: RoundContext) -> Outcome | Waiting:
            self.ran.append((ctx.round.id, stage))
            answer = self.answers.get(stage)
            return (
                answer(ctx) if answer else Outcome({"seed": ctx.round.seed}, {"made": stage.value})
            )

        return run

    def names(self) -> list[str]:
        return [stage.value for _, stage in self.ran]


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> FakeStages:
    made = FakeStages()
    monkeypatch.setattr(runner, "STAGES", {one: made.stage(one) for one in runner.STAGES})
    return made


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Callable[..., Workspace]]:
    """`filled(name, prompts=…)`: a workspace of its own with a small judged project, empty for 0 prompts."""
    opened: list[Workspace] = []

    def made(name: str = "home", prompts: int = 6, **options: int) -> Workspace:
        ws = Workspace.create(tmp_path / name)
        opened.append(ws)
        if prompts:
            judged_project(ws, prompts=prompts, **options)
        return ws

    yield made
    for ws in opened:
        ws.close()
