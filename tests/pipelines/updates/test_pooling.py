"""Drawing and scoring by Ray actors while a policy trains: the same answers and rewards as in one process."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import get_peft_model
from pydantic import ValidationError

from tests.pipelines.updates.conftest import RL, grpo_recipe
from trivox.pipelines.pools.drawing import DrawUnit, DrawWorker
from trivox.pipelines.pools.hearing import HearUnit, HearWorker
from trivox.pipelines.pools.pool import PoolMap
from trivox.pipelines.pools.weights import share_trained
from trivox.pipelines.rounds.config import RoundConfig, UpdateSection
from trivox.pipelines.rounds.updating import recipe_of
from trivox.pipelines.updates.plan import plan_of
from trivox.pipelines.updates.pooling import PooledEngine, PooledScorer, Workers
from trivox.pipelines.updates.recipe import UpdateRecipe, WorkersSection
from trivox.pipelines.updates.samples import said_by
from trivox.pipelines.updates.service import update
from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.records import FinishReason, Sampling
from trivox.platform.scoring import Item
from trivox.platform.store import Workspace
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.branches.asr import asr_constraint
from trivox.policy.branches.realtime import realtime_constraint
from trivox.policy.engine import Generation, InProcessEngine, Request
from trivox.policy.speaker import Dialogue, Speaker, Utterance
from trivox.policy.trainers.common import lora_config, unfrozen
from trivox.policy.trainers.rl.folding import folded
from trivox.reward_models.registry import build

SLOTS = 4
ONE_OF_EACH = {"rollout": 1, "score": 1}
SAMPLED = Sampling(temperature=1.0, max_tokens=12)


def policy(folder: Path, seed: int, rank: int = 2) -> tuple[Backbone, Any]:
    """A policy on its way: an adapter whose weights are all other than at the start, or a whole model."""
    backbone = Backbone.load(folder)
    with without_renaming_notices():
        adapter = lora_config(backbone.lm, rank, 4) if rank else None
        model: Any = get_peft_model(backbone.lm, adapter) if adapter else unfrozen(backbone)
    torch.manual_seed(seed)
    with torch.no_grad():
        for one in model.parameters():
            if one.requires_grad:
                one += 0.2 * torch.randn_like(one)
    return backbone, model.eval()


def requests(backbone: Backbone, count: int = 10) -> list[Request]:
    """Of all three branches, two samples of each prompt, of different lengths."""
    speaker = Speaker(backbone, backbone.lm, SLOTS)
    rng = np.random.default_rng(0)
    made = []
    for number in range(count // 2):
        wave = 0.1 * rng.standard_normal(3200 * (1 + number)).astype(np.float32)
        one = (
            speaker.tts_request(Utterance("ab a"[: 1 + number % 4]), 0, SAMPLED),
            speaker.asr_request(wave, asr_constraint(speaker.tokens), SAMPLED),
            speaker.reply_request(
                Dialogue("a", (wave,)), realtime_constraint(speaker.tokens), 0, SAMPLED
            ),
        )[number % 3]
        made += [replace(one, seed=10 * number + sample) for sample in range(2)]
    return made


def here(backbone: Backbone, model: Any, asked: Sequence[Request]) -> list[Generation]:
    """As the trainer's own process draws."""
    with folded(model):
        engine = InProcessEngine(model, backbone.tokens.eos, backbone.tokens.pad, SLOTS)
        return engine.generate(asked)


def drawn(said: Sequence[Generation]) -> list[tuple[list[int], list[float], FinishReason]]:
    return [(one.tokens, one.logprobs, one.finish_reason) for one in said]


@pytest.mark.parametrize("rank", [2, 0])
def test_a_worker_draws_what_the_trainer_would(
    rank: int, ray_session: None, model_folder: Path
) -> None:
    """Bit for bit, with the weights of one step and then those of the next: an adapter's, and a whole model's."""
    worker = DrawWorker(model_folder, SLOTS)
    said = []
    for seed in (1, 2):
        backbone, model = policy(model_folder, seed, rank)
        asked = tuple(requests(backbone))
        shared = share_trained(model, backbone_hash(model_folder), None)
        found = worker.work(DrawUnit(asked, shared))
        assert drawn(found) == drawn(here(backbone, model, asked))
        assert drawn(worker.work(DrawUnit(asked[:3], shared))) == drawn(found[:3])
        said.append(drawn(found))
    assert said[0] != said[1]
    with pytest.raises(ConfigError, match="at this worker and 000000000000 at the trainer"):
        worker.work(DrawUnit(asked, replace(shared, backbone="0" * 64, digest="other")))


def test_weights_go_to_the_store_when_they_change(ray_session: None, model_folder: Path) -> None:
    _, model = policy(model_folder, 1)
    first = share_trained(model, "b", None)
    assert share_trained(model, "b", first) is first
    with torch.no_grad():
        next(one for one in model.parameters() if one.requires_grad)[0] += 1e-3
    assert share_trained(model, "b", first).digest != first.digest


def test_a_worker_scores_as_the_scorer_does() -> None:
    """Values and typed failures, item by item; an unknown name is told."""
    items = [heard("ab a", "ab a"), heard("ab a", "b"), heard("ab a", None)]
    info, values = HearWorker().work(HearUnit("transcript-errors", tuple(items)))
    scorer = build("transcript-errors")
    assert (info, values) == (scorer.info, scorer.score(items))
    assert values[2].failure is not None and values[2].failure.kind == "no_transcript"
    with pytest.raises(NotFound, match="no scorer is named 'ear'"):
        HearWorker().work(HearUnit("ear", ()))


