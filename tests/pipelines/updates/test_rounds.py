"""Rounds of the branches that learn from rewards, whole: a tiny model that is trained, measured and decided on."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.pipelines.conftest import NOW
from tests.pipelines.updates.conftest import PPO, RL, UNBOUNDED, Prefer
from trivox.annotation.people.audit import By
from trivox.pipelines.rounds.config import RoundConfig
from trivox.pipelines.rounds.context import RoundContext, Stopped, stage_run_id
from trivox.pipelines.rounds.runner import run_round
from trivox.pipelines.rounds.service import RoundService
from trivox.pipelines.rounds.stages import train
from trivox.pipelines.rounds.updating import recipe_of
from trivox.pipelines.updates.plan import plan_of
from trivox.pipelines.updates.recipe import UpdateRecipe
from trivox.platform.errors import BudgetSpent, ConfigError, NotFound
from trivox.platform.records import (
    Branch,
    PolicyStatus,
    PolicyVersion,
    Round,
    RoundStatus,
    Stage,
    StageRun,
)
from trivox.platform.store import Workspace
from trivox.platform.store.budgets import set_budget
from trivox.policy.trainers.rl.settings import PPOSettings
from trivox.policy.trainers.rl.watchers import WatcherStop

SUITE = {"count": 2, "max_tokens": 8}
DPO = {"epochs": 2, "batch_size": 2, "lora_rank": 2, "learning_rate": 0.01, "checkpoint_every": 1}


def grpo(**changes: Any) -> RoundConfig:
    update = {"watch": UNBOUNDED, "grpo": RL, "suite": SUITE} | changes
    return RoundConfig.model_validate(
        {
            "algorithm": "grpo",
            "branch": "asr",
            "policy": "tiny",
            "prompts": "calls",
            "update": update,
        }
    )


def test_a_round_and_the_command_make_the_same_version(calls: Workspace) -> None:
    """The id of what is trained follows from the recipe, not from who asks for it."""
    config = grpo().model_copy(update={"policy": "po_tiny"})
    recipe = recipe_of(config)
    assert (recipe.algorithm, recipe.branch) == ("grpo", Branch.ASR)
    direct = recipe.model_copy(update={"parent": "tiny"})
    assert plan_of(calls, recipe, "a").id == plan_of(calls, direct, "b").id


def test_staleness_is_part_of_what_is_made_and_not_for_dialogues(calls: Workspace) -> None:
    """Without it the id is what it was before there was such a setting."""
    fresh, stale = (
        plan_of(calls, recipe_of(grpo(grpo=RL | {"staleness": age})), "planned") for age in (0, 1)
    )
    assert fresh.id == plan_of(calls, recipe_of(grpo()), "planned").id != stale.id
    with pytest.raises(ValidationError, match="rewarded turn by turn"):
        UpdateRecipe(
            algorithm="ppo",
            branch=Branch.REALTIME,
            ppo=PPOSettings.model_validate({"staleness": 1}),
        )


def test_what_cannot_be_trained_is_refused_before_it_is_enqueued(calls: Workspace) -> None:
    service = RoundService(calls)
    with pytest.raises(NotFound):
        service.enqueue(grpo(reward={"composition": "nothing of that name"}))
    assert service.rounds() == []
    for update, told in (
        ({"reward": {"composition": "/etc/passwd"}}, "file of the machine"),
        ({"telemetry": {"mlflow": "http://elsewhere"}}, "folder or a server"),
    ):
        with pytest.raises(ConfigError, match=told):
            RoundService(calls, By("someone")).enqueue(grpo(**update))


class Steps:
    """A check that counts, and stops behind so many."""

    def __init__(self, stop: int = 0) -> None:
        self.made, self.stop = 0, stop

    def __call__(self) -> None:
        self.made += 1
        if self.made == self.stop:
            raise Stopped


def test_training_by_rewards_stops_between_two_steps_and_goes_on(calls: Workspace) -> None:
    """Three steps, stopped after the second, whose checkpoint is kept. A budget stops it as well, after the third,
    which has none, and nothing is registered: that one is made again."""
    round_ = RoundService(calls).enqueue(grpo(grpo=RL | {"steps": 3}))
    with pytest.raises(Stopped):
        train.run(RoundContext.of(calls, round_, Steps(2)))
    set_budget(calls.records, project=calls.project, kind="cpu", limit=0.0, round=round_.id)
    with pytest.raises(BudgetSpent):
        train.run(RoundContext.of(calls, round_))
    assert calls.records.find(PolicyVersion, round=round_.id) == []
    set_budget(calls.records, project=calls.project, kind="cpu", limit=9.0, round=round_.id)
    again = Steps()
    outcome = train.run(RoundContext.of(calls, round_, again))
    assert (again.made, outcome.outputs["steps"]) == (1, 3)


@pytest.fixture
def preferring(ws: Workspace, prefer: Prefer) -> Round:
    """A dpo round of the tiny model whose preferences are there: four steps."""
    config = RoundConfig.model_validate({"policy": "po_tiny", "prompts": "voices", "train": DPO})
    round_ = Round(
        "round_dpo", ws.project, Branch.TTS, "dpo", "po_tiny", "voices", config.model_dump(mode="json"), 0,
        Stage.TRAIN, RoundStatus.RUNNING, NOW, NOW,
    )  # fmt: skip
    outputs = {"preference_set": prefer(round_.id).id}
    run = stage_run_id(round_.id, Stage.AGGREGATE)
    aggregated = StageRun(
        run, ws.project, round_.id, Stage.AGGREGATE, {}, outputs, "1", 0, NOW, NOW
    )
    ws.records.add(round_, aggregated)
    return round_


def test_training_by_preferences_goes_on_from_its_checkpoint(
    ws: Workspace, preferring: Round
) -> None:
    """Stopped after the third of four steps: two are left; the weights are those of a training in one go."""
    with pytest.raises(Stopped):
        train.run(RoundContext.of(ws, preferring, Steps(3)))
    rest, whole = Steps(), Steps()
    resumed = train.run(RoundContext.of(ws, preferring, rest))
    assert (rest.made, resumed.outputs["steps"]) == (2, 4)
    again = train.run(RoundContext.of(ws, preferring, whole))
    assert again.outputs["adapter_hash"] == resumed.outputs["adapter_hash"] and whole.made == 4


@pytest.mark.slow
def test_checkpoints_of_another_run_are_begun_again(
    ws: Workspace, preferring: Round, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an upgrade leaves them that trains otherwise."""
    with pytest.raises(Stopped):
        train.run(RoundContext.of(ws, preferring, Steps(3)))
    (claimed,) = (ws.root / "artefacts").glob("*.partial/run.json")
    claimed.write_text('{"run": "of another version"}')
    steps = Steps()
    train.run(RoundContext.of(ws, preferring, steps))
    assert steps.made == 4
    assert "trains from the start" in capsys.readouterr().err


