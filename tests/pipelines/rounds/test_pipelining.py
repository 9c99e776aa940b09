"""Rollouts and their scores side by side: the same records as one stage after the other, also after a break."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.pipelines.conftest import NOW, nano_record, prompt_set
from tests.policy.conftest import write_backbone
from trivox.pipelines.pools import pool
from trivox.pipelines.pools.cluster import Resources, lacking
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import RoundContext, Stopped, stage_run_id
from trivox.pipelines.rounds.pipelining import produce_scored
from trivox.pipelines.rounds.production import cpu_slots, requests_for
from trivox.pipelines.rounds.stages import rollout, score
from trivox.platform.records import (
    Branch,
    CostEntry,
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


def context(
    root: Path, pipelined: bool, check: Check = lambda: None, workers: int = 1
) -> RoundContext:
    """The same round of ten candidates in a workspace of its own."""
    ws = Workspace.create(root)
    write_backbone(root / "tiny")
    register(ws, replace(nano_record(ws.project), artefact="tiny"))
    prompts = prompt_set(ws, TEXTS)
    speaking = ROLLOUT | {"workers": workers}
    asked: dict[str, Any] = {"policy": "po_base", "prompts": "few", "rollout": speaking}
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


def actors(name: str) -> list[int]:
    """Processes of this test's Ray that work in a pool of that name."""
    found = list[int]()
    for one in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            found += [one.pid] if " ".join(one.cmdline()).startswith(f"ray::{name}") else []
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RolloutWorker", "ScoringWorker"])
def test_a_worker_killed_in_the_midst_costs_time_alone(
    name: str, ray_session: None, tmp_path: Path
) -> None:
    """The first that is there behind the first part: the same records and parts, each once, each paid once."""
    struck = list[int]()

    def strike() -> None:
        if not struck and (found := actors(name)):
            struck.append(found[0])
            os.kill(found[0], signal.SIGKILL)

    ctx = context(tmp_path / "struck", True, strike)
    made = stages(ctx)
    assert struck
    whole = stages(context(tmp_path / "whole", True))
    assert made.pop("heard ahead") == whole.pop("heard ahead") == 20
    assert made == whole
    paid = [one.note["part"] for one in ctx.ws.records.find(CostEntry) if "part" in one.note]
    assert len(paid) == len(set(paid)) == len(made["parts"])


def test_without_room_for_both_the_scores_follow(
    ray_session: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The session's Ray has two CPUs; two who speak and one who hears want three."""
    ctx = context(tmp_path / "short", True, workers=2)
    prompts = ctx.split(Split.TRAIN)
    produce_scored(ctx, requests_for(ctx, prompts, 2, "rollout", ctx.policy))
    assert ctx.rollouts() == []
    assert "want 3 CPU of 2" in capsys.readouterr().err


class Sitter:
    """Keeps CPUs from others."""

    def sits(self) -> bool:
        return True


@pytest.mark.slow
def test_room_that_is_lost_leaves_the_rest_to_the_stages(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Another program has taken both CPUs: no worker starts, which is said, and nothing waits for ever."""
    import ray

    monkeypatch.setattr(pool, "START_S", 2.0)
    remote: Any = ray.remote(num_cpus=2)(Sitter)
    sitter = remote.remote()
    assert ray.get(sitter.sits.remote())
    try:
        ctx = context(tmp_path / "full", True)
        requests = requests_for(ctx, ctx.split(Split.TRAIN), 2, "rollout", ctx.policy)
        produce_scored(ctx, requests)
    finally:
        ray.kill(sitter)
    assert ctx.rollouts() == []
    told = " ".join(capsys.readouterr().err.split())
    assert "no worker could start within 2 s" in told and "one after the other" in told


def test_what_pools_lack() -> None:
    """4 of 1 CPU and half a GPU, 2 of 2 CPUs and 8 GiB: 8 CPUs, 2 GPUs, 16 GiB together."""
    pools = [(4, Resources(1, 0.5)), (2, Resources(2, memory_gb=8))]
    enough = {"CPU": 8.0, "GPU": 2.0, "memory": 16.0 * 2**30}
    assert lacking(pools, enough) == {}
    assert lacking(pools, enough | {"CPU": 7.0}) == {"CPU": 8.0}
    assert lacking(pools, {"CPU": 8.0, "memory": 2.0**34}) == {"GPU": 2.0}


def test_a_ray_of_this_machine_has_room_by_what_the_workers_take() -> None:
    """3 of 2 CPUs beside 4 of half a CPU: the larger pool, or both."""
    asked = {"workers": 3, "resources": {"cpus": 2}}, {"workers": 4, "resources": {"cpus": 0.5}}
    for pipelined, slots in ((False, 6), (True, 8)):
        told = {"rollout": asked[0], "score": asked[1] | {"pipelined": pipelined}}
        assert cpu_slots(RoundConfig.model_validate(told)) == slots


def test_all_is_heard_when_all_is_said_and_nothing_is_begun_again(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four units of three candidates, the last of one, by two scorers."""
    ctx = context(tmp_path / "done", True)
    made = stages(ctx)
    assert made["heard ahead"] == len(made["scores"]) == 20 and len(made["rollouts"]) == 10
    assert len(ctx.ws.tables.paths(Score)) == 4
    costs = [one.note for one in ctx.ws.records.find(CostEntry)]
    assert {(one["part"].partition("-")[0], one["stage"]) for one in costs} == {
        ("rollouts", "rollout"), ("scores", "score"),
    }  # fmt: skip
    monkeypatch.setattr("trivox.pipelines.rounds.pipelining.rollout_pool", None)
    assert rollout.run(ctx).outputs["rollouts"]
    produce_scored(ctx, [])