def heard(text: str, hypothesis: str | None) -> Item:
    return Item("r", None, None, text, "en-US", FinishReason.END, hypothesis)


def test_how_many_work_is_no_part_of_what_is_made(calls: Workspace) -> None:
    """Neither of the version's id, nor, by default, of a round's configuration as it is stored."""
    alone, many = grpo_recipe(), grpo_recipe(workers={"rollout": 3, "score": 2})
    assert plan_of(calls, alone, "a").id == plan_of(calls, many, "a").id
    assert "workers" not in UpdateSection().model_dump(mode="json")
    config = RoundConfig.model_validate(
        {"algorithm": "grpo", "branch": "asr", "update": {"workers": ONE_OF_EACH}}
    )
    stored = config.model_dump(mode="json")
    assert RoundConfig.model_validate(stored) == config
    assert recipe_of(config).workers == WorkersSection(rollout=1, score=1)


def test_dpo_has_nobody_to_share_its_work_with() -> None:
    with pytest.raises(ValidationError, match="draw and score for grpo and ppo"):
        UpdateRecipe(
            algorithm="dpo", branch="tts", preferences=("ps",), workers=WorkersSection(score=1)
        )


def test_without_workers_nothing_begins(model_folder: Path) -> None:
    with Workers(WorkersSection()) as workers:
        assert workers.engine(model_folder) is None
        assert type(workers.build("end")) is type(build("end"))


def test_more_than_the_cluster_has_is_told(ray_session: None) -> None:
    greedy = WorkersSection.model_validate(
        {"rollout": 1, "score": 1, "rollout_resources": {"cpus": 2}}
    )
    with pytest.raises(ConfigError, match="workers need 3 of CPU and the cluster has 2"):
        Workers(greedy).__enter__()


@pytest.mark.slow
def test_a_pool_draws_in_order_and_a_killed_actor_costs_nothing_but_time(
    ray_session: None,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two actors; one dies when it has just been given its units. Every unit is booked once."""
    import ray

    give, killed = PoolMap.give, list[Any]()

    def deadly(self: PoolMap) -> None:
        give(self)
        at_work = [one for one in self.pool.members() if one.given]
        if at_work and not killed:
            killed.append(at_work[0])
            ray.kill(at_work[0].actor)

    backbone, model = policy(model_folder, 3)
    asked = requests(backbone, 24)
    wanted = drawn(here(backbone, model, asked))
    booked: list[str] = []
    with Workers(WorkersSection(rollout=2), lambda *told: booked.append(told[0])) as workers:
        made = workers.engine(model_folder, SLOTS)
        assert made is not None
        engine = made(model)
        assert isinstance(engine, PooledEngine)
        assert drawn(engine.generate(asked)) == wanted
        monkeypatch.setattr(PoolMap, "give", deadly)
        assert drawn(engine.generate(asked)) == wanted and killed
        with pytest.raises(ConfigError, match="request 1: its prompt has 0 tokens"):
            engine.generate([asked[0], replace(asked[1], prompt=[])])
        assert engine.generate([]) == []
        workers.settle()
        units = 2 * -(-24 // 12)
        assert len(booked) == len({*booked}) == units
        pool = engine.drawing.team.pool
        actors = [one.actor for one in pool.members()]
    with pytest.raises(ray.exceptions.RayActorError):  # they end with the run
        ray.get(actors[0].lives.remote())


@pytest.mark.slow
@pytest.mark.parametrize("staleness", [0, 1])
def test_an_update_by_workers_is_the_update_in_one_process(
    staleness: int, calls: Workspace, ray_session: None, tmp_path: Path
) -> None:
    """Tokens, rewards with their parts, and weights; also where scoring and drawing overlap."""
    import shutil

    settings = RL | {"steps": 3, "staleness": staleness}
    alone = grpo_recipe(grpo=settings)
    calls.close()
    shutil.copytree(calls.root, tmp_path / "copy")
    with Workspace.open(tmp_path / "copy") as ws:
        wanted, samples = update(ws, alone, "hears"), told(ws)
    booked: list[tuple[Any, ...]] = []
    with Workspace.open(calls.root) as ws:
        recipe = alone.model_copy(update={"workers": WorkersSection(rollout=1, score=1)})
        made = update(ws, recipe, "hears", book=lambda *unit: booked.append(unit))
        assert told(ws) == samples
    assert (made["id"], made["artefact_hash"]) == (wanted["id"], wanted["artefact_hash"])
    kinds = [part.partition("-")[0] for part, _, _ in booked]
    assert {*kinds} == {"rollout", "score"} and len({part for part, _, _ in booked}) == len(kinds)
    assert all(seconds > 0 for _, seconds, _ in booked)


def told(ws: Workspace) -> list[Any]:
    return [
        (one.sample.tokens, one.sample.logprobs, one.sample.rewards, one.sample.components)
        for step in range(3)
        for one in said_by(ws, "hears", step)
    ]


@pytest.mark.slow
def test_errors_of_scorers_come_typed_and_the_actors_end(ray_session: None) -> None:
    items = [heard("ab a", "ab a"), heard("ab a", None), heard("ab a", "b")]
    with Workers(WorkersSection(score=1)) as workers:
        scorer = workers.build("transcript-errors")
        assert isinstance(scorer, PooledScorer)
        local = build("transcript-errors")
        assert scorer.info == local.info and scorer.score(items) == local.score(items)
        assert scorer.score([]) == []
        with pytest.raises(NotFound, match="no scorer is named 'ear'"):
            workers.build("ear")
