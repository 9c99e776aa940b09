"""Rollouts and their scores side by side: the same records as one stage after the other, also after a break."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.conftest import NOW, nano_record, prompt_set
from tests.policy.conftest import write_backbone
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import RoundContext, Stopped, stage_run_id
from trivox.pipelines.rounds.pipelining import produce_scored
from trivox.pipelines.rounds.stages import rollout, score
from trivox.platform.records import (
    Branch,
    Rollout,
    Round,
    RoundStatus,
    Score,
    Split,
    Stage,
    StageRun,
)
from trivox.platform.registry import register
from trivox.platform.store import Workspace

TEXTS = dict.fromkeys(("ab", "ba", "abba", "baab", "a b"), Split.TRAIN)
SCORE = {"rewards": [], "gates": ["end", "silence"], "workers": 1, "unit": 3}
ROLLOUT = {"prompts": 5, "candidates": 2, "slots": 2, "workers": 1, "max_tokens": 24}
Check = Callable[[], None]


def context(root: Path, pipelined: bool, check: Check = lambda: None) -> RoundContext:
    """The same round of ten candidates in a workspace of its own."""
    ws = Workspace.create(root)
    write_backbone(root / "tiny")
    register(ws, replace(nano_record(ws.project), artefact="tiny"))
    prompts = prompt_set(ws, TEXTS)
    asked: dict[str, Any] = {"policy": "po_base", "prompts": "few", "rollout": ROLLOUT}
    config = RoundConfig.model_validate(asked | {"score": SCORE | {"pipelined": pipelined}})
    made = Round(
        id="round_of_ten",
        project=ws.project,
        branch=Branch.TTS,
        algorithm="dpo",
        policy="po_base",
        prompt_set=prompts.id,
        config=config.model_dump(mode="json"),
        seed=0,
        stage=Stage.ROLLOUT,
        status=RoundStatus.RUNNING,
        created_at=NOW,
        updated_at=NOW,
    )
    ws.records.add(made)
    return RoundContext.of(ws, made, check)


def stages(ctx: RoundContext) -> dict[str, Any]:
    """What both stages leave: records without the times that they took, and the names of the parts."""
    outcome, now = rollout.run(ctx), datetime.now(UTC)
    heard = len(ctx.scores())
    run = StageRun(
        stage_run_id(ctx.round.id, Stage.ROLLOUT), ctx.round.project, ctx.round.id, Stage.ROLLOUT,
        outcome.inputs, outcome.outputs, "1", 0, now, now,
    )  # fmt: skip
    ctx.ws.records.add(run)
    scored = score.run(ctx)
    return {
        "rollouts": [replace(one, timings={}) for one in ctx.rollouts(outcome.outputs["rollouts"])],
        "scores": sorted(ctx.scores(), key=lambda one: one.id),
        "parts": sorted(one.name for kind in (Rollout, Score) for one in ctx.ws.tables.paths(kind)),
        "outputs": (outcome.outputs, scored.outputs),
        "heard ahead": heard,
    }


@pytest.mark.slow
def test_it_leaves_what_one_stage_after_the_other_leaves(ray_session: None, tmp_path: Path) -> None:
    apart = stages(context(tmp_path / "apart", pipelined=False))
    beside = stages(context(tmp_path / "beside", pipelined=True))
    assert len(apart["rollouts"]) == 10 and len(apart["scores"]) == 20
    assert (apart.pop("heard ahead"), beside.pop("heard ahead")) == (0, 20)
    assert beside == apart


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 3, 5])
def test_broken_off_it_goes_on_to_the_same(after: int, ray_session: None, tmp_path: Path) -> None:
    """Stopped behind so many parts, begun again: the same records, each once."""
    left = [after]

    def check() -> None:
        left[0] -= 1
        if not left[0]:
            raise Stopped

    ctx = context(tmp_path / "broken", True, check)
    with pytest.raises(Stopped):
        rollout.run(ctx)
    stored = len(ctx.ws.tables.paths(Rollout)) + len(ctx.ws.tables.paths(Score))
    assert stored == after
    again = stages(ctx)
    whole = stages(context(tmp_path / "whole", True))
    assert again["rollouts"] == whole["rollouts"]
    assert [one.id for one in again["scores"]] == [one.id for one in whole["scores"]]
    assert len(again["scores"]) == len({one.id for one in again["scores"]}) == 20


def test_all_is_heard_when_all_is_said_and_nothing_is_begun_again(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four units of three candidates, the last of one, by two scorers."""
    ctx = context(tmp_path / "done", True)
    made = stages(ctx)
    assert made["heard ahead"] == len(made["scores"]) == 20 and len(made["rollouts"]) == 10
    assert len(ctx.ws.tables.paths(Score)) == 4
    monkeypatch.setattr("trivox.pipelines.rounds.pipelining.rollout_pool", None)
    assert rollout.run(ctx).outputs["rollouts"]
    produce_scored(ctx, [])