@pytest.mark.slow
def test_a_grpo_round_of_asr(calls: Workspace) -> None:
    from tests.pipelines.training.conftest import asr_prompt_of, set_of
    from trivox.platform.records import Prompt, Split

    heard = [one for one in calls.records.find(Prompt) if one.audio is not None]
    set_of(calls, "held", [asr_prompt_of(one.audio or "", "b a") for one in heard[:2]], Split.TEST)
    config = grpo(suite=SUITE | {"prompts": "held"})
    service = RoundService(calls)
    done = run_round(calls, service.enqueue(config).id)
    assert done.status is RoundStatus.DONE
    state = service.status(done.id)
    assert [one.stage for one in state.stages] == ["train", "evaluate", "publish"]
    (made,) = calls.records.find(PolicyVersion, round=done.id)
    assert made.branch is Branch.ASR and made.status in (PolicyStatus.PROXY, PolicyStatus.REJECTED)


@pytest.mark.slow
def test_a_ppo_round_of_realtime(ws: Workspace) -> None:
    from tests.pipelines.training.conftest import set_of
    from trivox.platform.records import Prompt

    set_of(ws, "unused", [Prompt.of(Branch.REALTIME, ("en-US",), text="a")])
    dialogue = {"turns": 2, "user": "text"}
    config = RoundConfig.model_validate(
        {
            "algorithm": "ppo",
            "branch": "realtime",
            "policy": "tiny",
            "prompts": "unused",
            "update": {
                "reward": {"weight": 0},
                "watch": {"prompts": 0, "clips": 2, "bounds": ()},
                "dialogue": dialogue,
                "ppo": PPO,
                "suite": SUITE | {"dialogue": dialogue},
            },
        }
    )
    done = run_round(ws, RoundService(ws).enqueue(config).id)
    assert done.status is RoundStatus.DONE
    (made,) = ws.records.find(PolicyVersion, round=done.id)
    assert made.branch is Branch.REALTIME


HACKABLE = """
name = "longer"
version = 1
branch = "asr"
combine = "mean"
[[component]]
scorer = "transcript-insertions"
normalise = { by = "target", target = 20.0, tolerance = 20.0 }
clip = [0.0, 1.0]
"""
"""The more words a transcript adds, the better: what no reward should say."""


@pytest.mark.slow
def test_a_round_whose_reward_is_exploited_stops_with_that_reason(
    calls: Workspace, tmp_path: Path
) -> None:
    """Transcripts grow longer, as the reward wants; the watcher of length stops the round. The round says so, and
    there is no version of it."""
    composition = tmp_path / "longer.toml"
    composition.write_text(HACKABLE)
    learning = {"steps": 60, "prompts": 4, "samples": 8, "minibatch_turns": 32, "max_tokens": 40}
    config = grpo(
        reward={"composition": str(composition)},
        grpo=RL | learning | {"learning_rate": 5e-3, "kl_coefficient": 0.0},
        watch={
            "prompts": 0,
            "clips": 0,
            "bounds": [{"figure": "length", "high": 1.3, "patience": 3, "relative": True}],
        },
    )
    stopped = RoundService(calls).enqueue(config)
    with pytest.raises(WatcherStop, match="watcher length"):
        run_round(calls, stopped.id)
    known = calls.records.get(Round, stopped.id)
    assert known.status is RoundStatus.FAILED
    assert "watcher length: " in (known.error or "") and "exploits the reward" in (
        known.error or ""
    )
    assert calls.records.find(PolicyVersion, round=stopped.id) == []
